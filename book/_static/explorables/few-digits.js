/* Explorable: sums in a format with few digits, the cloud of their backward errors, and the two bounds above it.
 * Needs elements.js and axes.js before it and <div class="explorable" id="few-digits"></div>. Everything is computed
 * here, addition by addition. For tests: window.explorables.fewDigits.state, .set, .rounded and .sum. */
"use strict";

{
  const E = window.explorables, { html, svg, choice, buttons } = E;
  const FORMATS = { // significant digits, exponents of the smallest normal and of the largest number, the largest one
    float16: { digits: 11, low: -14, largest: 65504 }, bfloat16: { digits: 8, low: -126, largest: 3.3895313892515355e38 },
    "float8 e4m3": { digits: 4, low: -6, largest: 448 }, "float8 e5m2": { digits: 3, low: -14, largest: 57344 },
    float32: { digits: 24, low: -126, largest: 3.4028234663852886e38 },
  };
  const NAMES = Object.keys(FORMATS).slice(0, 4), TICKS = 48, CLOUD = 40, DECADES = [1, 3.4], HEIGHT = 300;
  const HALF = 3 * 2 ** 51; // added and taken away, it rounds to a whole number, ties to the even one

  const unit = (format) => 2 ** -format.digits;

  /** The nearest number of a format, a tie to the even one; what is too large becomes an infinity. */
  function rounded(value, format) {
    if (!Number.isFinite(value) || value === 0) return value;
    const size = Math.abs(value);
    let exponent = Math.floor(Math.log2(size));
    if (2 ** exponent > size) exponent -= 1;
    else if (2 ** (exponent + 1) <= size) exponent += 1;
    const spacing = 2 ** (Math.max(exponent, format.low) - format.digits + 1);
    const found = (value / spacing + HALF - HALF) * spacing;
    return Math.abs(found) > format.largest ? Math.sign(value) * Infinity : found;
  }

  /** The inner product of the first n entries as a machine computes it, term after term. */
  function sum(weights, inputs, n, format, accumulator) {
    let total = 0;
    for (let k = 0; k < n; k++) {
      const product = rounded(rounded(weights[k], format) * rounded(inputs[k], format), accumulator);
      total = k ? rounded(total + product, accumulator) : product;
    }
    return rounded(total, format);
  }

  // ---- random layers ---------------------------------------------------------------

  /** Numbers between 0 and 1, the same ones for every reader (xorshift). */
  function generator(seed) {
    let s = seed;
    return () => {
      s ^= s << 13; s ^= s >>> 17; s ^= s << 5;
      return ((s >>> 0) + 0.5) / 2 ** 32;
    };
  }

  const most = Math.round(10 ** DECADES[1]), next = generator(20261130);
  const normal = () => Math.sqrt(-2 * Math.log(next())) * Math.cos(2 * Math.PI * next());
  const layers = Array.from({ length: CLOUD }, () => [Float64Array.from({ length: most }, normal),
    Float64Array.from({ length: most }, () => next())]);

  /** The smallest relative change of the weights that explains a computed sum: |ŝ - s| / ‖w‖ ‖h‖. */
  function backward([weights, inputs], n, format, accumulator) {
    let exact = 0, w = 0, h = 0;
    for (let k = 0; k < n; k++) {
      exact += weights[k] * inputs[k];
      w += weights[k] ** 2;
      h += inputs[k] ** 2;
    }
    return Math.abs(sum(weights, inputs, n, format, accumulator) - exact) / Math.sqrt(w * h);
  }

  /** The bounds for n terms, whatever the roundings and with a probability of 95%, as in bea.precision without a bias. */
  function bounds(n, format, accumulator) {
    const u = unit(format), v = unit(accumulator), stored = format === accumulator ? 2 : 3;
    const worst = (1 + n * v) * (1 + u) ** stored - 1;
    const factor = Math.sqrt(2 * Math.log(2 * n / 0.05)) / (1 - Math.max(u, v)), square = n * v * v + stored * u * u;
    return { worst, likely: Math.min(worst, Math.expm1((factor * Math.sqrt(square) + square) / (1 - Math.max(u, v)))) };
  }

  // ---- the state -----------------------------------------------------------------

  const inputs = { format: "bfloat16", wide: false, tick: 24 };
  const dimension = (tick) => Math.round(10 ** (DECADES[0] + tick / TICKS * (DECADES[1] - DECADES[0])));
  let onSet = null;

  function state() {
    const format = FORMATS[inputs.format], accumulator = inputs.wide ? FORMATS.float32 : format;
    const n = dimension(inputs.tick), cloud = layers.map((layer) => backward(layer, n, format, accumulator));
    return { ...inputs, n, unit: unit(format), cloud, ...bounds(n, format, accumulator) };
  }

  function set(change) {
    Object.assign(inputs, change);
    if (onSet) onSet();
    return state();
  }

  function verdict({ cloud, unit: u, worst, likely, n }) {
    const known = cloud.filter(Number.isFinite), largest = Math.max(...known, 0), lost = cloud.length - known.length;
    const said = (value) => E.format(value / u, 2);
    return [`${n} terms: the largest of ${known.length} backward errors is ${said(largest)} u.`,
      ` In the worst case it could be ${said(worst)} u, with 95% it is below ${said(likely)} u.`
      + (lost ? ` ${lost} sums were too large for the format.` : "")];
  }

  // ---- the page --------------------------------------------------------------------

  /** The cloud below the bounds, logarithms on both axes; returns the function that draws it. */
  function picture(root) {
    const label = "Backward errors of sums in units of u over the number of terms, below two bounds";
    const plot = E.chart(root, { label, axes: ["log₁₀ n", "log₁₀ of error / u"] });
    const path = (look) => svg("path", { class: `explorable-line explorable-bold explorable-${look}` }, plot.marks);
    const curves = { worst: path("computed explorable-dashed"), likely: path("changed") };
    const names = [["worst case", "computed", "worst"], ["95%", "changed", "likely"]].map(([text, ink, which]) =>
      [svg("text", { text, class: `explorable-ink-${ink}` }, plot.labels), which]);
    const dots = layers.map(() => svg("circle", { r: 3, class: "explorable-few-digits-dot" }, plot.marks));
    let now = null;
    const draw = () => {
      const format = FORMATS[now.format], accumulator = now.wide ? FORMATS.float32 : format;
      const at = (n, value) => plot.toPixel([Math.log10(n), Math.log10(value / now.unit)]);
      const all = Array.from({ length: TICKS + 1 }, (_, tick) => dimension(tick));
      for (const which of ["worst", "likely"]) {
        E.setAttributes(curves[which], { d: E.polyline(all.map((n) => at(n, bounds(n, format, accumulator)[which]))) });
      }
      const high = at(30, bounds(30, format, accumulator).worst)[1], low = at(600, bounds(600, format, accumulator).likely)[1];
      [[at(14, 1)[0], high - 12], [at(600, 1)[0], low + 22]].forEach(([x, y], i) => E.setAttributes(names[i][0], { x, y }));
      dots.forEach((dot, i) => {
        const [cx, cy] = at(now.n * 10 ** (0.0015 * (i - CLOUD / 2)), Math.max(now.cloud[i], 1e-12));
        E.setAttributes(dot, Number.isFinite(cy) ? { cx, cy, visibility: null } : { visibility: "hidden" });
      });
    };
    plot.setView([DECADES[0] - 0.1, DECADES[1] + 0.1], [-3, 4]);
    E.whenWide(root, (wide) => {
      plot.setSize(wide, HEIGHT);
      if (now) draw();
    });
    return (state) => {
      now = state;
      draw();
    };
  }

  function controls(root) {
    const terms = E.slider(root, { id: "few-digits-terms", min: 0, max: TICKS, step: 1 }, (tick) => set({ tick }));
    const formats = buttons(choice(root, "Format", "few-digits-formats"), NAMES, (i) => set({ format: NAMES[i] }));
    const sums = buttons(choice(root, "Products and sums in", "few-digits-sums"), ["the same format", "float32"],
      (i) => set({ wide: i === 1 }));
    return (now) => {
      terms.show(now.tick, `Terms of the sum: ${now.n}`, `${now.n} terms`);
      E.press(formats, NAMES.indexOf(now.format));
      E.press(sums, now.wide ? 1 : 0);
    };
  }

  function build(root) {
    const [place, side] = E.inline(root), draw = picture(place);
    const tell = E.verdictLine(side), show = controls(html("div", {}, side));
    onSet = () => {
      const now = state();
      draw(now);
      show(now);
      tell(verdict(now));
    };
    set({});
  }

  E.fewDigits = { state, set, rounded: (value, name) => rounded(value, FORMATS[name]), formats: NAMES,
    sum: (weights, values, name, wide) =>
      sum(weights, values, weights.length, FORMATS[name], wide ? FORMATS.float32 : FORMATS[name]) };
  E.ready("few-digits", build);
}
