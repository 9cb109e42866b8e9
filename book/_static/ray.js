/* Explorable: the confidences of a network while an image moves along the sign of its loss gradient.
 * Needs explorables.js and ray-data.js (which notebooks/ray.ipynb makes) before it and
 * <div class="explorable" id="ray"></div>. For tests: window.explorables.ray.state, .set, .solve and .confidences. */
(function () {
  "use strict";

  const E = window.explorables, { numbers, best, paint } = E, SIDE = 28, PIXELS = SIDE * SIDE;
  const GRID = 1000; // cells of the scan of [0, 1]
  const TOLERANCE = 1e-9; // length to which bisection narrows a change of class
  const POINTS = 400; // of a drawn curve
  const RANGES = [1, 0.2]; // up to which step the plot goes

  // ---- the network ---------------------------------------------------------

  let nets = [], images = [];

  /** Unpack what the notebook wrote; false if it is not there. A layer keeps its weights input by input. */
  function load(data) {
    if (!data) return false;
    nets = data.networks.map(({ name, a, matrices, shapes }) => ({
      name, a,
      layers: matrices.map((text, i) => {
        const [rows, columns] = shapes[i], A = numbers(text), inputs = columns - 1;
        const W = new Float64Array(inputs * rows), b = new Float64Array(rows);
        for (let r = 0; r < rows; r++) {
          for (let c = 0; c < inputs; c++) W[c * rows + r] = A[r * columns + c];
          b[r] = A[r * columns + inputs];
        }
        return { rows, inputs, W, b };
      }),
    }));
    const pixels = numbers(data.images);
    images = data.labels.map((label, i) => ({
      label, number: data.numbers[i], reason: data.reasons[i], pixels: pixels.slice(i * PIXELS, (i + 1) * PIXELS),
    }));
    return true;
  }

  /** W y, to which `start` is added. */
  function times({ rows, inputs, W }, y, start) {
    const out = start ? Float64Array.from(start) : new Float64Array(rows);
    for (let c = 0; c < inputs; c++) {
      const factor = y[c];
      if (factor === 0) continue;
      for (let r = 0, at = c * rows; r < rows; r++) out[r] += W[at + r] * factor;
    }
    return out;
  }

  /** (v + √(v² + a²)) / 2, without cancellation where v is negative. */
  function smoothRelu(v, a) {
    const twice = Math.abs(v) + Math.hypot(v, a);
    return 0.5 * (v < 0 ? a * (a / twice) : twice);
  }

  /** The values before every activation, the logits last, from those of the first layer on. */
  function continueFrom(net, first) {
    const values = [first];
    for (const layer of net.layers.slice(1)) {
      values.push(times(layer, values[values.length - 1].map((v) => smoothRelu(v, net.a)), layer.b));
    }
    return values;
  }

  function softmax(logits) {
    const top = Math.max(...logits), powers = logits.map((v) => Math.exp(v - top));
    const total = powers.reduce((sum, p) => sum + p, 0);
    return powers.map((p) => p / total);
  }

  /** The derivative of the loss -log q_label with respect to the pixels, by back-propagation. */
  function gradient(net, x, label) {
    const values = continueFrom(net, times(net.layers[0], x, net.layers[0].b));
    let d = softmax(values[values.length - 1]);
    d[label] = 0;
    d[label] = -d.reduce((sum, q) => sum + q, 0); // q - 1 without cancellation
    for (let i = net.layers.length - 1; i >= 0; i--) {
      const { rows, inputs, W } = net.layers[i], before = new Float64Array(inputs);
      for (let c = 0; c < inputs; c++) {
        let sum = 0;
        for (let r = 0; r < rows; r++) sum += W[c * rows + r] * d[r];
        before[c] = sum;
      }
      d = i ? before.map((v, c) => v * smoothRelu(values[i - 1][c], net.a) / Math.hypot(values[i - 1][c], net.a)) : before;
    }
    return d;
  }

  // ---- the ray ---------------------------------------------------------------

  const clip = (x) => x.map((p) => Math.min(1, Math.max(0, p)));

  /** x + ε s, clipped or not. */
  function moved(x, s, step, clipped) {
    const y = x.map((p, k) => p + step * s[k]);
    return clipped ? clip(y) : y;
  }

  /** The confidences as a function of the step. Without clipping the first layer is affine in the step. */
  function along(net, x, s, clipped) {
    const [first] = net.layers, start = times(first, x, first.b), slope = times(first, s);
    return (step) => {
      const v = clipped ? times(first, moved(x, s, step, true), first.b) : start.map((z, r) => z + step * slope[r]);
      const values = continueFrom(net, v);
      return softmax(values[values.length - 1]);
    };
  }

  /** Where a class-valued function of the step changes on [0, 1]: [{ from, to, k }], by scan and bisection. */
  function pieces(classes, at) {
    const found = [{ from: 0, to: 1, k: classes[0] }];
    for (let i = 0; i < GRID; i++) {
      while (found[found.length - 1].k !== classes[i + 1]) {
        const last = found[found.length - 1];
        let low = Math.max(last.from, i / GRID), high = (i + 1) / GRID;
        while (high - low > TOLERANCE) {
          const middle = (low + high) / 2;
          if (at(middle) === last.k) low = middle; else high = middle;
        }
        last.to = high;
        found.push({ from: high, to: 1, k: at(high) });
      }
    }
    return found;
  }

  const solved = new Map();

  /** All that does not depend on the present step. */
  function solve(network, image, clipped) {
    const key = [network, image, clipped].join();
    if (solved.has(key)) return solved.get(key);
    const net = nets[network], { pixels, label } = images[image];
    const s = gradient(net, pixels, label).map(Math.sign), at = along(net, pixels, s, clipped);
    const grid = Array.from({ length: GRID + 1 }, (_, i) => at(i / GRID));
    const intervals = pieces(grid.map((q) => best(q)), (step) => best(at(step)));
    const wrong = pieces(grid.map((q) => best(q, label)), (step) => best(at(step), label));
    const lost = intervals.findIndex(({ k }) => k !== label);
    const found = {
      s, at, grid, intervals,
      kinks: wrong.slice(1).map(({ from, k }, i) => ({ at: from, before: wrong[i].k, after: k })),
      epsilonMin: lost < 0 ? null : intervals[lost].from,
      back: lost < 0 ? null : (intervals.slice(lost).find(({ k }) => k === label) || { from: null }).from,
    };
    solved.set(key, found);
    return found;
  }

  const confidences = (network, image, clipped, steps) =>
    steps.map((step) => [...solve(network, image, clipped).at(step)]);

  const inputs = { network: 0, image: 0, clipped: false, epsilon: 0.05, range: 1, picked: null };
  let onSet = null;

  /** Take over a change of the inputs, and draw the page if there is one. */
  function set(change) {
    Object.assign(inputs, change);
    inputs.epsilon = Math.min(inputs.epsilon, inputs.range);
    if (onSet) onSet();
    return state();
  }

  /** The inputs and numbers of the page. */
  function state() {
    const { network, image, clipped, epsilon } = inputs, { label, number } = images[image];
    const { at, intervals, kinks, epsilonMin, back } = solve(network, image, clipped), q = at(epsilon);
    return { ...inputs, label, number, seen: best(q), rival: best(q, label), confidences: [...q], intervals, kinks, epsilonMin, back };
  }

  // ---- pictures --------------------------------------------------------------

  const share = (q) => q > 0 && q < 5e-4 ? "below 0.05\u00a0%" : `${(100 * q).toFixed(1)}\u00a0%`;
  const short = (q) => q > 0 && q < 5e-3 ? "<1\u00a0%" : `${Math.round(100 * q)}\u00a0%`;
  /** A step with four significant digits and no zeros at its end. */
  const number = (value) => Math.abs(value) < 1e-3 ? E.format(value, 4) : String(Number(value.toPrecision(4)));

  // ---- the page ----------------------------------------------------------------

  function build(root) {
    const { html, svg, choice, buttons } = E;
    if (!load(E.rayData)) {
      html("p", { text: "The networks are missing: their file is made by the notebook “ray”." }, root);
      return;
    }
    inputs.image = Math.max(0, images.findIndex(({ reason }) => reason === "of the figures"));

    const imageButtons = buttons(choice(root, "Test image", "ray-images"), images.map(() => ""), (image) => set({ image }));
    imageButtons.forEach((button, i) => {
      const { label, number: n, reason, pixels } = images[i];
      E.setAttributes(button, { class: "explorable-thumb", "aria-label": `image ${n}, a ${label}`, title: `image ${n}, a ${label}: ${reason}` });
      paint(html("canvas", { class: "explorable-paper", "aria-hidden": "true" }, button), pixels, SIDE, SIDE);
    });
    const options = html("div", { class: "explorable-ray-options" }, root);
    const netButtons = buttons(choice(options, "Network, trained for", "ray-networks"), nets.map(({ name }) => name), (network) => set({ network }));
    const clipButtons = buttons(choice(options, "Pixels", "ray-clip"), ["free", "clipped to 0…1"], (i) => set({ clipped: i === 1 }));
    const rangeButtons = buttons(choice(options, "Show steps up to", "ray-range"), RANGES.map(String), (i) => set({ range: RANGES[i] }));

    const slide = html("div", { class: "explorable-choice" }, root);
    const slideLabel = html("label", { class: "explorable-title", for: "ray-epsilon" }, slide);
    const slider = html("input", { id: "ray-epsilon", class: "explorable-ray-slider", type: "range", min: 0, max: GRID, step: 1 }, slide);
    slider.addEventListener("input", () => {
      inputs.epsilon = Number((Number(slider.value) / GRID * inputs.range).toPrecision(6));
      later();
    });
    const jumps = buttons(html("div", { class: "explorable-buttons" }, slide), ["ε = 0", "ε = ε_min"],
      (i) => set({ epsilon: i ? solve(inputs.network, inputs.image, inputs.clipped).epsilonMin : 0 }));
    jumps.forEach((button) => button.removeAttribute("aria-pressed"));

    const strip = html("div", { class: "explorable-strip" }, root);
    const pictures = ["image", "change", "image after the change"].map((name) => {
      const figure = html("figure", { class: "explorable-picture explorable-ray-picture" }, strip);
      const canvas = html("canvas", { class: "explorable-paper", role: "img" }, figure), caption = html("figcaption", {}, figure);
      return (values, limit, text) => {
        paint(canvas, values, SIDE, SIDE, limit);
        caption.textContent = text;
        E.setAttributes(canvas, { "aria-label": `${name}: ${text}` });
      };
    });
    const sentence = html("p", { class: "explorable-verdict" }, root);

    // the curves
    html("p", { class: "explorable-title", text: "Confidence in the ten classes along the ray" }, root);
    const place = html("div", { class: "explorable-ray-plot" }, root);
    const plot = E.chart(place, { label: "", axes: ["ε", "confidence"], below: 34 });
    const curves = Array.from({ length: 10 }, () => svg("path", {}, plot.marks));
    const leastMark = svg("path", { class: "explorable-line explorable-dashed" }, plot.marks);
    const nowMark = svg("path", { class: "explorable-line" }, plot.marks);
    const dots = svg("g", {}, plot.labels), names = svg("g", {}, plot.labels), band = svg("g", { "aria-hidden": "true" }, plot.svg);
    const legend = html("p", { class: "explorable-note" }, root);
    for (const [ink, text] of [["bold explorable-exact", "the right class, solid; "], ["bold explorable-computed explorable-dashed", "the strongest wrong class, dashed; "],
      ["thin", "all others, thin. Circles: another wrong class becomes the strongest. Below: which class wins where."]]) {
      svg("path", { class: `explorable-line explorable-${ink}`, d: "M0 5H26" },
        svg("svg", { class: "explorable-ray-key", viewBox: "0 0 26 10", "aria-hidden": "true" }, legend));
      legend.append(text);
    }
    const readout = html("p", { class: "explorable-note explorable-ray-readout", "aria-hidden": "true" }, root);
    const classBox = choice(root, "The classes at this step: press one to pick out its curve", "ray-classes");
    classBox.className = "explorable-ray-classes";
    const classButtons = buttons(classBox, curves.map(() => ""), (k) => set({ picked: inputs.picked === k ? null : k }));
    let hovered = null;
    classButtons.forEach((button, k) => {
      const point = (value) => () => { hovered = value; drawCurves(); };
      button.addEventListener("pointerenter", point(k));
      button.addEventListener("pointerleave", point(null));
      button.addEventListener("focus", point(k));
      button.addEventListener("blur", point(null));
    });

    // the numbers
    const folded = html("details", { class: "explorable-details explorable-ray-numbers" }, root);
    html("summary", { text: "The numbers" }, folded);
    const classTable = E.valueTable(folded, ["class", "at 0", "at ε", "largest", "where"], "Confidence in the ten classes on [0, 1]");
    const winTable = E.valueTable(folded, ["class", "from", "to"], "Which class wins where");
    const kinkTable = E.valueTable(folded, ["taken over by", "from", "at"], "Where the strongest wrong class changes");
    const say = E.announcer(root);

    // ---- drawing

    let now = null, drawn = { key: "", points: [] }; // the state that is shown, and its curves

    /** The curves in the shown range: an array of confidences a point. */
    function sampled() {
      const { network, image, clipped, range } = inputs, key = [network, image, clipped, range].join();
      if (drawn.key !== key) {
        const { at } = solve(network, image, clipped);
        drawn = { key, points: Array.from({ length: POINTS + 1 }, (_, i) => [i / POINTS * range, at(i / POINTS * range)]) };
      }
      return drawn.points;
    }

    function draw() {
      now = state();
      const { network, image, clipped, epsilon, range, label, confidences: q, epsilonMin } = now;
      const press = (all, which) => all.forEach((button, i) => button.setAttribute("aria-pressed", String(i === which)));
      press(imageButtons, image);
      press(netButtons, network);
      press(clipButtons, clipped ? 1 : 0);
      press(rangeButtons, RANGES.indexOf(range));
      press(classButtons, inputs.picked);
      jumps[1].disabled = epsilonMin === null || epsilonMin > range;
      slideLabel.textContent = `Step ε = ${number(epsilon)}, that is ${E.format(255 * epsilon, 3)} of 255 grey levels`;
      const tick = String(Math.round(epsilon / range * GRID));
      if (slider.value !== tick) slider.value = tick;
      slider.setAttribute("aria-valuetext", `ε ${number(epsilon)}, seen as ${now.seen}`);

      const { pixels, number: n } = images[image], { s, grid } = solve(network, image, clipped);
      const after = moved(pixels, s, epsilon, clipped), low = Math.min(...after), high = Math.max(...after);
      pictures[0](pixels, 0, `image ${n}, a ${label}, seen as ${best(grid[0])}`);
      pictures[1](after.map((p, k) => p - pixels[k]), epsilon || 1, epsilon ? `full colour: ±${number(epsilon)}` : "no change");
      pictures[2](after, 0, `seen as ${now.seen}; ` + (low < 0 || high > 1
        ? `pixels from ${E.format(low, 2)} to ${E.format(high, 3)}, drawn as 0 to 1` : "all pixels between 0 and 1"));
      sentence.textContent = verdict().replace(/ = /g, "\u00a0=\u00a0");
      classButtons.forEach((button, k) => {
        button.textContent = "";
        html("span", { class: "explorable-ray-class", text: String(k) }, button);
        html("span", { text: short(q[k]) }, button);
        const role = k === label ? "right" : k === now.rival ? "strongest wrong" : "";
        html("span", { class: "explorable-note", text: role || "\u00a0" }, button);
        button.setAttribute("aria-label", `class ${k}${role ? `, ${role}` : ""}: ${share(q[k])}`);
      });
      drawCurves();
      fill(grid);
      say(sentence.textContent);
    }

    function verdict() {
      const { label, number: n, epsilon, seen, confidences: q, epsilonMin, back } = now;
      let text = `Test image ${n} is a ${label}. At ε = ${number(epsilon)} the network sees a ${seen} with a confidence of ${share(q[seen])}`
        + (seen === label ? `; its strongest rival is ${now.rival} with ${share(q[now.rival])}. ` : `, and a ${label} with ${share(q[label])}. `);
      if (epsilonMin === null) return `${text}No step up to 1 takes the class away.`;
      text += epsilonMin === 0 ? "It is misclassified from the start, so ε_min = 0. " : `The right class is lost at ε_min = ${number(epsilonMin)}. `;
      return text + (back === null ? "It does not come back up to ε = 1." : `It comes back at ε = ${number(back)}: the misclassified steps are not an interval.`);
    }

    function drawCurves() {
      const { label, rival, epsilon, range, confidences: q, epsilonMin, kinks, intervals } = now;
      const points = sampled(), chosen = hovered === null ? inputs.picked : hovered, { frame } = plot;
      plot.setView([0, range], [0, 1]);
      const style = (k) => k === label ? "explorable-exact explorable-bold"
        : k === rival ? "explorable-computed explorable-bold explorable-dashed" : "explorable-thin";
      curves.forEach((path, k) => E.setAttributes(path, {
        d: E.polyline(points.map(([step, p]) => plot.toPixel([step, p[k]]))),
        class: `explorable-line ${style(k)}${k === chosen ? " explorable-ray-chosen" : ""}`,
      }));
      [...curves.keys()].sort((a, b) => rank(a) - rank(b)).forEach((k) => plot.marks.insertBefore(curves[k], leastMark));
      function rank(k) { return k === chosen ? 3 : k === label ? 2 : k === rival ? 1 : 0; }

      const vertical = (step) => `M${plot.toPixel([step, 0])[0].toFixed(2)} ${frame.top}V${frame.bottom}`;
      const shown = epsilonMin !== null && epsilonMin <= range;
      E.setAttributes(leastMark, { d: shown ? vertical(epsilonMin) : "" });
      E.setAttributes(nowMark, { d: vertical(epsilon) });
      dots.textContent = "";
      const dot = (step, value, attributes) => {
        const [cx, cy] = plot.toPixel([step, value]);
        svg("circle", { cx, cy, ...attributes }, dots);
      };
      const { at } = solve(inputs.network, inputs.image, inputs.clipped);
      kinks.filter((kink) => kink.at <= range).forEach((kink) => dot(kink.at, at(kink.at)[kink.after], { r: 4.5, class: "explorable-open" }));
      dot(epsilon, q[rival], { r: 5, class: "explorable-ray-rival" });
      dot(epsilon, q[label], { r: 5, class: "explorable-dot" });

      names.textContent = "";
      const peaks = [...curves.keys()].map((k) => {
        const peak = points.reduce((top, point) => point[1][k] > top[1][k] ? point : top);
        return { k, at: plot.toPixel([peak[0], peak[1][k]]), height: peak[1][k] };
      });
      const worth = peaks.filter(({ k, height }) => height > 0.05 || k === label || k === rival || k === chosen)
        .sort((a, b) => rank(b.k) - rank(a.k) || b.height - a.height);
      const obstacles = worth.flatMap(({ k }) => points.filter((_, i) => i % 6 === 0).map(([step, p]) => plot.toPixel([step, p[k]])));
      const ink = (k) => k === label ? "exact" : k === rival ? "computed" : "muted";
      const labels = worth.map(({ k, at: point }) => ({
        element: svg("text", { class: `explorable-ink-${ink(k)}`, text: k === label ? `${k} right` : String(k) }, names), at: point,
      }));
      if (shown) {
        const [px] = plot.toPixel([epsilonMin, 0]), left = px > (frame.left + frame.right) / 2, side = left ? -1 : 1;
        svg("text", { x: px + 5 * side, y: frame.top - 7, "text-anchor": left ? "end" : "start", text: "ε_min", class: "explorable-ink-muted" }, names);
      }
      E.placeLabels(labels, obstacles, frame);

      // which class wins where
      band.textContent = "";
      const top = frame.bottom + 30, height = 24;
      svg("text", { x: frame.left - 6, y: top + 16, "text-anchor": "end", class: "explorable-ray-band-name", text: "wins" }, band);
      intervals.filter(({ from }) => from < range).forEach(({ from, to, k }, i) => {
        const [left] = plot.toPixel([from, 0]), [right] = plot.toPixel([Math.min(to, range), 0]);
        const kind = k === label ? "own" : i % 2 ? "odd" : "even";
        svg("title", { text: `class ${k} from ${number(from)} to ${number(to)}` },
          svg("rect", { x: left, y: top, width: Math.max(right - left, 0.5), height, class: `explorable-ray-${kind}` }, band));
        if (right - left > 11) {
          svg("text", { x: (left + right) / 2, y: top + 17, "text-anchor": "middle", class: "explorable-ray-winner", text: String(k) }, band);
        }
      });
      const [px] = plot.toPixel([epsilon, 0]);
      svg("path", { class: "explorable-line", d: `M${px.toFixed(2)} ${top - 4}V${top + height + 3}` }, band);
      E.setAttributes(plot.svg, {
        "aria-label": `Confidence against the step ε from 0 to ${range}. Classes that win, in order: `
          + `${intervals.map(({ k }) => k).join(", ")}. The numbers are in the folded tables below.`,
      });
      readout.textContent = chosen === null ? "Move over the curves, or choose a class, to pick out a curve."
        : `class ${chosen}: ${share(q[chosen])} at ε = ${number(epsilon)}, `
          + `at most ${share(peaks[chosen].height)} in the range shown`;
    }

    function fill(grid) {
      const { confidences: q, intervals, kinks, label } = now;
      classTable([...q.keys()].map((k) => {
        const top = grid.reduce((most, p, i) => p[k] > grid[most][k] ? i : most, 0);
        return [k === label ? `${k} (right)` : String(k), share(grid[0][k]), share(q[k]), share(grid[top][k]), number(top / GRID)];
      }));
      winTable(intervals.map(({ from, to, k }) => [k === label ? `${k} (right)` : String(k), number(from), number(to)]));
      kinkTable(kinks.length ? kinks.map(({ at, before, after }) => [String(after), String(before), number(at)]) : [["never", "–", "–"]]);
    }

    // ---- the pointer in the plot: a press moves the step, without one it picks out a curve

    let waiting = false;
    function later() {
      if (waiting) return;
      waiting = true;
      requestAnimationFrame(() => { waiting = false; set({}); });
    }
    let grip = null;
    const stepAt = (event) => {
      const [step] = plot.toData(plot.fromEvent(event)), fine = inputs.range / GRID;
      inputs.epsilon = Number((Math.min(GRID, Math.max(0, Math.round(step / fine))) * fine).toPrecision(6));
      later();
    };
    plot.svg.addEventListener("pointerdown", (event) => {
      if (grip !== null || event.button !== 0) return;
      grip = event.pointerId;
      plot.svg.setPointerCapture(grip);
      stepAt(event);
      event.preventDefault();
    });
    plot.svg.addEventListener("pointermove", (event) => {
      if (grip === event.pointerId) return stepAt(event);
      if (event.pointerType !== "mouse") return;
      const [px, py] = plot.fromEvent(event), [step] = plot.toData([px, py]), points = sampled();
      const { left, right, top, bottom } = plot.frame;
      const [, p] = points[Math.min(POINTS, Math.max(0, Math.round(step / inputs.range * POINTS)))];
      const distance = [...p].map((value) => Math.abs(plot.toPixel([0, value])[1] - py));
      const nearest = best(distance.map((d) => -d));
      const inside = px >= left && px <= right && py >= top && py <= bottom + 8;
      const next = inside && distance[nearest] < 14 ? nearest : null;
      if (next !== hovered) { hovered = next; drawCurves(); }
    });
    plot.svg.addEventListener("pointerleave", () => { if (hovered !== null) { hovered = null; drawCurves(); } });
    const release = (event) => { if (grip === event.pointerId) grip = null; };
    plot.svg.addEventListener("pointerup", release);
    plot.svg.addEventListener("pointercancel", release);

    let wide = 0;
    const fit = () => {
      if (place.clientWidth === wide || !place.clientWidth) return;
      wide = place.clientWidth;
      plot.setSize(wide, wide < 480 ? 300 : 360);
      if (onSet) drawCurves();
    };
    new ResizeObserver(fit).observe(place);
    fit();
    onSet = draw;
    set({});
  }

  E.ray = { state, set, solve, confidences };
  E.ready("ray", build);
})();
