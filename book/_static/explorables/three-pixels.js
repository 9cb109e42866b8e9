/* Explorable: a convolution of three pixels against theorem 4.2 of paper P, and where the printed bound is too large.
 * Needs elements.js and axes.js before it and <div class="explorable" id="three-pixels"></div>.
 * For tests: window.explorables.threePixels.compute, .state and .set.
 *
 * The kernel (a, b) slides along R = (r₁, r₂, r₃): the output moves by (a r₁ + b r₂, a r₂ + b r₃), of length κ.
 * The theorem says ‖R‖ ≥ κ / √(a² + b²); what can be proved is ‖R‖ ≥ κ / √(a² + b² + |ab|). */
"use strict";

{
  const E = window.explorables, { html, svg, choice, buttons, format } = E;
  const KERNELS = [[1, 1], [1, -1], [1, 0.5], [1, 0]];
  const HALF = 1.7, FULL = 2.2; // of the plane that is shown; the longest bar
  const SLACK = 1e-9; // of rounding, relative

  // ---- the mathematics -------------------------------------------------------

  function compute([a, b], [r1, r2, r3]) {
    const output = [a * r1 + b * r2, a * r2 + b * r3], kappa = Math.hypot(...output), length = Math.hypot(r1, r2, r3);
    const printed = kappa / Math.hypot(a, b), proved = kappa / Math.sqrt(a * a + b * b + Math.abs(a * b));
    return { output, kappa, length, printed, proved, fails: printed > length * (1 + SLACK) };
  }

  /** The change that a kernel makes longest, its largest entry 2/3. */
  function worst([a, b]) {
    const sign = a * b < 0 ? -1 : 1, change = [a, b + sign * a, sign * b], most = Math.max(...change.map(Math.abs));
    return change.map((r) => 2 * r / (3 * most));
  }

  /** The ellipse of (r₁, r₃) in which the theorem fails for a kernel and r₂; null if there is none. */
  function failing([a, b], r2) {
    if (a * b * r2 === 0) return null;
    const size = Math.hypot(a, b) * Math.abs(r2);
    return { centre: [a * r2 / b, b * r2 / a], axes: [size / Math.abs(b), size / Math.abs(a)] };
  }

  // ---- the state ---------------------------------------------------------------

  const inputs = { kernel: 0, change: [-0.7, 0.7, 0.3] };
  let onSet = null;

  function state() {
    const weights = KERNELS[inputs.kernel];
    return { ...inputs, weights, ...compute(weights, inputs.change) };
  }

  function set(change) {
    Object.assign(inputs, change);
    if (onSet) onSet();
    return state();
  }

  const short = (value) => String(Number(value.toFixed(2))).replace("-", "−");
  const vector = (values) => `(${values.map(short).join(", ")})`;

  function verdict({ fails, printed, length }) {
    const said = ` It says that ‖R‖ is at least ${format(printed, 3)}, and ‖R‖ is ${format(length, 3)}.`;
    return [fails ? "Here the theorem is false." : "Here the theorem holds.", said];
  }

  // ---- the picture ---------------------------------------------------------------

  /** The plane of the outer pixels, with the region where the theorem fails; returns the function that draws it. */
  function picture(root) {
    const plot = E.plot(root, {
      role: "group", axes: ["r₁", "r₃"],
      label: "Plane of the changes of the first and the third pixel; where the theorem is false is shaded",
    });
    plot.setView(0, 0, HALF);
    const region = svg("ellipse", { class: "explorable-region" }, plot.marks);
    const name = svg("text", { class: "explorable-ink-computed", "text-anchor": "middle" }, plot.labels);
    name.textContent = "theorem false";
    const ring = E.handle(plot, {
      id: "three-pixels-handle", label: "changes of the outer pixels", get: () => [inputs.change[0], inputs.change[2]],
      move: ([r1, r3]) => set({ change: [r1, inputs.change[1], r3] }), done: () => {},
      text: ([r1, r3]) => `first ${short(r1)}, third ${short(r3)}`,
    });
    return (now) => {
      const found = failing(now.weights, now.change[1]), { scale, frame } = plot;
      if (found) {
        const [cx, cy] = plot.toPixel(found.centre), [rx, ry] = found.axes.map((r) => r * scale());
        E.setAttributes(region, { cx, cy, rx, ry, visibility: null });
        const x = Math.min(frame.right - 48, Math.max(frame.left + 48, cx));
        const y = Math.min(frame.bottom - 8, Math.max(frame.top + 18, cy + 5));
        E.setAttributes(name, { x, y, visibility: rx > 40 ? null : "hidden" });
      } else [region, name].forEach((element) => E.setAttributes(element, { visibility: "hidden" }));
      ring.draw();
    };
  }

  /** Three lengths as bars; returns the function that draws them. */
  function bars(root) {
    const fill = E.lengthBars(root, [["‖R‖", ["exact"]], ["printed ≥", ["computed"]], ["proved ≥", ["changed"]]]);
    const note = html("p", { class: "explorable-note" }, root);
    return (now) => {
      fill([now.length, now.printed, now.proved].map((length) => [[length / FULL], format(length, 3)]));
      const kappa = format(now.kappa, 3);
      note.textContent = `R = ${vector(now.change)} moves the output by ${vector(now.output)}, κ = ${kappa}.`;
    };
  }

  // ---- the page --------------------------------------------------------------------

  function controls(root) {
    const attributes = { id: "three-pixels-middle", min: -1, max: 1, step: 0.05 };
    const middle = E.slider(root, attributes, (r2) => set({ change: [inputs.change[0], r2, inputs.change[2]] }));
    const box = choice(root, "Kernel", "three-pixels-kernels");
    const kernels = buttons(box, KERNELS.map(vector), (kernel) => set({ kernel }));
    const actions = html("div", { class: "explorable-buttons" }, root);
    const [jump] = buttons(actions, ["the worst change"], () => set({ change: worst(KERNELS[inputs.kernel]) }));
    jump.removeAttribute("aria-pressed");
    return (now) => {
      middle.show(now.change[1], `Middle pixel r₂ = ${short(now.change[1])}`, short(now.change[1]));
      E.press(kernels, now.kernel);
    };
  }

  function build(root) {
    const [place, side] = E.inline(root), draw = picture(place);
    const tell = E.verdictLine(side), fill = bars(side), show = controls(side);
    onSet = () => {
      const now = state();
      draw(now);
      fill(now);
      show(now);
      tell(verdict(now));
    };
    set({});
  }

  E.threePixels = { compute, state, set, kernels: KERNELS };
  E.ready("three-pixels", build);
}
