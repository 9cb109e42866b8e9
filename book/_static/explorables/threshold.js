/* Explorable: a step ε along the distribution of the smallest one that fools, the images that it fools, fitted laws.
 * Needs elements.js, axes.js, pixels.js and threshold-data.js (which notebooks/23_law_of_epsilon.ipynb makes) before it
 * and <div class="explorable" id="threshold"></div>. For tests: window.explorables.threshold.state, .set and .atMost. */
"use strict";

{
  const E = window.explorables, { html, svg, choice, numbers } = E;
  const BARS = 50, TICKS = 400; // bars of the histogram, places of the slider
  const LOOKS = ["exact", "computed explorable-dashed", "changed explorable-threshold-dots", "thin"]; // of the laws

  // ---- the data ----------------------------------------------------------------

  let all, top, laws, images, shape, tallest;

  function load(data) {
    if (!data) return false;
    const pixels = numbers(data.pixels), signs = numbers(data.signs), size = pixels.length / data.labels.length;
    ({ top, shape } = data);
    all = numbers(data.epsilon);
    laws = data.laws.map(({ name, pdf, cdf }) => ({ name, pdf: numbers(pdf), cdf: numbers(cdf) }));
    images = data.labels.map((label, i) => ({
      label, number: data.numbers[i], first: data.first[i], seen: data.seen[i],
      pixels: pixels.slice(i * size, (i + 1) * size), signs: signs.slice(i * size, (i + 1) * size),
    }));
    tallest = Math.max(...heights(), ...laws.flatMap(({ pdf }) => Array.from(pdf.slice(1)))) * 1.08;
    return true;
  }

  /** How many of the images have a smallest ε up to this one; they are in order. */
  function atMost(epsilon) {
    let low = 0, high = all.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (all[middle] <= epsilon) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** The density of the images in each bar. */
  function heights() {
    const counts = new Float64Array(BARS);
    for (const value of all) counts[Math.min(BARS - 1, Math.floor(value / top * BARS))] += BARS / (top * all.length);
    return counts;
  }

  /** A law's share up to ε, interpolated. */
  function shareOf({ cdf }, epsilon) {
    const place = Math.min(1, epsilon / top) * (cdf.length - 1), k = Math.min(cdf.length - 2, Math.floor(place));
    return cdf[k] + (place - k) * (cdf[k + 1] - cdf[k]);
  }

  // ---- the state -----------------------------------------------------------------

  const inputs = { epsilon: 0, shown: [true, false, false, false] };
  let onSet = null;

  function state() {
    const { epsilon, shown } = inputs, fooled = atMost(epsilon);
    return {
      epsilon, shown: shown.slice(0, laws.length), fooled, images: all.length, share: fooled / all.length,
      laws: laws.map((law) => ({ name: law.name, share: shareOf(law, epsilon) })),
      pictures: images.map(({ first }) => first <= epsilon),
    };
  }

  function set(change) {
    Object.assign(inputs, change);
    inputs.epsilon = Math.min(top, Math.max(0, inputs.epsilon));
    if (onSet) onSet();
    return state();
  }

  const percent = (share) => `${(100 * share).toFixed(1)}\u00a0%`;

  function verdict(now) {
    const said = now.laws.filter((_, i) => now.shown[i]).map(({ name, share }) => `${name}: ${percent(share)}`);
    return [`A step of up to ${now.epsilon.toFixed(4)} fools ${now.fooled} of ${now.images} images, ${percent(now.share)}.`,
      said.length ? ` By law: ${said.join("; ")}.` : ""];
  }

  // ---- histogram -------------------------------------------------------------------

  const lineOf = (law) => `explorable-line explorable-bold explorable-${LOOKS[law]}`;

  /** The histogram with the laws, along which a pointer drags ε; returns the function that draws it. */
  function histogram(root) {
    const place = html("div", { class: "explorable-threshold-plot" }, root);
    const label = "Histogram of the smallest ε that fools an image, with densities of the laws that are shown";
    const plot = E.chart(place, { label, axes: ["ε", "density"] }), high = heights();
    const path = (className) => svg("path", { class: className }, plot.marks);
    const bars = ["safe", "fooled"].map((part) => path(`explorable-threshold-${part}`));
    const curves = laws.map((_, i) => path(lineOf(i))), mark = path("explorable-line explorable-bold");
    let now = null;
    const block = (from, to, height) => {
      const [left, upper] = plot.toPixel([from, height]), [right, lower] = plot.toPixel([to, 0]);
      return to > from ? `M${left.toFixed(2)} ${lower}V${upper.toFixed(2)}H${right.toFixed(2)}V${lower}Z` : "";
    };
    const draw = () => {
      const wide = top / BARS, edges = Array.from(high, (height, k) => [k * wide, (k + 1) * wide, height]);
      const safe = edges.map(([from, to, height]) => block(Math.max(from, now.epsilon), to, height));
      const fooled = edges.map(([from, to, height]) => block(from, Math.min(to, now.epsilon), height));
      [safe, fooled].forEach((parts, i) => E.setAttributes(bars[i], { d: parts.join("") }));
      curves.forEach((curve, i) => {
        const { pdf } = laws[i], points = Array.from(pdf, (height, k) => plot.toPixel([k * top / (pdf.length - 1), height]));
        E.setAttributes(curve, { d: now.shown[i] ? E.polyline(points.filter(([, py]) => Number.isFinite(py))) : "" });
      });
      E.setAttributes(mark, { d: E.polyline([plot.toPixel([now.epsilon, 0]), plot.toPixel([now.epsilon, tallest])]) });
    };
    const follow = E.eachFrame((event) => set({ epsilon: plot.toData(plot.fromEvent(event))[0] }));
    E.drag(plot.svg, { press: follow, move: follow });
    plot.setView([0, top], [0, tallest]);
    E.whenWide(place, (wide) => {
      plot.setSize(wide, 210);
      if (now) draw();
    });
    return (state) => {
      now = state;
      draw();
    };
  }

  // ---- pictures and controls --------------------------------------------------------

  /** A button a law that shows it or not; returns the function that marks them. */
  function toggles(root) {
    const all = E.buttons(choice(root, "Laws", "threshold-laws"), laws.map(() => ""),
      (i) => set({ shown: inputs.shown.map((on, k) => (k === i ? !on : on)) }));
    all.forEach((button, i) => {
      const key = svg("svg", { class: "explorable-ray-key", viewBox: "0 0 26 10", "aria-hidden": "true" }, button);
      svg("path", { class: lineOf(i), d: "M0 5H26" }, key);
      button.append(laws[i].name);
    });
    return ({ shown }) => all.forEach((button, i) => button.setAttribute("aria-pressed", String(shown[i])));
  }

  /** A few of the images, moved by ε; returns the function that draws them. */
  function pictures(root) {
    const strip = html("div", { class: "explorable-strip" }, root);
    const shown = images.map(({ number, label }) =>
      E.picture(strip, `test image ${number}, a ${label}`, "explorable-threshold-picture"));
    return ({ epsilon, pictures: fooled }) => shown.forEach(({ figure, canvas, caption, describe }, i) => {
      const { pixels, signs, label, seen } = images[i];
      E.paint(canvas, pixels.map((p, k) => p + epsilon * signs[k]), shape[1], shape[0], 0);
      figure.classList.toggle("explorable-threshold-is-fooled", fooled[i]);
      caption.textContent = fooled[i] ? `${label} → ${seen}` : String(label);
      describe(fooled[i] ? `fooled, seen first as a ${seen}` : "not fooled");
    });
  }

  function build(root) {
    if (!load(E.thresholdData)) return E.missing(root, "The images are missing: their file");
    const tell = E.verdictLine(root, "explorable-threshold-verdict"), draw = histogram(root);
    const attributes = { id: "threshold-epsilon", min: 0, max: TICKS, step: 1 };
    const slider = E.slider(root, attributes, (tick) => set({ epsilon: tick / TICKS * top }));
    const paint = pictures(root), mark = toggles(root);
    onSet = () => {
      const now = state(), text = now.epsilon.toFixed(4);
      draw(now);
      paint(now);
      mark(now);
      slider.show(Math.round(TICKS * now.epsilon / top), `Step ε = ${text}`, text);
      tell(verdict(now));
    };
    set({ epsilon: all[all.length >> 2] });
  }

  E.threshold = { state, set, atMost };
  E.ready("threshold", build);
}
