/* Explorable: backward and forward error of a 2 x 2 system A x = b, in the plane.
 * Needs elements.js and axes.js before it and <div class="explorable" id="plane"></div>.
 * For tests: window.explorables.plane.compute, .state and .set. */
"use strict";

{
  const E = window.explorables, { html, svg } = E;

  // ---- the mathematics ---------------------------------------------------

  /** u . v as if computed in twice the working precision (Ogita, Rump, Oishi). */
  function dot(u, v) {
    const split = (a) => { const c = 134217729 * a, high = c - (c - a); return [high, a - high]; };
    let sum = 0, rest = 0;
    u.forEach((a, i) => {
      const product = a * v[i], [ah, al] = split(a), [bh, bl] = split(v[i]);
      const productError = al * bl - (((product - ah * bh) - al * bh) - ah * bl);
      const next = sum + product, z = next - sum;
      rest += productError + ((sum - (next - z)) + (product - z));
      sum = next;
    });
    return sum + rest;
  }

  /** A^-1 v by Cramer's rule. */
  function solve(A, v) {
    const [[a, b], [c, d]] = A, det = dot([a, -b], [d, c]);
    return [dot([v[0], -v[1]], [d, b]) / det, dot([a, -c], [v[1], v[0]]) / det];
  }

  /** Singular values and right singular vectors of A: A = R(f) diag R(t). */
  function svd(A) {
    const [[a, b], [c, d]] = A;
    const sum = Math.hypot(a + d, c - b) / 2, difference = Math.hypot(a - d, c + b) / 2;
    const s1 = sum + difference, s2 = Math.abs(dot([a, -b], [d, c])) / s1;
    const t = (Math.atan2(c - b, a + d) - Math.atan2(c + b, a - d)) / 2;
    return { sigma: [s1, s2], V: [[Math.cos(t), -Math.sin(t)], [Math.sin(t), Math.cos(t)]] };
  }

  const norm = (v) => Math.hypot(...v.flat());
  const plus = (u, v) => u.map((ui, i) => ui + v[i]);
  const column = (M, j) => [M[0][j], M[1][j]];

  /** Everything the page shows, for nonsingular A. Matrices are measured in the
   *  Frobenius norm, vectors in the 2-norm; errors are relative to xhat. */
  function compute(A, b, xhat) {
    const { sigma, V } = svd(A);
    const x = solve(A, b);
    const r = [0, 1].map((i) => dot([b[i], -A[i][0], -A[i][1]], [1, xhat[0], xhat[1]]));
    const normA = norm(A), normB = norm(b), normX = norm(xhat), normR = norm(r);
    const size = normA * normX + normB;
    const eta = normR === 0 ? 0 : normR / size;
    const shareA = normX === 0 ? 0 : normA * normX / size; // of r, taken up by dA
    const shareB = normB === 0 ? 0 : normB / size;
    const dA = r.map((ri) => xhat.map((xj) => normX === 0 ? 0 : shareA * ri * (xj / normX) / normX));
    const db = r.map((ri) => -shareB * ri + 0); // + 0: no minus zero
    const forward = normX === 0 ? Infinity : norm(solve(A, r)) / normX;
    const cond = normX === 0 ? Infinity : (normA + normB / normX) / sigma[1];
    const bound = normX === 0 ? Infinity : normR / sigma[1] / normX;
    return {
      x, r, eta, dA, db, forward, cond, bound, kappa2: sigma[0] / sigma[1],
      residual_axes: sigma.map((s) => normR / s), // semi-axes of the ellipse, along V
      sigma, directions: V,
    };
  }

  /** What is wrong with the data, or null: { message, fields }. */
  function complaint(A, b, xhat) {
    for (const { name, get } of FIELDS) {
      if (!Number.isFinite(get(A, b, xhat))) return { message: `${name} needs a number.`, fields: [name] };
    }
    const det = dot([A[0][0], -A[0][1]], [A[1][1], A[1][0]]);
    if (!(Math.abs(det) > 1e-12 * norm(A) ** 2)) {
      return {
        message: "A is singular, or too close to it: change one of its entries.",
        fields: FIELDS.slice(0, 4).map((field) => field.name),
      };
    }
    const { x, r, sigma, residual_axes: axes } = compute(A, b, xhat);
    if (![...x, ...r, ...axes, 1 / sigma[1], norm(A) * norm(xhat)].every(Number.isFinite)) {
      return { message: "The numbers in A, b or x̂ are too large or too small to draw.", fields: [] };
    }
    return null;
  }

  const FIELDS = [
    ["a₁₁", "A, row 1, column 1", (A) => A[0][0]],
    ["a₁₂", "A, row 1, column 2", (A) => A[0][1]],
    ["a₂₁", "A, row 2, column 1", (A) => A[1][0]],
    ["a₂₂", "A, row 2, column 2", (A) => A[1][1]],
    ["b₁", "b, entry 1", (A, b) => b[0]],
    ["b₂", "b, entry 2", (A, b) => b[1]],
    ["x̂₁", "computed solution, entry 1", (A, b, xhat) => xhat[0]],
    ["x̂₂", "computed solution, entry 2", (A, b, xhat) => xhat[1]],
  ].map(([name, label, get]) => ({ name, label, get }));

  const LENS = [128, 122]; // width and height of the enlargement in the b-plane

  const PRESETS = {
    "well conditioned": { A: [[2, 1], [1, 3]], b: [3, 5], xhat: [1.1, 1.1] },
    "stretched": { A: [[3, 1], [1, 0.5]], b: [4, 1.5], xhat: [0.8, 1.6] },
    "nearly singular": { A: [[1, 2], [2, 4.01]], b: [3, 6.01], xhat: [2, 0.5] },
  };

  /** One sentence on what the numbers show. */
  function verdict({ xhat, eta, forward, cond }) {
    if (eta === 0) return "The residual is zero: x̂ solves the given system.";
    if (norm(xhat) === 0) return "x̂ is zero: it solves the system only if b is changed by 100 %.";
    const change = E.percent(eta), off = E.percent(forward);
    if (eta >= 0.01) return `Only a change of the data by ${change} or more explains this solution; it is ${off} off.`;
    const start = `A change of the data by ${change} explains this solution, `;
    if (forward > 0.1) return start + `though it is ${off} off: the system, not the method, is to blame.`;
    return start + `and it is ${off} off: ${E.format(forward / eta, 2)} times the change, `
      + `where the condition number allows ${E.format(cond, 2)} times.`;
  }

  // ---- the state ---------------------------------------------------------

  const copy = ({ A, b, xhat }) => ({ A: A.map((row) => [...row]), b: [...b], xhat: [...xhat] });
  let inputs = copy(PRESETS["well conditioned"]);
  let onSet = null; // redraws the page, once there is one
  const state = () => ({ ...copy(inputs), ...compute(inputs.A, inputs.b, inputs.xhat) });

  /** Take over new data where they are valid; returns the complaint, or null. */
  function set(change) {
    const next = copy({ ...inputs, ...change });
    const problem = complaint(next.A, next.b, next.xhat);
    if (!problem) inputs = next;
    if (onSet) onSet(problem);
    return problem;
  }

  // ---- the controls ----------------------------------------------------------

  /** Buttons for the examples and for the way back; returns a function that marks the one that is shown. */
  function exampleButtons(root) {
    const names = Object.keys(PRESETS), bar = html("div", { class: "explorable-buttons", role: "group", "aria-label": "examples" }, root);
    let preset = names[0];
    const all = E.buttons(bar, names, (i) => { preset = names[i]; set(PRESETS[preset]); });
    html("button", { type: "button", text: "reset", title: "back to the start of this example" }, bar)
      .addEventListener("click", () => set(PRESETS[preset]));
    return (s) => E.press(all, names.findIndex((name) => ["A", "b"].every((k) => String(PRESETS[name][k]) === String(s[k]))));
  }

  /** Fields for the system and its computed solution, and a place for what is wrong with them: { write, complain }. */
  function systemForm(root) {
    const form = html("div", { class: "explorable-inputs", role: "group", "aria-label": "the system and its computed solution" }, root);
    const fields = [["A", 2, 4], ["b", 1, 2], ["x̂", 1, 2]].flatMap(([name, columns, count], group) => {
      const term = html("span", { class: "explorable-term" }, form);
      html("span", { text: name + " =", "aria-hidden": "true" }, term);
      const box = html("span", { class: "explorable-matrix", style: `grid-template-columns: repeat(${columns}, auto)` }, term);
      return FIELDS.slice([0, 4, 6][group], [0, 4, 6][group] + count).map((field) => ({
        ...field, input: html("input", { type: "number", step: "any", "aria-label": field.label, title: field.name }, box),
      }));
    });
    const alert = html("p", { class: "explorable-alert", role: "alert" }, root);
    for (const field of fields) {
      // an untouched field stands for its number to the last bit, not for its text
      field.read = () => field.input.value === field.shown ? field.value
        : field.input.value === "" ? NaN : Number(field.input.value);
      field.input.addEventListener("input", () => {
        const [a11, a12, a21, a22, b1, b2, x1, x2] = fields.map((f) => f.read());
        set({ A: [[a11, a12], [a21, a22]], b: [b1, b2], xhat: [x1, x2] });
      });
    }
    return {
      /** Write the numbers into the fields, except one that is being typed in. */
      write: (s) => {
        for (const field of fields) {
          const value = field.get(s.A, s.b, s.xhat);
          const digits = field.name.startsWith("x̂") ? 6 : 17;
          const text = String(Number(value.toPrecision(digits)));
          if (field.value === value && field.shown === field.input.value) continue;
          if (document.activeElement !== field.input || field.read() !== value) field.input.value = text;
          Object.assign(field, { value, shown: field.input.value });
        }
      },
      complain: (problem) => {
        alert.textContent = problem ? `${problem.message} The picture keeps the last valid numbers.` : "";
        for (const { name, input } of fields) {
          input.setAttribute("aria-invalid", String(Boolean(problem && problem.fields.includes(name))));
        }
      },
    };
  }

  /** A plot with a title above it. */
  function panel(parent, title, options) {
    const box = html("div", { class: "explorable-panel" }, parent);
    html("p", { class: "explorable-title", text: title }, box);
    return E.plot(box, options);
  }

  const LEGENDS = [ // what [text, ink] says is in that ink
    [["Ellipse", "computed"], " (a mere line where A is nearly singular): all points with a residual of the same size as that of x̂; "
      + "inside it the residual is smaller. Dashed: x̂ − x; its length over that of x̂ is the forward error."],
    [["Circle", "computed"], ": what A makes of the ellipse. Its radius is the size of the residual r = b − A x̂. ",
      ["Green", "changed"], ": changed data that x̂ fits exactly. Dashed arrows: the columns of A + ΔA. ◆:\u00a0(A\u00a0+\u00a0ΔA)\u00a0x̂\u00a0=\u00a0b\u00a0+\u00a0Δb."],
  ];

  /** What the two plots show, in words. */
  function legends(root) {
    const box = html("div", { class: "explorable-panels" }, root);
    for (const parts of LEGENDS) {
      html("p", { class: "explorable-note" }, box).append(...parts.map((part) => typeof part === "string" ? part
        : html("span", { class: "explorable-key explorable-ink-" + part[1], text: part[0] })));
    }
  }

  const label = (parent, text, ink) => svg("text", { class: "explorable-ink-" + ink, text }, parent);

  /** Label what is shown and lies in the frame; hide the rest. */
  function place(items, obstacles, frame) {
    const inside = ({ at: [px, py] }) => px >= frame.left && px <= frame.right && py >= frame.top && py <= frame.bottom;
    const shown = items.filter((item) => item.shown && inside(item));
    for (const item of items) item.element.style.display = shown.includes(item) ? "" : "none";
    E.placeLabels(shown, obstacles, frame);
  }

  // ---- the plane of solutions ----------------------------------------------

  /** The exact solution, the ellipse around it, and a ring for the computed one: { draw, fit }. */
  function solutionPlane(panels, move, done) {
    const plot = panel(panels, "Solutions: drag the ring x̂", {
      role: "group", axes: ["x₁", "x₂"],
      label: "Plane of solutions: the exact solution, the computed one, and the ellipse of equal residual",
    });
    const line = (kinds) => svg("path", { class: "explorable-line " + kinds }, plot.marks);
    const ellipse = svg("path", { class: "explorable-region" }, plot.marks);
    const axes = [line("explorable-thin"), line("explorable-thin")];
    const errorLine = line("explorable-bold explorable-dashed explorable-computed");
    const exactDot = svg("circle", { r: 5.5, class: "explorable-dot" }, plot.marks);
    const exactLabel = label(plot.labels, "x exact", "exact"), computedLabel = label(plot.labels, "x̂ computed", "computed");
    const handle = E.handle(plot, {
      id: "plane-handle",
      label: "computed solution x̂: left and right arrow keys change x₁, up and down x₂",
      text: ([u, v]) => `x₁ = ${E.format(u, 6)}, x₂ = ${E.format(v, 6)}`,
      get: () => inputs.xhat,
      move, done,
    });
    return {
      draw: (s) => {
        const centre = plot.toPixel(s.x), tip = plot.toPixel(s.xhat), scale = plot.scale();
        const [short, long] = s.residual_axes.map((a) => a * scale);
        const [[ux, uy], [vx, vy]] = s.directions;
        const at = (p, q) => [centre[0] + p * ux + q * vx, centre[1] - p * uy - q * vy];
        // only the part of a very long ellipse that the view can hold
        const seen = Math.min(long, 900), end = Math.asin(long > 0 ? seen / long : 1);
        const arc = Array.from({ length: 97 }, (_, k) => -end + 2 * end * k / 96);
        const upper = arc.map((t) => at(short * Math.cos(t), long * Math.sin(t)));
        const lower = arc.map((t) => at(-short * Math.cos(t), long * Math.sin(t))).reverse();
        E.setAttributes(ellipse, { d: E.polyline([...upper, ...lower]) + "Z" });
        E.setAttributes(axes[0], { d: E.polyline([at(-Math.min(short, 900), 0), at(Math.min(short, 900), 0)]) });
        E.setAttributes(axes[1], { d: E.polyline([at(0, -seen), at(0, seen)]) });
        E.setAttributes(errorLine, { d: E.polyline([centre, tip]) });
        E.setAttributes(exactDot, { cx: centre[0], cy: centre[1] });
        E.placeLabels([
          { element: computedLabel, at: tip, gap: 15 }, { element: exactLabel, at: centre, gap: 9 },
        ], [...E.along(centre, tip), ...upper, ...lower, centre, tip], plot.frame);
        handle.draw();
      },
      fit: (s, always) => {
        const error = Math.max(...s.xhat.map((xi, i) => Math.abs(xi - s.x[i])));
        const reach = Math.max(...[0, 1].map((i) => // half the box around the ellipse
          norm([s.residual_axes[0] * s.directions[0][i], s.residual_axes[1] * s.directions[1][i]])));
        const half = Math.max(1.25 * Math.min(Math.max(reach, error), 1.5 * error), 0.4 * norm(s.x)) || 1;
        if (always || 1.15 * error > plot.view.half || half < plot.view.half / 2) plot.setView(...s.x, half);
      },
    };
  }

  // ---- the plane of data ---------------------------------------------------

  const arcPoints = Array.from({ length: 48 }, (_, k) => [Math.cos(k * Math.PI / 24), Math.sin(k * Math.PI / 24)]);

  /** b, A xhat, the residual, the circle and b + db: drawn twice, the second
   *  time enlarged in a corner where the residual is too small to see. */
  function cluster(parent, labelParent) {
    const circle = svg("circle", { class: "explorable-region" }, parent);
    const residual = E.arrow(parent, "explorable-line explorable-bold explorable-computed");
    const image = svg("circle", { r: 5.5, class: "explorable-open" }, parent);
    const dot = svg("circle", { r: 5.5, class: "explorable-dot" }, parent);
    const diamond = svg("path", { class: "explorable-diamond" }, parent);
    const labels = [["b", "exact"], ["Ax̂", "computed"], ["b+Δb", "changed"], ["r", "computed"]]
      .map(([text, ink]) => label(labelParent, text, ink));
    return (b, image_, b2, radius) => {
      E.setAttributes(circle, { cx: b[0], cy: b[1], r: radius });
      residual.draw(image_, b);
      E.setAttributes(image, { cx: image_[0], cy: image_[1] });
      E.setAttributes(dot, { cx: b[0], cy: b[1] });
      E.setAttributes(diamond, { d: `M${b2[0]} ${b2[1] - 7}l6 7l-6 7l-6-7z` });
      const middle = [(image_[0] + b[0]) / 2, (image_[1] + b[1]) / 2];
      const far = (p, q, d) => Math.hypot(p[0] - q[0], p[1] - q[1]) > d;
      const shown = [true, far(image_, b, 10), far(b2, b, 10) && far(b2, image_, 10), far(middle, b2, 16) && far(b, image_, 60)];
      return [b, image_, b2, middle].map((at, i) => ({ element: labels[i], at, gap: 10, shown: shown[i] }));
    };
  }

  /** The enlargement of what is near b: { moveTo, show }. show(toImage, toChanged, radius) takes pixels and returns
   *  what it covers, nothing where it is not needed. */
  function magnifier(plot) {
    const group = svg("g", { "aria-hidden": "true" }, plot.svg);
    const frame = svg("rect", { width: LENS[0], height: LENS[1], class: "explorable-inset" }, group);
    const marks = svg("g", {}, group), labels = svg("g", { class: "explorable-labels" }, group);
    const title = label(labels, "", "muted"), enlarged = cluster(marks, labels);
    let corner = [0, 0];
    return {
      moveTo: (next) => { corner = next; },
      show: (toImage, toChanged, radius) => {
        const small = radius > 0 && radius <= 21, covered = [];
        group.style.display = small ? "" : "none";
        if (!small) return covered;
        const [x, y] = corner, centre = [x + LENS[0] / 2, y + 70];
        const half = 10 ** Math.floor(Math.log10(42 / radius)) / 2; // steps of the zoom
        const zoom = half * Math.floor(42 / radius / half);
        const image = plus(centre, toImage(zoom)), changed = plus(centre, toChanged(zoom));
        E.setAttributes(frame, { x, y });
        E.setAttributes(title, { x: x + 6, y: y + 15, text: `near b, ${zoom < 1e4 ? zoom : E.format(zoom, 2)}×` });
        const items = enlarged(centre, image, changed, zoom * radius);
        place(items, [centre, image, changed, ...E.along(image, centre)], { left: x, right: x + LENS[0], top: y + 18, bottom: y + LENS[1] });
        for (let i = 0; i <= 12; i++) for (let k = 0; k <= 12; k++) covered.push([x + 10 * i, y + 10 * k]);
        return covered;
      },
    };
  }

  /** Draw in a plot of the data, given its marks: b, the columns of A before and after, the residual and the changes. */
  function drawData(plot, { rhs, columns, changed, main, lens, columnLabels, changedLabels }, s) {
    const origin = plot.toPixel([0, 0]), b = plot.toPixel(s.b), scale = plot.scale();
    // from b by the changes themselves: b + db may round to b
    const off = (change) => (zoom) => [change[0] * scale * zoom, -change[1] * scale * zoom];
    const toImage = off(s.r.map((ri) => -ri)), toChanged = off(s.db), image = plus(b, toImage(1)), b2 = plus(b, toChanged(1));
    const radius = norm(s.r) * scale, labels = [];
    rhs.draw(origin, b);
    const obstacles = E.along(origin, b);
    const around = (c, d) => arcPoints.map(([p, q]) => [c[0] + d * p, c[1] + d * q]);
    obstacles.push(...around(b, radius), image, b, b2, ...E.along(image, b));
    const group = main(b, image, b2, radius);
    [0, 1].forEach((j) => {
      const before = plot.toPixel(column(s.A, j));
      const after = plot.toPixel(plus(column(s.A, j), column(s.dA, j)));
      columns[j].draw(origin, before);
      changed[j].draw(origin, after);
      obstacles.push(...E.along(origin, before), ...E.along(origin, after));
      labels.push({ element: columnLabels[j], at: before, shown: true });
      labels.push({ element: changedLabels[j], at: after, shown: norm([after[0] - before[0], after[1] - before[1]]) > 14 });
    });
    const covered = lens.show(toImage, toChanged, radius);
    if (covered.length) group.slice(1).forEach((item) => { item.shown = false; });
    place([...group, ...labels], [...obstacles, ...covered], plot.frame);
  }

  /** b and what A makes of x̂, the columns of A, and the changed data: { draw, fit }. */
  function dataPlane(panels) {
    const plot = panel(panels, "Data: the changes that explain it", {
      axes: ["b₁", "b₂"],
      label: "Plane of data: b, A x̂, the residual, the columns of A, and the changed data; the table has the numbers",
    });
    const columns = [0, 1].map(() => E.arrow(plot.marks, "explorable-line"));
    const rhs = E.arrow(plot.marks, "explorable-line explorable-exact");
    const changed = [0, 1].map(() => E.arrow(plot.marks, "explorable-line explorable-bold explorable-dashed explorable-changed"));
    const columnLabels = ["a₁", "a₂"].map((text) => label(plot.labels, text, "muted"));
    const changedLabels = ["a₁+Δa₁", "a₂+Δa₂"].map((text) => label(plot.labels, text, "changed"));
    const main = cluster(plot.marks, plot.labels), lens = magnifier(plot);
    return {
      draw: (s) => drawData(plot, { rhs, columns, changed, main, lens, columnLabels, changedLabels }, s),
      fit: (s, always) => {
        const radius = norm(s.r), image = plus(s.b, s.r.map((ri) => -ri));
        const points = [[0, 0], image, plus(s.b, [radius, radius]), plus(s.b, [-radius, -radius])];
        for (const j of [0, 1]) points.push(column(s.A, j), plus(column(s.A, j), column(s.dA, j)));
        const [xs, ys] = [0, 1].map((i) => points.map((p) => p[i]));
        const low = [Math.min(...xs), Math.min(...ys)], high = [Math.max(...xs), Math.max(...ys)];
        const need = Math.max(high[0] - low[0], high[1] - low[1]) / 2, v = plot.view;
        const fits = low[0] > v.cx - v.half && high[0] < v.cx + v.half && low[1] > v.cy - v.half && high[1] < v.cy + v.half;
        if (always || !fits || need < v.half / 2.4) {
          plot.setView((low[0] + high[0]) / 2, (low[1] + high[1]) / 2, 1.18 * need);
        }
        lens.moveTo(emptiestCorner(plot, points));
      },
    };
  }

  /** Where the enlargement hides least of the lines from the origin to these points. */
  function emptiestCorner(plot, points) {
    const { left, right, top, bottom } = plot.frame;
    const busy = points.flatMap((p) => E.along(plot.toPixel([0, 0]), plot.toPixel(p)));
    return [bottom - LENS[1] - 4, top + 4].flatMap((y) => [right - LENS[0] - 4, left + 4].map((x) => [x, y])).map(([x, y]) => ({
      at: [x, y],
      hits: busy.filter(([p, q]) => p > x - 20 && p < x + LENS[0] + 20 && q > y - 20 && q < y + LENS[1] + 20).length,
    })).reduce((best, corner) => corner.hits < best.hits ? corner : best).at;
  }

  // ---- the numbers -----------------------------------------------------------

  const ratio = (change, whole) => norm(whole) === 0 ? NaN : norm(change) / norm(whole);
  const QUANTITIES = [
    ["backward error η", "smallest relative change of A and b that makes x̂ exact", (s) => s.eta],
    ["‖ΔA‖ / ‖A‖", "relative size of the change of A", (s) => ratio(s.dA, s.A)],
    ["‖Δb‖ / ‖b‖", "relative size of the change of b", (s) => ratio(s.db, s.b)],
    ["forward error", "‖x̂ − x‖ / ‖x̂‖, how far x̂ is from the exact x", (s) => s.forward],
    ["condition number", "the forward error is at most this many times η", (s) => s.cond],
    ["bound", "condition number × η, never below the forward error", (s) => s.bound],
    ["κ₂(A)", "long axis of the ellipse divided by the short one", (s) => s.kappa2],
  ];

  /** The table of the quantities; returns the function that fills it. */
  function quantityTable(root) {
    const table = html("table", { class: "explorable-table" }, root);
    const headRow = html("tr", {}, html("thead", {}, table));
    for (const [text, kind] of [["Quantity", ""], ["Value", "explorable-value"], ["Meaning", ""]]) {
      html("th", { scope: "col", text, class: kind }, headRow);
    }
    const body = html("tbody", {}, table);
    const cells = QUANTITIES.map(([name, meaning]) => {
      const row = html("tr", {}, body);
      html("th", { scope: "row", text: name }, row);
      const cell = html("td", { class: "explorable-value" }, row);
      html("td", { text: meaning }, row);
      return cell;
    });
    return (s) => QUANTITIES.forEach(([, , get], i) => { cells[i].textContent = E.format(get(s), 4); });
  }

  /** The changed data in numbers; returns the function that writes them. */
  function changedData(root) {
    html("p", { class: "explorable-note", text: "The changed data, printed to six digits; x̂ solves (A + ΔA) x̂ = b + Δb." }, root);
    const results = html("div", { class: "explorable-inputs explorable-results" }, root);
    const [matrix, vector] = [["A + ΔA", 2, 4], ["b + Δb", 1, 2]].map(([name, wide, count]) => {
      const term = html("span", { class: "explorable-term" }, results);
      html("span", { text: name + " =", "aria-hidden": "true" }, term);
      const box = html("span", { class: "explorable-matrix", role: "img", style: `grid-template-columns: repeat(${wide}, auto)` }, term);
      const cells = Array.from({ length: count }, () => html("span", {}, box));
      return (values) => {
        const texts = values.map((value) => E.format(value, 6));
        cells.forEach((cell, i) => { cell.textContent = texts[i]; });
        box.setAttribute("aria-label", `${name}, row by row: ${texts.join(", ")}`);
      };
    });
    return (s) => {
      matrix(s.A.flatMap((row, i) => plus(row, s.dA[i])));
      vector(plus(s.b, s.db));
    };
  }

  // ---- the page ----------------------------------------------------------

  function build(root) {
    const markExample = exampleButtons(root), panels = html("div", { class: "explorable-planes" }, root);
    const move = (xhat) => {
      inputs = copy({ ...inputs, xhat });
      form.complain(null);
      draw();
    };
    const solutions = solutionPlane(panels, move, () => fit(false));
    const sentence = html("p", { class: "explorable-verdict" }, panels), planes = [solutions, dataPlane(panels)];
    const form = systemForm(root);
    legends(root);
    const box = E.folded(root, "The numbers", "explorable-details");
    const fillTable = quantityTable(box), writeChanged = changedData(box), say = E.announcer(root);

    function draw() {
      const s = state();
      planes.forEach((plane) => plane.draw(s));
      form.write(s);
      fillTable(s);
      writeChanged(s);
      sentence.textContent = verdict(s);
      say(`backward error ${E.percent(s.eta)}, forward error ${E.percent(s.forward)}`);
      markExample(s);
    }

    /** Choose both views to show everything; where `always` is false, leave a
     *  view alone that still serves, so that the picture does not jump. */
    function fit(always) {
      const s = state();
      planes.forEach((plane) => plane.fit(s, always));
      draw();
    }

    onSet = (problem) => {
      form.complain(problem);
      if (!problem) fit(true);
    };
    fit(true);
  }

  E.plane = { compute, state, set };
  E.ready("plane", build);
}
