/* Explorable: the confidences of a network while an image moves along the sign of its loss gradient.
 * Needs elements.js, axes.js, pixels.js, network.js and ray-data.js (which notebooks/24_confidence_along_the_ray.ipynb makes) before it and
 * <div class="explorable" id="ray"></div>. For tests: window.explorables.ray.state, .set, .solve and .confidences. */
"use strict";

{
  const E = window.explorables, { html, svg, choice, buttons, numbers, best, paint } = E;
  const { layer, ACTIVATIONS, smoothRelu, times, continueFrom, softmax, gradient } = E.network;
  const SIDE = 28, PIXELS = SIDE * SIDE, CLASSES = 10;
  const GRID = 1000; // cells of the scan of [0, 1]
  const TOLERANCE = 1e-9; // length to which bisection narrows a change of class
  const POINTS = 400; // of a drawn curve
  const RANGES = [1, 0.2]; // up to which step the plot goes

  // ---- networks and images ---------------------------------------------------------

  let nets = [], images = [];

  /** Unpack what the notebook wrote; false if it is not there. */
  function load(data) {
    if (!data) return false;
    nets = data.networks.map(({ name, a, matrices, shapes }) => ({
      name,
      layers: matrices.map((text, i) =>
        layer(numbers(text), shapes[i], i < matrices.length - 1 ? smoothRelu(a) : ACTIVATIONS.linear)),
    }));
    const pixels = numbers(data.images);
    images = data.labels.map((label, i) => ({
      label, number: data.numbers[i], reason: data.reasons[i], pixels: pixels.slice(i * PIXELS, (i + 1) * PIXELS),
    }));
    return true;
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
      return softmax(continueFrom(net, v).outputs);
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

  // ---- numbers as texts ------------------------------------------------------

  const share = (q) => q > 0 && q < 5e-4 ? "below 0.05\u00a0%" : `${(100 * q).toFixed(1)}\u00a0%`;
  const short = (q) => q > 0 && q < 5e-3 ? "<1\u00a0%" : `${Math.round(100 * q)}\u00a0%`;
  /** A step with four significant digits and no zeros at its end. */
  const number = (value) => Math.abs(value) < 1e-3 ? E.format(value, 4) : String(Number(value.toPrecision(4)));

  // ---- the controls ------------------------------------------------------------

  /** The step in one place, images, network, pixels and range in the other: { draw, later }; later(step) takes over a
   *  step in the next frame. */
  function controls(place, hand) {
    const later = E.eachFrame((epsilon) => set({ epsilon }));
    const attributes = { id: "ray-epsilon", class: "explorable-ray-slider", min: 0, max: GRID, step: 1 };
    const step = E.slider(place, attributes, (tick) => later(Number((tick / GRID * inputs.range).toPrecision(6))));

    const imageBox = choice(hand, "Test image", "ray-images");
    imageBox.classList.add("explorable-thumbs");
    const imageButtons = buttons(imageBox, images.map(() => ""), (image) => set({ image }));
    imageButtons.forEach((button, i) => {
      const { label, number: n, reason, pixels } = images[i], name = `image ${n}, ${E.article(label)}`;
      E.thumbnail(button, name, (canvas) => paint(canvas, pixels, SIDE, SIDE), `${name}: ${reason}`);
    });
    const netButtons = buttons(choice(hand, "Network, trained for", "ray-networks"), nets.map(({ name }) => name), (network) => set({ network }));
    const options = html("div", { class: "explorable-ray-options" }, hand);
    const jumps = buttons(choice(options, "Go to", "ray-jumps"), ["ε = 0", "ε = ε_min"],
      (i) => set({ epsilon: i ? solve(inputs.network, inputs.image, inputs.clipped).epsilonMin : 0 }));
    jumps.forEach((button) => button.removeAttribute("aria-pressed"));
    const clipButtons = buttons(choice(options, "Pixels", "ray-clip"), ["free", "clipped to 0…1"], (i) => set({ clipped: i === 1 }));
    const rangeButtons = buttons(choice(options, "Show steps up to", "ray-range"), RANGES.map(String), (i) => set({ range: RANGES[i] }));

    return {
      later,
      draw: ({ network, image, clipped, epsilon, range, seen, epsilonMin }) => {
        E.press(imageButtons, image);
        E.press(netButtons, network);
        E.press(clipButtons, clipped ? 1 : 0);
        E.press(rangeButtons, RANGES.indexOf(range));
        jumps[1].disabled = epsilonMin === null || epsilonMin > range;
        step.show(Math.round(epsilon / range * GRID),
          `ε = ${number(epsilon)}, or ${E.format(255 * epsilon, 3)} of 255 grey levels`, `ε ${number(epsilon)}, seen as ${seen}`);
      },
    };
  }

  /** One button a class, which picks out its curve; point(k or null) is called while one is pointed at. Returns what
   *  writes the confidences into them. */
  function classBoxes(root, point) {
    const box = choice(root, "The classes at this step: press one to pick out its curve", "ray-classes");
    box.className = "explorable-ray-classes";
    const all = buttons(box, Array(CLASSES).fill(""), (k) => set({ picked: inputs.picked === k ? null : k }));
    all.forEach((button, k) => {
      button.addEventListener("pointerenter", () => point(k));
      button.addEventListener("pointerleave", () => point(null));
      button.addEventListener("focus", () => point(k));
      button.addEventListener("blur", () => point(null));
    });
    return ({ label, rival, picked, confidences: q }) => {
      E.press(all, picked);
      all.forEach((button, k) => {
        button.textContent = "";
        html("span", { class: "explorable-ray-class", text: String(k) }, button);
        html("span", { text: short(q[k]) }, button);
        const role = k === label ? "right" : k === rival ? "strongest wrong" : "";
        html("span", { class: "explorable-note", text: role || "\u00a0" }, button);
        button.setAttribute("aria-label", `class ${k}${role ? `, ${role}` : ""}: ${share(q[k])}`);
      });
    };
  }

  // ---- pictures, words, tables -----------------------------------------------------

  /** The image after the change, beside the verdict; returns the function that draws them. */
  function movedImage(root) {
    const result = html("div", { class: "explorable-ray-result" }, root);
    const { canvas, caption, describe } = E.picture(result, "image after the change", "explorable-ray-after");
    const sentence = html("p", { class: "explorable-verdict" }, result);
    return (now) => {
      paint(canvas, there(now), SIDE, SIDE);
      caption.textContent = `seen as ${E.article(now.seen)}`;
      describe(caption.textContent);
      sentence.textContent = verdict(now).replace(/ = /g, "\u00a0=\u00a0");
      return sentence.textContent;
    };
  }

  /** The pixels at the present step. */
  const there = ({ network, image, clipped, epsilon }) => moved(images[image].pixels, solve(network, image, clipped).s, epsilon, clipped);

  /** The image before the change, and the change; returns the function that draws them. */
  function imageAndChange(root) {
    const strip = html("div", { class: "explorable-strip" }, root);
    const [before, change] = ["image", "change"].map((name) => E.picture(strip, name, "explorable-ray-picture"));
    const note = html("p", { class: "explorable-note" }, strip);
    return (now) => {
      const { network, image, clipped, epsilon, label } = now, { pixels, number: n } = images[image], { grid } = solve(network, image, clipped);
      const after = there(now), low = Math.min(...after), high = Math.max(...after);
      paint(before.canvas, pixels, SIDE, SIDE);
      before.caption.textContent = `image ${n}, ${E.article(label)}, seen as ${E.article(best(grid[0]))}`;
      paint(change.canvas, after.map((p, k) => p - pixels[k]), SIDE, SIDE, epsilon || 1);
      change.caption.textContent = epsilon ? `change; full colour: ±${number(epsilon)}` : "no change";
      [before, change].forEach(({ caption, describe }) => describe(caption.textContent));
      note.textContent = low < 0 || high > 1
        ? `After the change, pixels go from ${E.format(low, 2)} to ${E.format(high, 3)} and are drawn as 0 to 1.` : "After the change, all pixels are between 0 and 1.";
    };
  }

  /** What the network sees at this step, in a sentence. */
  function verdict({ label, epsilon, seen, rival, confidences: q }) {
    const start = `At ε = ${number(epsilon)} the network sees ${E.article(seen)}, ${share(q[seen])} sure`;
    return seen === label ? `${start}, as it should; next comes ${rival} with ${share(q[rival])}.`
      : `${start}; the image is ${E.article(label)}, in which it has a confidence of ${share(q[label])}.`;
  }

  /** Where the right class is lost, and whether it comes back. */
  function lossAndReturn({ label, number: n, epsilonMin, back }) {
    const image = `Test image ${n} is ${E.article(label)}.`;
    if (epsilonMin === null) return `${image} No step up to 1 takes the class away.`;
    return `${image} ${epsilonMin === 0 ? "It is misclassified from the start, so ε_min = 0." : `The right class is lost at ε_min = ${number(epsilonMin)}.`} `
      + (back === null ? "It does not come back up to ε = 1." : `It comes back at ε = ${number(back)}: the misclassified steps are not an interval.`);
  }

  /** Three folded tables; returns the function that fills them. */
  function numberTables(root) {
    const box = E.folded(root, "The numbers", "explorable-details explorable-ray-numbers");
    const classTable = E.valueTable(box, ["class", "at 0", "at ε", "largest", "where"], "Confidence in the ten classes on [0, 1]");
    const winTable = E.valueTable(box, ["class", "from", "to"], "Which class wins where");
    const kinkTable = E.valueTable(box, ["taken over by", "from", "at"], "Where the strongest wrong class changes");
    return ({ network, image, clipped, confidences: q, intervals, kinks, label }) => {
      const { grid } = solve(network, image, clipped), name = (k) => k === label ? `${k} (right)` : String(k);
      classTable([...q.keys()].map((k) => {
        const top = grid.reduce((most, p, i) => p[k] > grid[most][k] ? i : most, 0);
        return [name(k), share(grid[0][k]), share(q[k]), share(grid[top][k]), number(top / GRID)];
      }));
      winTable(intervals.map(({ from, to, k }) => [name(k), number(from), number(to)]));
      kinkTable(kinks.length ? kinks.map(({ at, before, after }) => [String(after), String(before), number(at)]) : [["never", "–", "–"]]);
    };
  }

  // ---- the curves --------------------------------------------------------------

  let drawn = { key: "", points: [] }; // the curves that are shown

  /** The curves in the shown range: an array of confidences a point. */
  function sampled() {
    const { network, image, clipped, range } = inputs, key = [network, image, clipped, range].join();
    if (drawn.key !== key) {
      const { at } = solve(network, image, clipped);
      drawn = { key, points: Array.from({ length: POINTS + 1 }, (_, i) => [i / POINTS * range, at(i / POINTS * range)]) };
    }
    return drawn.points;
  }

  /** The plot in one place, its legend in another: what is drawn in it, by name. */
  function curvePlot(root, more) {
    html("p", { class: "explorable-title", text: "Confidence in the ten classes" }, root);
    const place = html("div", { class: "explorable-ray-plot" }, root);
    const plot = E.chart(place, { label: "", axes: ["ε", "confidence"], below: 34 });
    const curves = Array.from({ length: CLASSES }, () => svg("path", {}, plot.marks));
    const leastMark = svg("path", { class: "explorable-line explorable-dashed" }, plot.marks);
    const nowMark = svg("path", { class: "explorable-line" }, plot.marks);
    const dots = svg("g", {}, plot.labels), names = svg("g", {}, plot.labels), band = svg("g", { "aria-hidden": "true" }, plot.svg);
    const loss = html("p", { class: "explorable-ray-loss" }, more), legend = html("p", { class: "explorable-note" }, more);
    for (const [ink, text] of [["bold explorable-exact", "the right class, solid; "], ["bold explorable-computed explorable-dashed", "the strongest wrong class, dashed; "],
      ["thin", "all others, thin. Circles: another wrong class becomes the strongest. Below: which class wins where."]]) {
      svg("path", { class: `explorable-line explorable-${ink}`, d: "M0 5H26" },
        svg("svg", { class: "explorable-ray-key", viewBox: "0 0 26 10", "aria-hidden": "true" }, legend));
      legend.append(text);
    }
    const readout = html("p", { class: "explorable-note explorable-ray-readout", "aria-hidden": "true" }, more);
    return { place, plot, curves, leastMark, nowMark, dots, names, band, loss, readout };
  }

  /** How far in front a class is drawn. */
  const rank = (k, { label, rival }, chosen) => k === chosen ? 3 : k === label ? 2 : k === rival ? 1 : 0;

  /** Draw all that belongs to the curves, with one class picked out or none. */
  function drawCurves(parts, now, chosen) {
    const { plot, loss, readout } = parts, { range, epsilon, confidences: q, intervals } = now, points = sampled();
    plot.setView([0, range], [0, 1]);
    drawLines(parts, now, chosen, points);
    drawDots(parts, now);
    const peaks = q.map((_, k) => {
      const peak = points.reduce((top, point) => point[1][k] > top[1][k] ? point : top);
      return { k, at: plot.toPixel([peak[0], peak[1][k]]), height: peak[1][k] };
    });
    nameCurves(parts, now, chosen, points, peaks);
    drawWinners(parts, now);
    E.setAttributes(plot.svg, {
      "aria-label": `Confidence against the step ε from 0 to ${range}. Classes that win, in order: `
        + `${intervals.map(({ k }) => k).join(", ")}. The numbers are in the folded tables below.`,
    });
    loss.textContent = lossAndReturn(now).replace(/ = /g, "\u00a0=\u00a0");
    readout.textContent = chosen === null ? "Move over the curves, or choose a class, to pick out a curve."
      : `class ${chosen}: ${share(q[chosen])} at ε = ${number(epsilon)}, `
        + `at most ${share(peaks[chosen].height)} in the range shown`;
  }

  /** The curves, those that matter in front, and the lines at ε_min and at the present step. */
  function drawLines({ plot, curves, leastMark, nowMark }, now, chosen, points) {
    const { label, rival, epsilon, range, epsilonMin } = now, { frame } = plot;
    const style = (k) => k === label ? "explorable-exact explorable-bold"
      : k === rival ? "explorable-computed explorable-bold explorable-dashed" : "explorable-thin";
    curves.forEach((path, k) => E.setAttributes(path, {
      d: E.polyline(points.map(([step, p]) => plot.toPixel([step, p[k]]))),
      class: `explorable-line ${style(k)}${k === chosen ? " explorable-ray-chosen" : ""}`,
    }));
    [...curves.keys()].sort((a, b) => rank(a, now, chosen) - rank(b, now, chosen))
      .forEach((k) => plot.marks.insertBefore(curves[k], leastMark));
    const vertical = (step) => `M${plot.toPixel([step, 0])[0].toFixed(2)} ${frame.top}V${frame.bottom}`;
    E.setAttributes(leastMark, { d: epsilonMin !== null && epsilonMin <= range ? vertical(epsilonMin) : "" });
    E.setAttributes(nowMark, { d: vertical(epsilon) });
  }

  /** Circles where another wrong class becomes the strongest, dots at the present step. */
  function drawDots({ plot, dots }, { network, image, clipped, label, rival, epsilon, range, confidences: q, kinks }) {
    const { at } = solve(network, image, clipped);
    const dot = (step, value, attributes) => {
      const [cx, cy] = plot.toPixel([step, value]);
      svg("circle", { cx, cy, ...attributes }, dots);
    };
    dots.textContent = "";
    kinks.filter((kink) => kink.at <= range).forEach((kink) => dot(kink.at, at(kink.at)[kink.after], { r: 4.5, class: "explorable-open" }));
    dot(epsilon, q[rival], { r: 5, class: "explorable-ray-rival" });
    dot(epsilon, q[label], { r: 5, class: "explorable-dot" });
  }

  /** The names of the curves that are worth one at their highest points, and of ε_min. */
  function nameCurves({ plot, names }, now, chosen, points, peaks) {
    const { label, rival, range, epsilonMin } = now, { frame } = plot;
    names.textContent = "";
    const worth = peaks.filter(({ k, height }) => height > 0.05 || k === label || k === rival || k === chosen)
      .sort((a, b) => rank(b.k, now, chosen) - rank(a.k, now, chosen) || b.height - a.height);
    const obstacles = worth.flatMap(({ k }) => points.filter((_, i) => i % 6 === 0).map(([step, p]) => plot.toPixel([step, p[k]])));
    const ink = (k) => k === label ? "exact" : k === rival ? "computed" : "muted";
    const labels = worth.map(({ k, at: point }) => ({
      element: svg("text", { class: `explorable-ink-${ink(k)}`, text: k === label ? `${k} right` : String(k) }, names), at: point,
    }));
    if (epsilonMin !== null && epsilonMin <= range) {
      const [px] = plot.toPixel([epsilonMin, 0]), left = px > (frame.left + frame.right) / 2, side = left ? -1 : 1;
      svg("text", { x: px + 5 * side, y: frame.top - 7, "text-anchor": left ? "end" : "start", text: "ε_min", class: "explorable-ink-muted" }, names);
    }
    E.placeLabels(labels, obstacles, frame);
  }

  /** The band below the plot: which class wins where. */
  function drawWinners({ plot, band }, { label, epsilon, range, intervals }) {
    const { frame } = plot, top = frame.bottom + 30, height = 24;
    band.textContent = "";
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
  }

  /** The class whose curve is near a place in the plot, or null. */
  function curveNear(plot, [px, py]) {
    const { left, right, top, bottom } = plot.frame, [step] = plot.toData([px, py]);
    const [, p] = sampled()[Math.min(POINTS, Math.max(0, Math.round(step / inputs.range * POINTS)))];
    const distance = [...p].map((value) => Math.abs(plot.toPixel([0, value])[1] - py));
    const nearest = best(distance.map((d) => -d));
    const inside = px >= left && px <= right && py >= top && py <= bottom + 8;
    return inside && distance[nearest] < 14 ? nearest : null;
  }

  // ---- the page ----------------------------------------------------------------

  function build(root) {
    if (!load(E.rayData)) return E.missing(root, "The networks are missing: their file", "“24_confidence_along_the_ray”");
    inputs.image = Math.max(0, images.findIndex(({ reason }) => reason === "of the figures"));

    const [show, hand, more] = E.stage(root), parts = curvePlot(show, more), { plot } = parts;
    const drawMoved = movedImage(hand), controls_ = controls(show, hand);
    let now = null, hovered = null; // the state that is shown, and the class that is pointed at
    const redraw = () => drawCurves(parts, now, hovered === null ? inputs.picked : hovered);
    const point = (k) => {
      hovered = k;
      redraw();
    };
    const writeClasses = classBoxes(more, point), drawPictures = imageAndChange(root);
    const fillTables = numberTables(root), say = E.announcer(root);

    // the pointer in the plot: a press moves the step, without one it picks out a curve
    const stepTo = (event) => {
      const [step] = plot.toData(plot.fromEvent(event)), fine = inputs.range / GRID;
      controls_.later(Number((Math.min(GRID, Math.max(0, Math.round(step / fine))) * fine).toPrecision(6)));
    };
    const pointChanged = (k) => { if (k !== hovered) point(k); };
    E.drag(plot.svg, {
      press: stepTo, move: stepTo,
      hover: (event) => { if (event.pointerType === "mouse") pointChanged(curveNear(plot, plot.fromEvent(event))); },
    });
    plot.svg.addEventListener("pointerleave", () => pointChanged(null));

    E.whenWide(parts.place, (wide) => {
      plot.setSize(wide, wide < 480 ? 205 : 300);
      if (now) redraw();
    });
    onSet = () => {
      now = state();
      controls_.draw(now);
      const said = drawMoved(now);
      drawPictures(now);
      writeClasses(now);
      redraw();
      fillTables(now);
      say(said);
    };
    set({});
  }

  E.ray = { state, set, solve, confidences };
  E.ready("ray", build);
}
