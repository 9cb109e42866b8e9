/* Explorable: the smallest change of weight and input that explains an output, for one weight and one input.
 * Needs elements.js and axes.js before it and <div class="explorable" id="least-norm"></div>.
 * For tests: window.explorables.leastNorm.compute, .state and .set.
 *
 * The network is y = A x. To first order, x ΔA + A Δx = Δy: a line. Minimised is ΔA² + ratio² Δx². */
"use strict";

{
  const E = window.explorables, { html, svg, choice, buttons, format, percent } = E;
  const MOST = 8; // the ratio goes from 1/MOST to MOST
  const TICKS = 60; // places of its slider on either side of one, evenly spaced in its logarithm
  const HALF = 1.55; // of the side of the plane that is shown

  // ---- the mathematics -------------------------------------------------------

  /** The minimiser for a weight A, an input x, a wanted output and a ratio, and what belongs to it. */
  function compute({ A, x, wanted, ratio }) {
    const change = wanted - A * x, g = change / (x * x + (A / ratio) ** 2);
    const dA = x * g, dx = A * g / ratio ** 2;
    return {
      dA, dx, objective: dA * dA + (ratio * dx) ** 2,
      relativeA: Math.abs(dA / A), relativeX: Math.abs(dx / x), neglected: dA * dx, output: (A + dA) * (x + dx),
    };
  }

  /** The ratio for which the point of the line that is nearest to (u, v) is the minimiser. */
  function ratioAt({ A, x, wanted }, [u, v]) {
    const change = wanted - A * x, miss = (change - x * u - A * v) / (x * x + A * A);
    const dA = u + x * miss, dx = v + A * miss;
    if (dx * change <= 0) return MOST; // beyond the point where only the weight changes
    return dA * change <= 0 ? 1 / MOST : Math.sqrt(A * dA / (x * dx));
  }

  // ---- the state ---------------------------------------------------------------

  const inputs = { A: 0.8, x: 1.5, wanted: 2.2, ratio: 1 };
  const RATIOS = [["plain norm", () => 1], ["relative norm, eq. (5)", () => inputs.A / inputs.x]];
  let onSet = null;

  const state = () => ({ ...inputs, ...compute(inputs) });

  function set(change) {
    Object.assign(inputs, change);
    inputs.ratio = Math.min(MOST, Math.max(1 / MOST, inputs.ratio));
    if (onSet) onSet();
    return state();
  }

  /** A number with two places behind the point. */
  const short = (value) => value.toFixed(2).replace(/^-(0\.00)?/, (_, zero) => zero || "−");

  function verdict(now) {
    if (now.dA === 0) return ["Nothing has to change.", " The wanted output is the one that the network gives."];
    return [`Change the weight by ${percent(now.relativeA)}, the input by ${percent(now.relativeX)}.`,
      ` No other point of the line costs less than ${format(now.objective, 3)}.`];
  }

  // ---- the picture ---------------------------------------------------------------

  /** The plane with the line, the ellipse of equal cost and the curve on which nothing is neglected. */
  function picture(root) {
    const plot = E.plot(root, {
      role: "group", axes: ["ΔA", "Δx"],
      label: "Plane of changes of the weight (to the right) and of the input (upwards), with the line of those that explain "
        + "the output",
    });
    plot.setView(0, 0, HALF);
    const draw = (className, parent = plot.marks) => svg("path", { class: `explorable-line ${className}` }, parent);
    const exact = draw("explorable-thin explorable-dashed"), cost = draw("explorable-changed");
    const line = draw("explorable-exact explorable-bold"), stick = draw("explorable-thin");
    const names = ["𝒜θ = Δy", "equal cost", "exact"].map((text, i) => svg("text", {
      text, class: ["explorable-ink-exact", "explorable-ink-changed", "explorable-ink-muted"][i],
    }, plot.labels));
    const ring = E.handle(plot, {
      id: "least-norm-handle", label: "smallest change", get: () => { const { dA, dx } = state(); return [dA, dx]; },
      move: (point) => set({ ratio: ratioAt(inputs, point) }), done: () => {},
      text: ([dA, dx]) => `weight by ${short(dA)}, input by ${short(dx)}`,
    });
    return (now) => {
      const { A, x, wanted } = now, change = wanted - A * x, at = plot.toPixel;
      const onLine = (dA) => at([dA, (change - x * dA) / A]), radius = Math.sqrt(now.objective);
      const turn = Array.from({ length: 97 }, (_, k) => k * Math.PI / 48);
      const ellipse = turn.map((t) => at([radius * Math.cos(t), radius / now.ratio * Math.sin(t)]));
      const bent = Array.from({ length: 80 }, (_, k) => 2 * HALF * k / 79 - HALF).filter((dA) => A + dA > 0.05)
        .map((dA) => at([dA, wanted / (A + dA) - x]));
      E.setAttributes(line, { d: E.polyline([onLine(-2 * HALF), onLine(2 * HALF)]) });
      E.setAttributes(cost, { d: radius ? `${E.polyline(ellipse)}Z` : "" });
      E.setAttributes(exact, { d: E.polyline(bent) });
      E.setAttributes(stick, { d: E.polyline([at([0, 0]), at([now.dA, now.dx])]) });
      const far = bent[bent.length - 20], obstacles = [...E.along(onLine(-HALF), onLine(HALF)), ...bent, ...ellipse];
      E.placeLabels([
        { element: names[0], at: onLine((change + 1.1 * A) / x) },
        { element: names[1], at: at([0, -radius / now.ratio]) }, { element: names[2], at: far },
      ], [...obstacles, at([now.dA, now.dx])], plot.frame);
      ring.draw();
    };
  }

  // ---- the page --------------------------------------------------------------------

  /** The two sliders and the two norms; returns the function that draws them. */
  function controls(root) {
    const weights = { id: "least-norm-ratio", min: -TICKS, max: TICKS, step: 1 };
    const outputs = { id: "least-norm-wanted", min: 0, max: 2.4, step: 0.1 };
    const ratio = E.slider(root, weights, (tick) => set({ ratio: MOST ** (tick / TICKS) }));
    const box = choice(root, "Or take the", "least-norm-norms");
    const norms = buttons(box, RATIOS.map(([name]) => name), (i) => set({ ratio: RATIOS[i][1]() }));
    const wanted = E.slider(root, outputs, (value) => set({ wanted: value }));
    return (now) => {
      const text = format(now.ratio, 3), tick = Math.round(TICKS * Math.log(now.ratio) / Math.log(MOST));
      ratio.show(tick, `Δx costs ${text} times as much as ΔA`, `${text} times`);
      E.press(norms, RATIOS.findIndex(([, value]) => Math.abs(value() / now.ratio - 1) < 1e-9));
      const goal = now.wanted.toFixed(1);
      wanted.show(now.wanted, `Wanted output ${goal} (now ${short(now.A * now.x)})`, goal);
    };
  }

  function build(root) {
    const [place, side] = E.inline(root), draw = picture(place);
    const tell = E.verdictLine(side), show = controls(side);
    const fill = E.valueTable(E.folded(side, "The numbers", "explorable-details"), ["", "value"], "");
    onSet = () => {
      const now = state();
      draw(now);
      show(now);
      tell(verdict(now));
      fill([
        ["weight A, change ΔA", `${format(now.A)}, ${format(now.dA)}`],
        ["input x, change Δx", `${format(now.x)}, ${format(now.dx)}`],
        ["cost of both", format(now.objective)], ["dropped product ΔA Δx", format(now.neglected)],
        ["(A + ΔA)(x + Δx)", format(now.output)],
      ]);
    };
    set({});
  }

  E.leastNorm = { compute, state, set };
  E.ready("least-norm", build);
}
