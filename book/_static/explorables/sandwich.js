/* Explorable: lower bounds and attacks of an image on one axis, and the image moved by any radius along four directions.
 * Needs elements.js, pixels.js, network.js and sandwich-data.js (which notebooks/44_inside_the_ball.ipynb makes) before it and
 * <div class="explorable" id="sandwich"></div>. For tests: window.explorables.sandwich.state, .set and .classAt. */
"use strict";

{
  const E = window.explorables, { html, svg, choice, buttons, numbers, best, article } = E, { layer, ACTIVATIONS, outputs } = E.network;
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
        layers: net.weights && net.weights.matrices.map((text, i) =>
          layer(numbers(text), net.weights.shapes[i], ACTIVATIONS[net.weights.activations[i]])),
      };
    });
    return nets.length > 0;
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
    return best(outputs(net, x || net.set.images[image].pixels));
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

  // ---- words and colours ------------------------------------------------------

  const number = (value, digits = 3) => value === null ? "none" : E.format(value, digits);
  /** As many digits as tell these numbers apart, three to nine. */
  const digitsFor = (values) => {
    const different = new Set(values).size;
    return [3, 4, 5, 6, 7, 8, 9].find((digits) => new Set(values.map((v) => number(v, digits))).size === different) || 9;
  };
  const fraction = (value) => value.toFixed(value > 0.999 ? 6 : 3);
  const noun = (net, k) => net.set.key !== "cifar10" ? `${k}` : CIFAR[k];

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

  /** What is known at this radius: the head of a sentence, and the rest of it. */
  function verdict(now) {
    const net = nets[now.network], what = (k) => article(noun(net, k)), { all } = lengthsOf(net, now.image);
    const compared = { proved: [now.radius], unknown: [now.radius, now.bound, now.attack], attacked: [now.radius, now.attack] }[now.zone] || [];
    const digits = digitsFor(compared.filter((v) => v !== null)), number = (v) => E.format(v, digits);
    const r = number(now.radius);
    const published = now.radius <= all.published ? "; the published bound reaches further, but it proves nothing" : "";
    return {
      misclassified: ["Misclassified", ` without any change: ${what(now.label)}, seen as ${what(now.plain)}, so all five lengths are zero.`],
      proved: ["Proved:", ` no image closer than ${r} is seen as anything but ${what(now.label)}.`],
      unknown: ["Nobody knows:", ` ${r} is beyond the bound ${number(now.bound)}`
        + (now.attack === null ? " and no attack is known at all" : ` and short of the attack ${number(now.attack)}`) + `${published}.`],
      attacked: ["An attack is known:", ` ${r} is far enough, as a change of length ${number(now.attack)} already takes the class ${noun(net, now.label)} away.`],
    }[now.zone];
  }

  function ratio(now) {
    const all = now.median === null ? "" : ` Median of the ${now.shares} images that can be compared: ${fraction(now.median)}.`;
    return (now.share === null ? "There is no ratio for this image." : `Tight bound / shortest attack known = ${fraction(now.share)}.`) + all;
  }

  // ---- the controls ------------------------------------------------------------

  const seenAs = (net, k) => `seen as ${article(noun(net, k))}`;

  /** Buttons for the networks, and for the images of the one that is shown: a function that marks both. */
  function netAndImageButtons(root) {
    const netBox = choice(root, "Network", "sandwich-networks");
    const netButtons = buttons(netBox, nets.map(({ name }) => name), (network) => set({ network }));
    missing.forEach((name) => html("button", { type: "button", disabled: "", text: `${name}: not trained here` }, netBox));
    const imageBox = choice(root, "Test image", "sandwich-images");
    imageBox.classList.add("explorable-thumbs");
    let imageButtons = [], shownSet = null;
    function offer(net) {
      if (shownSet === net.set) return;
      shownSet = net.set;
      imageBox.textContent = "";
      imageButtons = buttons(imageBox, net.set.images.map(() => ""), (image) => set({ image }));
      imageButtons.forEach((button, i) => {
        const { label, number: n, pixels } = net.set.images[i];
        E.thumbnail(button, `image ${n}, ${article(noun(net, label))}`, (canvas) => paint(canvas, pixels, net.set.shape));
      });
    }
    return ({ network, image }) => {
      offer(nets[network]);
      E.press(netButtons, network);
      E.press(imageButtons, image);
    };
  }

  const shareOfAxis = (net, radius) => Math.log(radius / net.low) / Math.log(net.top / net.low);

  /** The radius at a share of the axis, its ends exactly. */
  function radiusAt(net, t) {
    const radius = net.low * (net.top / net.low) ** Math.min(1, Math.max(0, t));
    return t >= 1 ? net.top : t <= 0 ? net.low : Number(radius.toPrecision(4));
  }

  /** The slider for the radius, and buttons that set it to one of the lengths; returns the function that draws them. */
  function radiusControls(show, hand, moveTo) {
    const attributes = { id: "sandwich-radius", min: 0, max: TICKS, step: 1 };
    const slider = E.slider(show, attributes, (tick) => moveTo(tick / TICKS), true);
    const jumps = buttons(choice(hand, "Set the radius to", "sandwich-jumps"), LENGTHS.map(({ name }) => name),
      (i) => set({ radius: nets[inputs.network].lengths[LENGTHS[i].key][inputs.image] }));
    jumps.forEach((button) => button.removeAttribute("aria-pressed"));
    return (now) => {
      const [head] = verdict(now), net = nets[now.network];
      jumps.forEach((button, i) => { button.disabled = !(now.lengths[LENGTHS[i].key] > 0); });
      slider.show(Math.round(TICKS * shareOfAxis(net, now.radius)), `Radius ${number(now.radius)}`, `${number(now.radius)}, ${head}`);
    };
  }

  // ---- verdict, pictures, tables -----------------------------------------------------

  /** What is known at this radius, in a sentence and as a ratio; returns the function that writes both. */
  function verdictLines(show, hand) {
    const sentence = html("p", { class: "explorable-verdict explorable-sandwich-verdict" }, show);
    const share = html("p", { class: "explorable-note explorable-sandwich-ratio" }, hand);
    return (now) => {
      const [head, tail] = verdict(now);
      sentence.textContent = "";
      sentence.className = `explorable-verdict explorable-sandwich-verdict explorable-sandwich-is-${now.zone}`;
      html("strong", { text: head }, sentence);
      sentence.append(tail);
      share.textContent = ratio(now);
    };
  }

  /** The image unmoved and moved along the four directions; returns the function that draws them. */
  function movedPictures(root) {
    html("p", { class: "explorable-title", text: "The image, moved by exactly this radius" }, root);
    const strip = html("div", { class: "explorable-strip" }, root);
    const pictures = ["unmoved", ...DIRECTIONS.map(([, name]) => name)].map((name) => {
      const { figure, canvas, caption, describe } = E.picture(strip, name, "explorable-sandwich-picture");
      return (values, shape, lines, changed) => {
        paint(canvas, values, shape);
        figure.classList.toggle("explorable-sandwich-changed", changed);
        caption.textContent = "";
        html("strong", { text: name }, caption);
        lines.forEach((text, i) => html(i ? "span" : "b", { text }, caption));
        describe(lines.join(", "));
      };
    });
    const note = html("p", { class: "explorable-note" }, root);
    return (now) => {
      const net = nets[now.network], { shape } = net.set, { pixels } = net.set.images[now.image];
      pictures[0](pixels, shape, [seenAs(net, now.plain), `test image ${now.number}, ${article(noun(net, now.label))}`], false);
      let low = 0, high = 1;
      DIRECTIONS.forEach(([kind], i) => {
        const x = moved(net, now.image, kind, now.radius);
        if (!x) return pictures[i + 1](pixels, shape, ["no such direction"], false);
        x.forEach((p) => { low = Math.min(low, p); high = Math.max(high, p); });
        const k = now.seen[kind], lost = now.lost[kind];
        pictures[i + 1](x, shape, [seenAs(net, k), lost === null ? `class kept up to ${number(net.top)}` : `class lost at ${number(lost)}`], k !== now.plain);
      });
      note.textContent = (low < 0 || high > 1 ? `Pixels go from ${number(low)} to ${number(high)} and are drawn as 0 to 1. ` : "All pixels lie between 0 and 1. ")
        + (net.layers ? "The classes are computed in your browser from the network's weights." : "The weights of this network are too large for this page: where the class changes was found by the notebook, on a grid of radii refined by bisection.");
    };
  }

  /** Two folded tables; returns the function that fills them. */
  function numberTables(root) {
    const box = E.folded(root, "The numbers", "explorable-details explorable-sandwich-numbers");
    const lengthTable = E.valueTable(box, ["length", "of this image", "over the attack"], "Five lengths: Euclidean, pixels from 0 to 1");
    const walkTable = E.valueTable(box, ["direction", "class lost at", "seen here as"], "Four directions");
    return (now) => {
      lengthTable(LENGTHS.map(({ key, name }) => [name, number(now.lengths[key]),
        now.attack && now.lengths[key] !== null ? (now.lengths[key] / now.attack).toFixed(3) : "–"]));
      walkTable(DIRECTIONS.map(([kind, name]) => [name, now.lost[kind] === null ? "never" : number(now.lost[kind]), noun(nets[now.network], now.seen[kind])]));
    };
  }

  // ---- the axis ------------------------------------------------------------------

  const TOP = 30, ROW = 33, LEFT = 9, BOTTOM = TOP + ROW * LENGTHS.length;

  /** Draw the axis of lengths, so many pixels wide: zones, ticks, lengths, radius. */
  function drawAxis(plot, width, now) {
    const net = nets[now.network], right = width - LEFT;
    const toPixel = (radius) => LEFT + Math.min(1, Math.max(0, shareOfAxis(net, radius))) * (right - LEFT);
    plot.textContent = "";
    E.setAttributes(plot, { viewBox: `0 0 ${width} ${BOTTOM + 34}` });
    const inside = svg("g", { "aria-hidden": "true" }, plot);
    if (now.zone !== "misclassified") drawZones(inside, toPixel, right, now);
    drawTicks(inside, toPixel, right, net);
    drawLengths(inside, toPixel, right, now.lengths);
    const px = toPixel(now.radius);
    svg("path", { class: "explorable-line explorable-bold", d: `M${px.toFixed(2)} ${TOP - 4}V${BOTTOM + 8}` }, inside);
    svg("path", { class: "explorable-sandwich-now", d: "M-7 0H7L0 9Z", transform: `translate(${px.toFixed(2)} ${TOP - 6})` }, inside);
    E.setAttributes(plot, {
      "aria-label": `Logarithmic axis of lengths from ${number(net.low)} to ${number(net.top)}. `
        + LENGTHS.map(({ key, name }) => `${name}: ${number(now.lengths[key])}`).join("; ") + `. Radius: ${number(now.radius)}.`,
    });
  }

  function drawZones(inside, toPixel, right, now) {
    const ends = [LEFT, toPixel(now.bound), now.attack === null ? right : toPixel(now.attack), right];
    ["proved", "unknown", "attacked"].forEach((zone, i) => {
      const wide = ends[i + 1] - ends[i];
      if (wide <= 0) return;
      svg("rect", { x: ends[i], y: TOP, width: wide, height: BOTTOM - TOP, class: `explorable-sandwich-${zone}` }, inside);
      const text = { proved: "proved", unknown: "nobody knows", attacked: "attack known" }[zone];
      if (wide > 8.5 * text.length) svg("text", { x: ends[i] + wide / 2, y: TOP - 9, "text-anchor": "middle", class: "explorable-sandwich-zone", text }, inside);
    });
  }

  /** Nine ticks a power of ten, and a number where there is room for one. */
  function drawTicks(inside, toPixel, right, net) {
    const grid = svg("g", { class: "explorable-grid" }, inside);
    svg("path", { d: `M${LEFT} ${BOTTOM}H${right}` }, grid);
    let free = 0; // from where on there is room for a number
    for (let power = Math.floor(Math.log10(net.low)); 10 ** power <= net.top; power++) {
      for (let k = 1; k < 10; k++) {
        const at = k * 10 ** power, px = toPixel(at);
        if (at >= net.low && at <= net.top) svg("path", { d: `M${px} ${BOTTOM}v${k > 1 ? 3 : 7}` }, grid);
      }
      const px = toPixel(10 ** power), text = power < -3 ? `1e${power}`.replace("-", "−") : String(Number((10 ** power).toPrecision(1)));
      const half = 3.4 * text.length;
      if (10 ** power < net.low || px - half < free) continue;
      free = px + half + 8;
      svg("text", { x: px, y: BOTTOM + 20, "text-anchor": "middle", text }, grid);
    }
    svg("text", { class: "explorable-axis-name", x: right, y: BOTTOM + 33, "text-anchor": "end", text: "Euclidean length" }, grid);
  }

  /** A line a length, bounds from the left and attacks from the right, each with its mark and its name. */
  function drawLengths(inside, toPixel, right, all) {
    const labels = svg("g", { class: "explorable-labels" }, inside);
    LENGTHS.forEach(({ key, name, ink, mark }, i) => {
      const y = TOP + ROW * (i + 1) - 11, length = all[key], above = i > 2;
      const text = length === null ? `${name}: none found` : `${name} ${number(length)}`, room = 7.4 * text.length;
      let x = right, anchor = "end";
      if (length) {
        const px = toPixel(length), dash = key === "published" || key === "FGS" ? " explorable-dashed" : "";
        svg("path", { class: `explorable-line explorable-bold explorable-${ink}${dash}`, d: `M${above ? right : LEFT} ${y}H${px}` }, inside);
        svg("path", { class: `explorable-sandwich-mark explorable-sandwich-${key}`, d: mark, transform: `translate(${px} ${y})` }, inside);
        anchor = above ? (right - px + 6 > room ? "start" : "end") : px + 6 - LEFT > room ? "end" : "start";
        x = anchor === "start" ? (above ? px - 6 : LEFT) : above ? right : px + 6;
      } else if (!above) {
        [x, anchor] = [LEFT, "start"];
      }
      svg("text", { x, y: y - 10, "text-anchor": anchor, text }, labels);
    });
  }

  /** The axis of lengths, on which a pointer moves the radius; returns the function that draws it. */
  function lengthAxis(root, moveTo) {
    html("p", { class: "explorable-title", text: "Bounds from left, attacks from right" }, root);
    const place = html("div", { class: "explorable-sandwich-plot" }, root);
    const plot = svg("svg", { class: "explorable-plot", role: "img" }, place);
    let width = 0, shown = null;
    const draw = () => { if (width && shown) drawAxis(plot, width, shown); };
    const follow = (event) => {
      const box = plot.getBoundingClientRect(), px = (event.clientX - box.left) * width / box.width;
      moveTo((px - LEFT) / (width - 2 * LEFT));
    };
    E.drag(plot, { press: follow, move: follow });
    E.whenWide(place, (wide) => {
      width = wide;
      draw();
    });
    return (now) => {
      shown = now;
      draw();
    };
  }

  // ---- the page ----------------------------------------------------------------

  function build(root) {
    if (!load(E.sandwichData)) return E.missing(root, "The networks are missing: their file", "“44_inside_the_ball”");
    const moveTo = E.eachFrame((t) => set({ radius: radiusAt(nets[inputs.network], t) }));
    const [show, hand, more] = E.stage(root);
    const parts = [
      lengthAxis(show, moveTo), netAndImageButtons(hand), radiusControls(show, hand, moveTo), verdictLines(show, hand),
      movedPictures(more), numberTables(root),
    ];
    const say = E.announcer(root);
    onSet = () => {
      const now = state();
      parts.forEach((draw) => draw(now));
      say(verdict(now).join(""));
    };
    inputs.network = Math.min(1, nets.length - 1);
    const { bound } = lengthsOf(nets[inputs.network], 0);
    set({ radius: bound > 0 ? Number((0.8 * bound).toPrecision(3)) : 0.1 });
  }

  E.sandwich = { state, set, classAt };
  E.ready("sandwich", build);
}
