/* Explorable: linearise a bent border, go to the nearest point of the straight one, linearise there, and so on.
 * Needs elements.js, axes.js, network.js and linearise-data.js (which notebooks/27_the_converged_attack.ipynb makes)
 * before it and <div class="explorable" id="linearise"></div>.
 * For tests: window.explorables.linearise.following, .state and .set.
 *
 * The image has two pixels and the length one; a point τ of the plane is a change of it. */
"use strict";

{
  const E = window.explorables, { html, svg, choice, buttons, format } = E, N = E.network;
  const CENTRE = [0.85, 0], HALF = 1.65; // of what is shown
  const SIDE = 120; // cells a side, in which the border is sought
  const ARRIVED = 1e-3; // distance to the nearest point that nobody sees
  const SAME = 1e-3; // share of the last step within which two points are one
  const LONGEST = 6; // cycle that is looked for

  // ---- the network -------------------------------------------------------------

  let tongues = [], image, target, margin;

  function load(data) {
    if (!data) return false;
    ({ image, target, margin } = data);
    tongues = data.tongues.map(({ sharpness, matrices, nearest }) => ({
      sharpness, nearest,
      layers: matrices.map((A, i) =>
        N.layer(A.flat(), [A.length, A[0].length], i ? N.ACTIVATIONS.linear : N.ACTIVATIONS.tanh)),
    }));
    return true;
  }

  /** The lead of the target over every other class, less the margin, and its derivative: [{ value, slope }, ...]. */
  function leads({ layers }, tau) {
    const [first, last] = layers, moved = image.map((p, k) => p + tau[k]);
    const { before, after, outputs } = N.continueFrom({ layers }, N.times(first, moved, first.b));
    const rivals = Array.from(outputs, (_, j) => j).filter((j) => j !== target);
    return rivals.map((j) => {
      const weights = outputs.map((_, k) => (k === target) - (k === j)), back = N.timesTransposed(last, weights);
      const hidden = back.map((d, k) => first.activation.back(d, before[0][k], after[0][k]));
      return { value: outputs[target] - outputs[j] - margin, slope: Array.from(N.timesTransposed(first, hidden)) };
    });
  }

  /** The least lead, below zero where the target does not win. */
  const least = (tongue, tau) => Math.min(...leads(tongue, tau).map(({ value }) => value));

  const dot = ([a, b], [c, d]) => a * c + b * d;

  /** The straight borders slope · θ = level of the leads linearised at τ. */
  const borders = (tongue, tau) =>
    leads(tongue, tau).map(({ value, slope }) => ({ slope, level: dot(slope, tau) - value }));

  /** The shortest θ on the right side of all borders linearised at τ; null if there is none. */
  function following(tongue, tau) {
    const lines = borders(tongue, tau), points = [[0, 0]];
    for (const { slope, level } of lines) points.push(slope.map((s) => s * level / dot(slope, slope)));
    lines.forEach(({ slope: [a, b], level: p }, i) => lines.slice(0, i).forEach(({ slope: [c, d], level: q }) => {
      points.push([(p * d - q * b) / (a * d - b * c), (a * q - c * p) / (a * d - b * c)]);
    }));
    const allowed = points.filter((point) => lines.every(({ slope, level }) => dot(slope, point) >= level - 1e-9));
    return allowed.sort((one, other) => dot(one, one) - dot(other, other))[0] || null;
  }

  // ---- the state -----------------------------------------------------------------

  const inputs = { tongue: 0, way: [[0, 0]] }; // the points that were visited
  let onSet = null;

  const apart = ([a, b], [c, d]) => Math.hypot(a - c, b - d);

  /** After how many steps the way is back where it was; 0 if it is not. */
  function cycle(way) {
    const end = way.length - 1, step = end && apart(way[end], way[end - 1]);
    for (let back = 2; back <= Math.min(end, LONGEST); back++) {
      if (step > ARRIVED && apart(way[end], way[end - back]) < SAME * step) return back;
    }
    return 0;
  }

  function state() {
    const { way } = inputs, tongue = tongues[inputs.tongue], tau = way[way.length - 1];
    return {
      tongue: inputs.tongue, sharpness: tongue.sharpness, nearest: tongue.nearest, way, tau, steps: way.length - 1,
      length: Math.hypot(...tau), lead: least(tongue, tau), left: apart(tau, tongue.nearest),
      cycle: cycle(way), next: following(tongue, tau),
    };
  }

  function set(change) {
    Object.assign(inputs, change);
    if (onSet) onSet();
    return state();
  }

  /** Linearise so many times. */
  function go(times) {
    const way = inputs.way.slice();
    for (let k = 0; k < times; k++) {
      const next = following(tongues[inputs.tongue], way[way.length - 1]);
      if (next) way.push(next);
    }
    return set({ way });
  }

  function verdict(now) {
    const { steps, lead, next } = now, [here, there] = [now.length, Math.hypot(...now.nearest)].map((v) => format(v, 3));
    const where = `Distance ${here}; the nearest point is at ${there}.`, count = `${steps} step${steps === 1 ? "" : "s"}`;
    if (!next) return ["No way on.", " The straight borders contradict each other here."];
    if (now.cycle) {
      return [`A cycle of ${now.cycle}.`,
        ` After ${count} it is back where it was ${now.cycle} steps ago, and will never arrive.`];
    }
    if (now.left < ARRIVED) return [`Arrived after ${count}.`, ` ${where}`];
    if (!steps) {
      return ["Seen from here, the borders are straight (dashed).",
        ` The shortest change beyond them has the length ${format(Math.hypot(...next), 3)}.`];
    }
    return [`After ${count} the target ${lead >= -1e-9 ? "wins" : `is short by ${format(-lead, 2)}`}.`, ` ${where}`];
  }

  // ---- the picture -----------------------------------------------------------------

  /** Draw where the target wins and its border, cell by cell, as one path each. */
  function drawBorder(plot, tongue, region, border) {
    const step = 2 * HALF / SIDE, at = (i, j) => [CENTRE[0] - HALF + i * step, CENTRE[1] - HALF + j * step];
    const places = Array.from({ length: SIDE + 1 }, (_, k) => k);
    const heights = places.map((j) => places.map((i) => least(tongue, at(i, j))));
    const between = (a, b, p, q) => plot.toPixel(p.map((from, k) => from + (q[k] - from) * a / (a - b)));
    let cells = "", line = "";
    for (let j = 0; j < SIDE; j++) {
      for (let i = 0; i < SIDE; i++) {
        const corners = [[i, j], [i + 1, j], [i + 1, j + 1], [i, j + 1]], cuts = [], inside = [];
        const values = corners.map(([k, l]) => heights[l][k]), points = corners.map((corner) => at(...corner));
        values.forEach((value, k) => {
          const after = values[(k + 1) % 4];
          if (value >= 0) inside.push(plot.toPixel(points[k]));
          if ((value >= 0) === (after >= 0)) return;
          const cut = between(value, after, points[k], points[(k + 1) % 4]);
          cuts.push(cut);
          inside.push(cut);
        });
        if (inside.length > 2) cells += `${E.polyline(inside)}Z`;
        if (cuts.length === 2) line += E.polyline(cuts);
      }
    }
    E.setAttributes(region, { d: cells });
    E.setAttributes(border, { d: line });
  }

  /** The plane of changes; returns the function that draws it. */
  function picture(root) {
    const plot = E.plot(root, {
      role: "group", axes: ["Δx₁", "Δx₂"],
      label: "Plane of changes of two pixels. A region where the target wins points at the image, in the middle on the left, "
        + "like a tongue",
    });
    plot.setView(...CENTRE, HALF);
    const path = (className) => svg("path", { class: className }, plot.marks);
    const region = path("explorable-linearise-region"), border = path("explorable-line explorable-bold");
    const circle = svg("circle", { class: "explorable-line explorable-thin explorable-dashed" }, plot.marks);
    const straight = [0, 1].map(() => path("explorable-line explorable-computed explorable-dashed"));
    const shortest = path("explorable-line explorable-computed");
    const [trail, marks] = [0, 1].map(() => path("explorable-line explorable-exact"));
    const next = svg("circle", { r: 6, class: "explorable-open" }, plot.marks);
    const best = svg("circle", { r: 5, class: "explorable-diamond" }, plot.marks);
    const zero = plot.toPixel([0, 0]);
    svg("circle", { r: 5, cx: zero[0], cy: zero[1], class: "explorable-dot" }, plot.marks);
    const names = ["image", "nearest"].map((text) => svg("text", { text }, plot.labels));
    const [rx, ry] = plot.toPixel([2.46, -0.45]);
    svg("text", { x: rx, y: ry, "text-anchor": "end", text: "target wins" }, plot.labels);
    const ring = E.handle(plot, {
      id: "linearise-handle", label: "point at which the border is linearised", get: () => state().tau,
      move: (tau) => set({ way: [tau] }), done: () => {}, text: ([u, v]) => `${format(u, 3)}, ${format(v, 3)}`,
    });
    let drawn = null;
    return (now) => {
      const tongue = tongues[now.tongue], pixels = now.way.slice(-40).map(plot.toPixel);
      if (drawn !== tongue) drawBorder(plot, tongue, region, border);
      drawn = tongue;
      E.setAttributes(circle, { cx: zero[0], cy: zero[1], r: Math.hypot(...now.nearest) * plot.scale() });
      borders(tongue, now.tau).forEach(({ slope, level }, k) => {
        const foot = slope.map((s) => s * level / dot(slope, slope)), size = Math.hypot(...slope) / 9;
        const ends = [-1, 1].map((t) => plot.toPixel([foot[0] - t * slope[1] / size, foot[1] + t * slope[0] / size]));
        straight[k].classList.toggle("explorable-bold", !!now.next && Math.abs(dot(slope, now.next) - level) < 1e-9);
        E.setAttributes(straight[k], { d: E.polyline(ends) });
      });
      const goal = now.next && plot.toPixel(now.next);
      E.setAttributes(shortest, { d: goal ? E.polyline([zero, goal]) : "" });
      if (goal) E.setAttributes(next, { cx: goal[0], cy: goal[1] });
      E.setAttributes(trail, { d: pixels.length > 1 ? E.polyline(pixels) : "" });
      E.setAttributes(marks, { d: pixels.map(([px, py]) => `M${px - 4} ${py - 4}l8 8m-8 0l8 -8`).join("") });
      const end = plot.toPixel(now.nearest);
      E.setAttributes(best, { cx: end[0], cy: end[1] });
      E.placeLabels([{ element: names[0], at: zero, gap: 10 }, { element: names[1], at: end, gap: 10 }],
        [...pixels, ...(goal ? E.along(zero, goal) : []), plot.toPixel(now.tau)], plot.frame);
      ring.draw();
    };
  }

  // ---- the page ----------------------------------------------------------------------

  function build(root) {
    if (!load(E.lineariseData)) return E.missing(root, "The network is missing: its file");
    const [place, side] = E.inline(root), draw = picture(place);
    const tell = E.verdictLine(side);
    const actions = html("div", { class: "explorable-buttons explorable-choice" }, side);
    const reset = () => set({ way: [[0, 0]] });
    buttons(actions, ["linearise again", "ten times", "reset"], (i) => [() => go(1), () => go(10), reset][i]())
      .forEach((button) => button.removeAttribute("aria-pressed"));
    const box = choice(side, "Sharpness of the tip", "linearise-tips");
    const tips = buttons(box, tongues.map(({ sharpness }) => String(sharpness)), (tongue) => set({ tongue, way: [[0, 0]] }));
    const fill = E.valueTable(E.folded(side, "The numbers", "explorable-details"), ["", "value"], "");
    onSet = () => {
      const now = state();
      draw(now);
      E.press(tips, now.tongue);
      tell(verdict(now));
      fill([
        ["change of the two pixels", now.tau.map((v) => format(v)).join(", ")], ["its length", format(now.length)],
        ["lead of the target, less the margin", format(now.lead)], ["distance to the nearest point", format(now.left)],
      ]);
    };
    set({});
  }

  E.linearise = { following: (tongue, tau) => following(tongues[tongue], tau), state, set, go };
  E.ready("linearise", build);
}
