/* Explorable: lower bounds and attacks of an image on one axis, and the image moved by any radius along four directions.
 * Needs explorables.js and sandwich-data.js (which notebooks/ball.ipynb makes) before it and
 * <div class="explorable" id="sandwich"></div>. For tests: window.explorables.sandwich.state, .set and .classAt. */
(function () {
  "use strict";

  const E = window.explorables, { numbers, best } = E;
  const TICKS = 1000; // places of the slider, evenly spaced in the logarithm of the radius
  const CIFAR = ["aeroplane", "car", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "lorry"];
  // From below to above: key, name on the axis, what its line and its mark look like.
  const LENGTHS = [
    { key: "published", name: "published bound", ink: "thin", mark: "M-6 -5H6L0 6Z" },
    { key: "repaired", name: "repaired bound", ink: "exact", mark: "M-5 -5H5V5H-5Z" },
    { key: "tight", name: "tight bound", ink: "changed", mark: "M-6 0a6 6 0 1 0 12 0a6 6 0 1 0 -12 0Z" },
    { key: "attack", name: "converged attack", ink: "computed", mark: "M-6 5H6L0 -6Z" },
    { key: "FGS", name: "FGS", ink: "computed", mark: "M-5 -5L5 5M-5 5L5 -5" },
  ];
  const DIRECTIONS = [["attack", "along the attack"], ["FGS", "along FGS"], ["gradient", "along the gradient"], ["random", "at random"]];

  // ---- networks and images ---------------------------------------------------

  let nets = [], sets = {}, missing = [];

  /** Unpack what the notebook wrote; false if it is not there. */
  function load(data) {
    if (!data) return false;
    missing = data.missing;
    for (const [key, set] of Object.entries(data.sets)) {
      const size = set.shape.reduce((a, b) => a * b, 1), pixels = numbers(set.pixels);
      sets[key] = {
        ...set, key, size, random: numbers(set.random),
        images: set.labels.map((label, i) => ({ label, number: set.numbers[i], pixels: pixels.slice(i * size, (i + 1) * size) })),
      };
    }
    nets = data.networks.map((net) => {
      const known = Object.values(net.lengths).flat().filter((length) => length > 0);
      return {
        ...net, set: sets[net.set], attacks: numbers(net.attacks), gradients: numbers(net.gradients),
        low: Number((Math.min(0.1, ...known) / 2).toPrecision(1)), // where the axis begins
        layers: net.weights && net.weights.matrices.map((text, i) => {
          const [rows, columns] = net.weights.shapes[i];
          return { rows, columns, A: numbers(text), activation: net.weights.activations[i] };
        }),
      };
    });
    return nets.length > 0;
  }

  const FUNCTIONS = { linear: (v) => v, relu: (v) => Math.max(v, 0), tanh: Math.tanh };

  /** The logits of a network without convolutions; the last column of every matrix holds the biases. */
  function logits(net, x) {
    let y = x;
    for (const { rows, columns, A, activation } of net.layers) {
      const out = new Float64Array(rows);
      for (let r = 0; r < rows; r++) {
        let sum = A[(r + 1) * columns - 1];
        for (let c = 0, at = r * columns; c < columns - 1; c++) sum += A[at + c] * y[c];
        out[r] = FUNCTIONS[activation](sum);
      }
      y = out;
    }
    return y;
  }

  /** The unit vector of a direction, or null where there is none. */
  function direction(net, image, kind) {
    const { size, random } = net.set, part = (all) => all.slice(image * size, (image + 1) * size);
    const values = kind === "random" ? random : part(kind === "attack" ? net.attacks : net.gradients);
    const change = kind === "FGS" ? values.map(Math.sign) : values, length = Math.hypot(...change);
    return length > 0 ? change.map((v) => v / length) : null;
  }

  /** The image moved by the radius along a direction, or null. */
  function moved(net, image, kind, radius) {
    const u = direction(net, image, kind);
    return u && net.set.images[image].pixels.map((p, k) => p + radius * u[k]);
  }

  /** What the network sees there: computed, or looked up where the notebook saw the class change. */
  function classAt(network, image, kind, radius) {
    const net = nets[network];
    if (!net.layers) return net.walks[kind][image].reduce((seen, [from, k]) => from <= radius ? k : seen, null);
    const x = moved(net, image, kind, radius);
    return best(logits(net, x || net.set.images[image].pixels));
  }

  // ---- the state -------------------------------------------------------------

  const inputs = { network: 0, image: 0, radius: 0.1 };
  let onSet = null;

  /** The five lengths of an image, the best proven bound and the shortest known change of class (Infinity if there is none). */
  function lengthsOf(net, image) {
    const all = Object.fromEntries(LENGTHS.map(({ key }) => [key, net.lengths[key][image]]));
    const lost = Object.values(net.walks).map((walk) => (walk[image][1] || [null])[0]);
    const found = [all.attack, all.FGS, ...lost].filter((length) => length !== null);
    return { all, bound: Math.max(all.repaired, all.tight), attack: all.attack === 0 ? 0 : Math.min(Infinity, ...found) };
  }

  const median = (values) => {
    const sorted = values.slice().sort((a, b) => a - b), half = sorted.length >> 1;
    return sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
  };

  /** Take over a change of the inputs, and draw the page if there is one. */
  function set(change) {
    Object.assign(inputs, change);
    const net = nets[inputs.network];
    inputs.image = Math.min(inputs.image, net.set.images.length - 1);
    inputs.radius = Math.min(net.top, Math.max(net.low, inputs.radius));
    if (onSet) onSet();
    return state();
  }

  /** The inputs and numbers of the page. */
  function state() {
    const { network, image, radius } = inputs, net = nets[network], { label, number } = net.set.images[image];
    const { all, bound, attack } = lengthsOf(net, image);
    const zone = attack === 0 ? "misclassified" : radius <= bound ? "proved" : radius < attack ? "unknown" : "attacked";
    const shares = net.set.images.map((_, i) => lengthsOf(net, i)).filter((l) => l.attack > 0 && l.attack < Infinity).map((l) => l.bound / l.attack);
    return {
      ...inputs, name: net.name, label, number, lengths: all, bound, attack: attack === Infinity ? null : attack, zone,
      share: attack > 0 && attack < Infinity ? bound / attack : null, shares: shares.length, median: shares.length ? median(shares) : null,
      plain: classAt(network, image, "random", 0),
      seen: Object.fromEntries(DIRECTIONS.map(([kind]) => [kind, classAt(network, image, kind, radius)])),
      lost: Object.fromEntries(DIRECTIONS.map(([kind]) => [kind, (net.walks[kind][image][1] || [null])[0]])),
    };
  }

  // ---- words and pictures ------------------------------------------------------

  const number = (value, digits = 3) => value === null ? "none" : E.format(value, digits);
  /** As many digits as tell these numbers apart, three to nine. */
  const digitsFor = (values) => {
    const different = new Set(values).size;
    return [3, 4, 5, 6, 7, 8, 9].find((digits) => new Set(values.map((v) => number(v, digits))).size === different) || 9;
  };
  const fraction = (value) => value.toFixed(value > 0.999 ? 6 : 3);
  const noun = (net, k) => net.set.key !== "cifar10" ? `${k}` : CIFAR[k];
  const article = (text) => (/^[aeiou8]/.test(text) ? "an " : "a ") + text;

  /** Ink on white for one channel, else the colours themselves. */
  function paint(canvas, values, [high, wide, channels]) {
    if (!channels) return E.paint(canvas, values, wide, high, 0);
    Object.assign(canvas, { width: wide, height: high });
    const context = canvas.getContext("2d"), picture = context.createImageData(wide, high);
    for (let k = 0; k < wide * high; k++) {
      for (let c = 0; c < 3; c++) picture.data[4 * k + c] = 255 * values[3 * k + c];
      picture.data[4 * k + 3] = 255;
    }
    context.putImageData(picture, 0, 0);
  }

  function verdict(now) {
    const net = nets[now.network], what = (k) => article(noun(net, k)), { all } = lengthsOf(net, now.image);
    const compared = { proved: [now.radius], unknown: [now.radius, now.bound, now.attack], attacked: [now.radius, now.attack] }[now.zone] || [];
    const digits = digitsFor(compared.filter((v) => v !== null)), number = (v) => E.format(v, digits);
    const r = number(now.radius);
    if (now.zone === "misclassified") {
      return [`Test image ${now.number} is misclassified`, ` without any change: ${what(now.label)}, seen as ${what(now.plain)}. By definition all five lengths are zero.`];
    }
    const published = now.radius <= all.published && now.zone === "unknown" ? " The published bound reaches further than this, but it proves nothing." : "";
    const [head, tail] = {
      proved: ["Proved: nothing in this ball changes the class.", ` No image closer than ${r} to test image ${now.number} is seen as anything but ${what(now.label)}.`],
      unknown: ["Nobody knows: no attack found, no proof.", ` The radius ${r} is beyond the bound ${number(now.bound)}`
        + (now.attack === null ? " and no attack is known at all." : ` and short of the attack ${number(now.attack)}.`)],
      attacked: ["An attack is known.", ` The radius is ${r}, and a change of length ${number(now.attack)} already takes the class ${noun(net, now.label)} away.`],
    }[now.zone];
    return [head, tail + published];
  }

  function ratio(now) {
    const all = now.median === null ? "" : ` Median of the ${now.shares} images that can be compared: ${fraction(now.median)}.`;
    return (now.share === null ? "There is no ratio for this image." : `Tight bound / shortest attack known = ${fraction(now.share)}.`) + all;
  }

  // ---- the page ----------------------------------------------------------------

  function build(root) {
    const { html, svg, choice, buttons } = E;
    if (!load(E.sandwichData)) {
      html("p", { text: "The networks are missing: their file is made by the notebook “ball”." }, root);
      return;
    }

    const netBox = choice(root, "Network", "sandwich-networks");
    const netButtons = buttons(netBox, nets.map(({ name }) => name), (network) => set({ network }));
    missing.forEach((name) => html("button", { type: "button", disabled: "", text: `${name}: not trained here` }, netBox));
    const imageBox = choice(root, "Test image", "sandwich-images");
    let imageButtons = [], shownSet = null;
    function offer(net) {
      if (shownSet === net.set) return;
      shownSet = net.set;
      imageBox.textContent = "";
      imageButtons = buttons(imageBox, net.set.images.map(() => ""), (image) => set({ image }));
      imageButtons.forEach((button, i) => {
        const { label, number: n, pixels } = net.set.images[i], name = `image ${n}, ${article(noun(net, label))}`;
        E.setAttributes(button, { class: "explorable-thumb", "aria-label": name, title: name });
        paint(html("canvas", { class: "explorable-paper", "aria-hidden": "true" }, button), pixels, net.set.shape);
      });
    }

    html("p", { class: "explorable-title", text: "Lower bounds from the left, attacks from the right" }, root);
    const place = html("div", { class: "explorable-sandwich-plot" }, root);
    const plot = svg("svg", { class: "explorable-plot", role: "img" }, place);
    const slide = html("div", { class: "explorable-choice" }, root);
    const slider = html("input", { id: "sandwich-radius", type: "range", min: 0, max: TICKS, step: 1 }, slide);
    const slideLabel = html("label", { class: "explorable-title", for: "sandwich-radius" }, slide);
    const jumpBox = choice(root, "Set the radius to", "sandwich-jumps");
    const jumps = buttons(jumpBox, LENGTHS.map(({ name }) => name), (i) => set({ radius: nets[inputs.network].lengths[LENGTHS[i].key][inputs.image] }));
    jumps.forEach((button) => button.removeAttribute("aria-pressed"));

    const sentence = html("p", { class: "explorable-verdict explorable-sandwich-verdict" }, root);
    const share = html("p", { class: "explorable-sandwich-ratio" }, root);
    html("p", { class: "explorable-title", text: "The image, moved by exactly this radius" }, root);
    const strip = html("div", { class: "explorable-strip" }, root);
    const pictures = [["", "unmoved"], ...DIRECTIONS].map(([, name]) => {
      const figure = html("figure", { class: "explorable-picture explorable-sandwich-picture" }, strip);
      const canvas = html("canvas", { class: "explorable-paper", role: "img" }, figure), caption = html("figcaption", {}, figure);
      return (values, shape, lines, changed) => {
        paint(canvas, values, shape);
        figure.classList.toggle("explorable-sandwich-changed", changed);
        caption.textContent = "";
        html("strong", { text: name }, caption);
        lines.forEach((text, i) => html(i ? "span" : "b", { text }, caption));
        E.setAttributes(canvas, { "aria-label": `${name}: ${lines.join(", ")}` });
      };
    });
    const note = html("p", { class: "explorable-note" }, root);

    const folded = html("details", { class: "explorable-details explorable-sandwich-numbers" }, root);
    html("summary", { text: "The numbers" }, folded);
    const lengthTable = E.valueTable(folded, ["length", "of this image", "over the attack"], "Five lengths: Euclidean, pixels from 0 to 1");
    const walkTable = E.valueTable(folded, ["direction", "class lost at", "seen here as"], "Four directions");
    const say = E.announcer(root);

    // ---- drawing

    const TOP = 30, ROW = 38, LEFT = 9;
    let width = 0;
    const right = () => width - LEFT, bottom = TOP + ROW * LENGTHS.length;
    const toPixel = (net, radius) => {
      const t = Math.log(radius / net.low) / Math.log(net.top / net.low);
      return LEFT + Math.min(1, Math.max(0, t)) * (right() - LEFT);
    };
    const radiusAt = (net, t) => {
      const radius = net.low * (net.top / net.low) ** Math.min(1, Math.max(0, t));
      return t >= 1 ? net.top : t <= 0 ? net.low : Number(radius.toPrecision(4));
    };

    function drawAxis(now) {
      const net = nets[now.network], { all } = lengthsOf(net, now.image);
      plot.textContent = "";
      E.setAttributes(plot, { viewBox: `0 0 ${width} ${bottom + 34}` });
      const inside = svg("g", { "aria-hidden": "true" }, plot);
      // zones
      if (now.zone !== "misclassified") {
        const ends = [LEFT, toPixel(net, now.bound), now.attack === null ? right() : toPixel(net, now.attack), right()];
        ["proved", "unknown", "attacked"].forEach((zone, i) => {
          const wide = ends[i + 1] - ends[i];
          if (wide <= 0) return;
          svg("rect", { x: ends[i], y: TOP, width: wide, height: bottom - TOP, class: `explorable-sandwich-${zone}` }, inside);
          const text = { proved: "proved", unknown: "nobody knows", attacked: "attack known" }[zone];
          if (wide > 8.5 * text.length) svg("text", { x: ends[i] + wide / 2, y: TOP - 9, "text-anchor": "middle", class: "explorable-sandwich-zone", text }, inside);
        });
      }
      // ticks
      const grid = svg("g", { class: "explorable-grid" }, inside);
      svg("path", { d: `M${LEFT} ${bottom}H${right()}` }, grid);
      let free = 0; // from where on there is room for a number
      for (let power = Math.floor(Math.log10(net.low)); 10 ** power <= net.top; power++) {
        for (let k = 1; k < 10; k++) {
          const at = k * 10 ** power, px = toPixel(net, at);
          if (at >= net.low && at <= net.top) svg("path", { d: `M${px} ${bottom}v${k > 1 ? 3 : 7}` }, grid);
        }
        const px = toPixel(net, 10 ** power), text = power < -3 ? `1e${power}`.replace("-", "−") : String(Number((10 ** power).toPrecision(1)));
        const half = 3.4 * text.length;
        if (10 ** power < net.low || px - half < free) continue;
        free = px + half + 8;
        svg("text", { x: px, y: bottom + 20, "text-anchor": "middle", text }, grid);
      }
      svg("text", { class: "explorable-axis-name", x: right(), y: bottom + 33, "text-anchor": "end", text: "Euclidean length" }, grid);
      // the lengths
      const labels = svg("g", { class: "explorable-labels" }, inside);
      LENGTHS.forEach(({ key, name, ink, mark }, i) => {
        const y = TOP + ROW * (i + 1) - 11, length = all[key], above = i > 2;
        const text = length === null ? `${name}: none found` : `${name} ${number(length)}`, room = 7.4 * text.length;
        let x = right(), anchor = "end";
        if (length) {
          const px = toPixel(net, length), dash = key === "published" || key === "FGS" ? " explorable-dashed" : "";
          svg("path", { class: `explorable-line explorable-bold explorable-${ink}${dash}`, d: `M${above ? right() : LEFT} ${y}H${px}` }, inside);
          svg("path", { class: `explorable-sandwich-mark explorable-sandwich-${key}`, d: mark, transform: `translate(${px} ${y})` }, inside);
          anchor = above ? (right() - px + 6 > room ? "start" : "end") : px + 6 - LEFT > room ? "end" : "start";
          x = anchor === "start" ? (above ? px - 6 : LEFT) : above ? right() : px + 6;
        } else if (!above) {
          [x, anchor] = [LEFT, "start"];
        }
        svg("text", { x, y: y - 10, "text-anchor": anchor, text }, labels);
      });
      const px = toPixel(net, now.radius);
      svg("path", { class: "explorable-line explorable-bold", d: `M${px.toFixed(2)} ${TOP - 4}V${bottom + 8}` }, inside);
      svg("path", { class: "explorable-sandwich-now", d: "M-7 0H7L0 9Z", transform: `translate(${px.toFixed(2)} ${TOP - 6})` }, inside);
      E.setAttributes(plot, {
        "aria-label": `Logarithmic axis of lengths from ${number(net.low)} to ${number(net.top)}. `
          + LENGTHS.map(({ key, name }) => `${name}: ${number(all[key])}`).join("; ") + `. Radius: ${number(now.radius)}.`,
      });
    }

    function draw() {
      const now = state(), net = nets[now.network], { pixels } = net.set.images[now.image];
      offer(net);
      const press = (all, which) => all.forEach((button, i) => button.setAttribute("aria-pressed", String(i === which)));
      press(netButtons, now.network);
      press(imageButtons, now.image);
      jumps.forEach((button, i) => { button.disabled = !(now.lengths[LENGTHS[i].key] > 0); });
      const [head, tail] = verdict(now);
      slideLabel.textContent = `Radius ${number(now.radius)}`;
      const tick = String(Math.round(TICKS * Math.log(now.radius / net.low) / Math.log(net.top / net.low)));
      if (slider.value !== tick) slider.value = tick;
      slider.setAttribute("aria-valuetext", `${number(now.radius)}, ${head}`);
      sentence.textContent = "";
      sentence.className = `explorable-verdict explorable-sandwich-verdict explorable-sandwich-is-${now.zone}`;
      html("strong", { text: head }, sentence);
      sentence.append(tail);
      share.textContent = ratio(now);

      const seen = (k) => `seen as ${article(noun(net, k))}`;
      pictures[0](pixels, net.set.shape, [seen(now.plain), `test image ${now.number}, ${article(noun(net, now.label))}`], false);
      let low = 0, high = 1;
      DIRECTIONS.forEach(([kind], i) => {
        const x = moved(net, now.image, kind, now.radius);
        if (!x) return pictures[i + 1](pixels, net.set.shape, ["no such direction"], false);
        x.forEach((p) => { low = Math.min(low, p); high = Math.max(high, p); });
        const k = now.seen[kind], lost = now.lost[kind];
        pictures[i + 1](x, net.set.shape, [seen(k), lost === null ? `class kept up to ${number(net.top)}` : `class lost at ${number(lost)}`], k !== now.plain);
      });
      note.textContent = (low < 0 || high > 1 ? `Pixels go from ${number(low)} to ${number(high)} and are drawn as 0 to 1. ` : "All pixels lie between 0 and 1. ")
        + (net.layers ? "The classes are computed in your browser from the network's weights." : "The weights of this network are too large for this page: where the class changes was found by the notebook, on a grid of radii refined by bisection.");
      lengthTable(LENGTHS.map(({ key, name }) => [name, number(now.lengths[key]),
        now.attack && now.lengths[key] !== null ? (now.lengths[key] / now.attack).toFixed(3) : "–"]));
      walkTable(DIRECTIONS.map(([kind, name]) => [name, now.lost[kind] === null ? "never" : number(now.lost[kind]), noun(net, now.seen[kind])]));
      if (width) drawAxis(now);
      say(`${head}${tail}`);
    }

    // ---- the slider, and a pointer on the axis

    let next = null; // where the radius goes in the next frame
    function move(t) {
      if (next === null) requestAnimationFrame(() => { const place = next; next = null; set({ radius: radiusAt(nets[inputs.network], place) }); });
      next = t;
    }
    slider.addEventListener("input", () => move(Number(slider.value) / TICKS));
    let grip = null;
    const follow = (event) => {
      const box = plot.getBoundingClientRect(), px = (event.clientX - box.left) * width / box.width;
      move((px - LEFT) / (right() - LEFT));
    };
    plot.addEventListener("pointerdown", (event) => {
      if (grip !== null || event.button !== 0) return;
      grip = event.pointerId;
      plot.setPointerCapture(grip);
      follow(event);
      event.preventDefault();
    });
    plot.addEventListener("pointermove", (event) => { if (grip === event.pointerId) follow(event); });
    const release = (event) => { if (grip === event.pointerId) grip = null; };
    plot.addEventListener("pointerup", release);
    plot.addEventListener("pointercancel", release);

    const fit = () => {
      if (place.clientWidth === width || !place.clientWidth) return;
      width = place.clientWidth;
      if (onSet) drawAxis(state());
    };
    new ResizeObserver(fit).observe(place);
    fit();
    onSet = draw;
    inputs.network = Math.min(1, nets.length - 1);
    const { bound } = lengthsOf(nets[inputs.network], 0);
    set({ radius: bound > 0 ? Number((0.8 * bound).toPrecision(3)) : 0.1 });
  }

  E.sandwich = { state, set, classAt };
  E.ready("sandwich", build);
})();
