/* Explorable: the logits of one image in every format, within the ball in which no class can change.
 * Needs elements.js, axes.js, pixels.js and safe-ball-data.js (which notebooks/49_low_precision.ipynb makes) before it and
 * <div class="explorable" id="safe-ball"></div>. For tests: window.explorables.safeBall.state and .set. */
"use strict";

{
  const E = window.explorables, { html, svg, choice, buttons, numbers } = E;
  const SIZE = 320, MIDDLE = SIZE / 2, BALL = 100, RING = 16, DECADES = 6; // a decade a ring, six within the ball

  // ---- the data ----------------------------------------------------------------

  let formats, images, shape, network;

  function load(data) {
    if (!data) return false;
    const pixels = numbers(data.pixels), logits = numbers(data.logits), moves = numbers(data.moves);
    const count = data.labels.length, size = pixels.length / count, classes = logits.length / count;
    ({ formats, shape, network } = data);
    images = data.labels.map((label, i) => ({
      label, number: data.numbers[i], certified: data.certified[i],
      pixels: pixels.slice(i * size, (i + 1) * size), logits: Array.from(logits.slice(i * classes, (i + 1) * classes)),
      moves: formats.map((_, f) => Array.from(moves.slice((i * formats.length + f) * classes).slice(0, classes))),
    }));
    return true;
  }

  /** The class of an image, its nearest rival, and the radius: its lead over √2. */
  function ball({ logits }) {
    const own = E.best(logits), rival = E.best(logits, own);
    return { own, rival, radius: (logits[own] - logits[rival]) / Math.SQRT2 };
  }

  // ---- the state -----------------------------------------------------------------

  const inputs = { image: 0, format: 0 };
  let onSet = null;

  function state() {
    const image = images[inputs.image], { own, rival, radius } = ball(image);
    const points = image.moves.map((move, f) => {
      const length = Math.hypot(...move), towards = (move[rival] - move[own]) / Math.SQRT2;
      return {
        format: formats[f], part: length / radius, cosine: length ? towards / length : 1,
        seen: E.best(image.logits.map((y, k) => y + move[k])), certified: image.certified[f],
      };
    });
    return { ...inputs, label: image.label, own, rival, radius, points };
  }

  function set(change) {
    Object.assign(inputs, change);
    if (onSet) onSet();
    return state();
  }

  function verdict({ points, format, own }) {
    const { format: name, part, seen, certified } = points[format];
    const where = part < 1 ? "inside the ball: no class can change" : seen === own ? "outside the ball, but the class stays"
      : `outside the ball: ${E.article(own)} is seen as ${E.article(seen)}`;
    return [`${name} moves the logits by ${E.percent(part)} of the radius, ${where}.`,
      certified ? " It was certified before, against every rounding." : " There was no certificate: worse roundings are possible."];
  }

  // ---- the picture -----------------------------------------------------------------

  /** How far from the centre a length is drawn, in units of the radius: a decade a ring. */
  const shown = (part) => Math.max(0, Math.min(BALL + RING * 3, BALL + RING * Math.log10(Math.max(part, 1e-12))));
  const place = ({ part, cosine }, side) => {
    const r = shown(part), sine = Math.sqrt(Math.max(0, 1 - cosine * cosine)) * (side % 2 ? -1 : 1);
    return [MIDDLE + r * cosine, MIDDLE - r * sine];
  };

  /** Rings, the boundary to the rival, and a dot a format; returns the function that draws them. */
  function picture(root) {
    const look = { class: "explorable-plot explorable-safe-ball", viewBox: `0 0 ${SIZE} ${SIZE}`, role: "img" };
    const board = svg("svg", look, root);
    for (let k = 1; k <= DECADES; k++) {
      const look = k > 1 ? "thin" : "bold explorable-changed";
      svg("circle", { cx: MIDDLE, cy: MIDDLE, r: BALL - RING * (k - 1), class: `explorable-line explorable-${look}` }, board);
    }
    const boundary = Array.from({ length: 81 }, (_, k) => {
      const angle = (k - 40) / 40 * 1.5;
      return place({ part: 1 / Math.cos(angle), cosine: Math.cos(angle) }, angle < 0 ? 1 : 0);
    });
    svg("path", { class: "explorable-line explorable-computed explorable-bold", d: E.polyline(boundary) }, board);
    const labels = svg("g", { class: "explorable-labels" }, board);
    svg("text", { x: 4, y: SIZE - 8, class: "explorable-ink-changed", text: "inside: no other class" }, labels);
    const far = svg("text", { x: SIZE - 4, y: SIZE - 8, "text-anchor": "end", class: "explorable-ink-computed" }, labels);
    const dots = formats.map((_, f) => {
      const dot = svg("circle", { r: 6, class: "explorable-safe-ball-dot" }, board);
      dot.addEventListener("click", () => set({ format: f }));
      return dot;
    });
    return (now) => {
      dots.forEach((dot, f) => {
        const [cx, cy] = place(now.points[f], f), kind = now.points[f].seen === now.own ? "stays" : "flipped";
        E.setAttributes(dot, { cx, cy, r: f === now.format ? 8 : 5,
          class: `explorable-safe-ball-dot explorable-safe-ball-${f === now.format ? "chosen" : kind}` });
      });
      far.textContent = `beyond: ${E.article(now.rival)}`;
      E.setAttributes(board, { "aria-label": `The logits of ${E.article(now.label)} in ${formats.length} formats around those of `
        + `float64, a decade a ring; ${now.points.filter(({ part }) => part < 1).length} are within the ball` });
    };
  }

  // ---- the page --------------------------------------------------------------------

  function controls(root) {
    const whose = choice(root, `Image (network: ${network})`, "safe-ball-images");
    const chosen = buttons(whose, images.map(() => ""), (image) => set({ image }));
    chosen.forEach((button, i) => {
      const { label, number, pixels } = images[i];
      E.thumbnail(button, `test image ${number}, a ${label}`, (canvas) => E.paint(canvas, pixels, shape[1], shape[0], 0));
    });
    const last = formats.length - 1, attributes = { id: "safe-ball-format", min: 0, max: last, step: 1 };
    const which = E.slider(root, attributes, (format) => set({ format }));
    return (now) => {
      E.press(chosen, now.image);
      which.show(now.format, `Format: ${formats[now.format]}`, formats[now.format]);
    };
  }

  function build(root) {
    if (!load(E.safeBallData)) return E.missing(root, "The logits are missing: their file");
    const [left, side] = E.inline(root), draw = picture(left);
    const tell = E.verdictLine(side), show = controls(html("div", {}, side));
    onSet = () => {
      const now = state();
      draw(now);
      show(now);
      tell(verdict(now));
    };
    set({ format: formats.length - 1 });
  }

  E.safeBall = { state, set };
  E.ready("safe-ball", build);
}
