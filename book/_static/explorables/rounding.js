/* Explorable: two equations solved with few bits, and the nearby equations that the computed answer solves exactly.
 * Needs elements.js and axes.js before it and <div class="explorable" id="rounding"></div>.
 * For tests: window.explorables.rounding.rounded, .state and .set.
 *
 * Each equation is a line of the plane, the answer x where the two cross. b = A x is rounded to double precision, and x
 * is called exact: that it is not moves it by far less than the few bits do. */
"use strict";

{
  const E = window.explorables, { html, svg, buttons, format, percent } = E;
  const FIRST = [0.02, 0.9]; // the first row of A: a small pivot
  const NARROWEST = 60; // of the angles: the turn of the second row is 10 to the minus tenth of it
  const CENTRE = [1.3, 1.3], HALF = 1.3; // of what is shown
  const NAMES = { 8: "bfloat16", 11: "half", 24: "single" };
  const STABLE = 3; // unit round-offs of backward error that elimination with row exchange does not exceed
  const LENS = 44, APART = 22; // pixels: radius of the lens, and how far off a line is seen through it
  const DECADES = [-8, 2]; // of the logarithmic bars

  // ---- the mathematics -------------------------------------------------------

  /** The number with so many bits that is nearest, ties to even. With 25 bits or fewer, a sum, product or quotient that
   *  was rounded to double precision first is rounded as if it had not been. */
  function rounded(value, bits) {
    if (value === 0) return 0;
    const size = Math.abs(value);
    let exponent = Math.floor(Math.log2(size)); // may be off by one next to a power of two
    if (2 ** exponent > size) exponent -= 1;
    else if (2 ** (exponent + 1) <= size) exponent += 1;
    const shift = 1.5 * 2 ** (53 + exponent - bits); // leaves so many bits, and none below
    return value + shift - shift;
  }

  /** The solution of A x = b by elimination, every number and result rounded; null if the last pivot is zero. */
  function eliminate(A, b, bits, exchange) {
    const fl = (value) => rounded(value, bits), rows = A.map((row, i) => [...row, b[i]].map(fl));
    if (exchange && Math.abs(rows[1][0]) > Math.abs(rows[0][0])) rows.reverse();
    const [[a11, a12, b1], [a21, a22, b2]] = rows, factor = fl(a21 / a11), pivot = fl(a22 - fl(factor * a12));
    if (pivot === 0) return null;
    const x2 = fl(fl(b2 - fl(factor * b1)) / pivot);
    return [fl(fl(b1 - fl(a12 * x2)) / a11), x2];
  }

  const times = (A, x) => A.map(([p, q]) => p * x[0] + q * x[1]);
  const minus = (u, v) => u.map((value, k) => value - v[k]);
  const length = (u) => Math.hypot(...u);
  const plus = (A, B) => A.map((row, i) => row.map((value, k) => value + B[i][k]));

  /** Backward error (formula of Rigal and Gaches), the changes that attain it, forward error and condition number. */
  function errors(A, b, x, computed) {
    const residual = minus(b, times(A, computed)), far = length(computed);
    const determinant = Math.abs(A[0][0] * A[1][1] - A[0][1] * A[1][0]);
    const sizeA = length(A.flat()), share = sizeA * far / (sizeA * far + length(b));
    const largest = (Math.sqrt(sizeA ** 2 + 2 * determinant) + Math.sqrt(Math.max(0, sizeA ** 2 - 2 * determinant))) / 2;
    return {
      residual, backward: length(residual) / (sizeA * far + length(b)),
      dA: residual.map((r) => computed.map((v) => share * r * v / far ** 2)), db: residual.map((r) => (share - 1) * r),
      forward: length(minus(computed, x)) / far, condition: largest / determinant * (sizeA + length(b) / far),
    };
  }

  /** The two rows at this angle: the second is the first, turned. */
  function matrix(angle) {
    const turn = 10 ** (-angle / 10), [p, q] = FIRST;
    return [FIRST, [(1 - turn) * p - turn * q, (1 - turn) * q + turn * p]];
  }

  // ---- the state ---------------------------------------------------------------

  const inputs = { bits: 8, angle: 13, exchange: true, x: [1.2, 1] };
  let onSet = null;

  function state() {
    const { bits, angle, exchange, x } = inputs, A = matrix(angle), b = times(A, x), unit = 2 ** -bits;
    const computed = eliminate(A, b, bits, exchange);
    return { ...inputs, A, b, unit, computed, ...(computed && errors(A, b, x, computed)) };
  }

  function set(change) {
    Object.assign(inputs, change);
    if (onSet) onSet();
    return state();
  }

  const pair = (values, digits = 6) => values.map((value) => format(value, digits)).join(", ");
  const brief = (values) => pair(values, 3);

  /** The angle between the lines, in degrees. */
  function degrees(angle) {
    const turn = 10 ** (-angle / 10);
    return String(Number((Math.atan2(turn, 1 - turn) * 180 / Math.PI).toPrecision(2)));
  }

  function verdict({ bits, unit, computed, forward, backward }) {
    if (!computed) return ["No answer.", ` With ${bits} bits nothing tells the two lines from parallel ones.`];
    if (backward === 0) return ["No error.", " Here the computed answer is the exact one."];
    const units = backward / unit;
    const fault = forward > 10 * backward ? "blame the question" : "nothing is to blame";
    const blame = units > STABLE ? "blame the method" : fault;
    return [`Off by ${percent(forward)}, and exact for data changed by ${percent(backward)}.`,
      ` That is ${format(units, 2)} unit round-offs: ${blame}.`];
  }

  // ---- the picture ---------------------------------------------------------------

  /** What is seen near the computed answer: by how little the given lines miss it. Returns the function that draws it. */
  function lens(plot) {
    const group = svg("g", { "aria-hidden": "true" }, plot.svg);
    const frame = svg("circle", { r: LENS, class: "explorable-inset" }, group);
    const draw = (look) => svg("path", { class: `explorable-line ${look}` }, group);
    const given = draw("explorable-exact"), changed = draw("explorable-changed explorable-dashed");
    const dot = svg("circle", { r: 4, class: "explorable-rounding-computed" }, group);
    const title = svg("text", { "text-anchor": "middle" }, svg("g", { class: "explorable-labels" }, group));
    const { left, right, top, bottom } = plot.frame, inset = LENS + 6;
    const corners = [left + inset, right - inset].flatMap((cx) => [top + inset, bottom - inset - 14].map((cy) => [cx, cy]));
    return ({ A, residual }, busy) => {
      const off = A.map((row, i) => (residual ? residual[i] / length(row) : 0)), most = Math.max(...off.map(Math.abs));
      const zoom = APART / (most * plot.scale());
      group.style.display = most && zoom >= 2 ? "" : "none";
      if (group.style.display) return;
      const room = (corner) => Math.min(...busy.map((point) => length(minus(point, corner))));
      const [cx, cy] = corners.reduce((best, corner) => (room(corner) > room(best) + 1 ? corner : best));
      const chords = (miss) => A.map((row, i) => {
        const [p, q] = row.map((value) => value / length(row)), d = miss[i] * plot.scale() * zoom;
        const reach = Math.sqrt(LENS ** 2 - d ** 2), x = cx + p * d, y = cy - q * d;
        return E.polyline([-reach, reach].map((t) => [x - q * t, y - p * t]));
      }).join("");
      [frame, dot].forEach((circle) => E.setAttributes(circle, { cx, cy }));
      E.setAttributes(given, { d: chords(off) });
      E.setAttributes(changed, { d: chords([0, 0]) });
      E.setAttributes(title, { x: cx, y: cy + LENS + 13, text: `${format(zoom, 2)}×` });
    };
  }

  /** The plane of answers with the given and the changed lines; returns the function that draws it. */
  function picture(root) {
    const plot = E.plot(root, {
      role: "group", axes: ["x₁", "x₂"],
      label: "Plane of answers: two lines that cross in the exact answer, and, dashed, the nearby lines that cross in the "
        + "computed one",
    });
    plot.setView(...CENTRE, HALF);
    const draw = (look) => svg("path", { class: `explorable-line ${look}` }, plot.marks);
    const given = draw("explorable-exact"), changed = draw("explorable-changed explorable-dashed");
    const error = draw("explorable-computed explorable-bold");
    const dot = svg("circle", { r: 5, class: "explorable-rounding-computed" }, plot.marks);
    const names = [["exact", "exact"], ["computed", "computed"]].map(([text, ink]) =>
      svg("text", { text, class: `explorable-ink-${ink}` }, plot.labels));
    const enlarge = lens(plot);
    const ring = E.handle(plot, {
      id: "rounding-handle", label: "exact answer, where the lines cross", get: () => inputs.x, move: (x) => set({ x }),
      done: () => {}, text: brief,
    });
    /** The ends in pixels of the lines row · x = side, beyond the edges. */
    const lines = (rows, sides) => rows.map((row, i) => {
      const size = length(row), [p, q] = row.map((value) => value / size);
      const d = sides[i] / size - p * CENTRE[0] - q * CENTRE[1];
      return [-2 * HALF, 2 * HALF].map((t) => plot.toPixel([CENTRE[0] + d * p - t * q, CENTRE[1] + d * q + t * p]));
    });
    const inside = (value, low, high) => Math.min(high, Math.max(low, value));
    return (now) => {
      const { A, b, x, computed, dA, db } = now, from = plot.toPixel(x), to = plot.toPixel(computed || x), { frame } = plot;
      const seen = [inside(to[0], frame.left, frame.right), inside(to[1], frame.top, frame.bottom)];
      const before = lines(A, b), after = computed ? lines(plus(A, dA), b.map((value, i) => value + db[i])) : [];
      E.setAttributes(given, { d: before.map(E.polyline).join("") });
      E.setAttributes(changed, { d: after.map(E.polyline).join("") });
      E.setAttributes(error, { d: E.polyline([from, to]) });
      E.setAttributes(dot, { cx: to[0], cy: to[1], visibility: computed ? null : "hidden" });
      E.setAttributes(names[1], { visibility: computed ? null : "hidden" });
      enlarge(now, [from, seen]);
      E.placeLabels([{ element: names[0], at: from, gap: 14 }, { element: names[1], at: seen, gap: 12 }],
        [...before.flatMap((ends) => E.along(...ends)), from, seen], frame);
      ring.draw();
    };
  }

  // ---- the page --------------------------------------------------------------------

  /** Unit round-off, both errors, and what bounds the forward one, as bars whose lengths are logarithms. */
  function bars(root) {
    const fill = E.lengthBars(html("div", { class: "explorable-choice" }, root), [
      ["unit round-off", ["condition"]], ["backward error", ["changed"]], ["× condition", ["changed", "condition"]],
      ["forward error", ["computed"]],
    ]);
    const [low, high] = DECADES, share = (value) => (value > 0 ? (Math.log10(value) - low) / (high - low) : 0);
    return ({ unit, backward = NaN, forward = NaN, condition = NaN }) => {
      const bound = backward * condition, text = (value) => format(value, 2);
      fill([
        [[share(unit)], text(unit)], [[share(backward)], text(backward)],
        [[share(backward), share(bound) - share(backward)], text(bound)], [[share(forward)], text(forward)],
      ]);
    };
  }

  /** Bits, angle and method; returns the function that draws them. */
  function controls(root) {
    const bits = E.slider(root, { id: "rounding-bits", min: 4, max: 24, step: 1 }, (value) => set({ bits: value }));
    const turns = { id: "rounding-angle", min: -NARROWEST, max: 0, step: 1 };
    const angle = E.slider(root, turns, (value) => set({ angle: -value }));
    const group = { class: "explorable-buttons", role: "group", "aria-label": "elimination" };
    const methods = buttons(html("div", group, root), ["with row exchange", "without"], (i) => set({ exchange: i === 0 }));
    return (now) => {
      const name = NAMES[now.bits] ? ` (${NAMES[now.bits]})` : "", turn = degrees(now.angle);
      bits.show(now.bits, `Bits of the mantissa: ${now.bits}${name}`, `${now.bits}${name}`);
      angle.show(-now.angle, `Angle between the lines: ${turn}°`, `${turn} degrees`);
      E.press(methods, now.exchange ? 0 : 1);
    };
  }

  /** The rows of the table. */
  function numbers({ A, b, x, unit, computed, dA, db, backward, forward, condition }) {
    const rows = (name, values, write) => values.map((row, i) => [`row ${i + 1} of ${name}`, write(row)]);
    const given = [...rows("A", A, pair), ["b", pair(b)], ["exact x", pair(x)], ["unit round-off", format(unit)]];
    return computed ? [
      ...given, ["computed x̂", pair(computed)], ...rows("ΔA", dA, brief), ["Δb", brief(db)],
      ["backward error", format(backward)], ["condition number", format(condition)], ["forward error", format(forward)],
    ] : given;
  }

  function build(root) {
    const [place, side] = E.inline(root), draw = picture(place);
    const tell = E.verdictLine(side), fill = bars(side), show = controls(side);
    const list = E.valueTable(E.folded(side, "The numbers", "explorable-details"), ["", "value"], "");
    onSet = () => {
      const now = state();
      draw(now);
      fill(now);
      show(now);
      tell(verdict(now));
      list(numbers(now));
    };
    set({});
  }

  E.rounding = { rounded, state, set };
  E.ready("rounding", build);
}
