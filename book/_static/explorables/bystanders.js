/* Explorable: a change of the weights that was made for one image, put in bit by bit, and what a hundred others become.
 * Needs elements.js, pixels.js and bystanders-data.js (which notebooks/12_one_layer.ipynb makes) before it and
 * <div class="explorable" id="bystanders"></div>. For tests: window.explorables.bystanders.state and .set.
 *
 * The change is ΔA = left hᵀ with the attacked image h, a one appended. It moves the logits of another image by
 * left (h · its own h): by more, the more the two have in common. */
"use strict";

{
  const E = window.explorables, { html, choice, buttons, numbers, best, format } = E;
  const STEPS = 150, MOST = 1.5; // of the slider: how much of the change is put in

  let images, targets, left, shape, norm, classes;

  function load(data) {
    if (!data) return false;
    const levels = E.bytes(data.levels), logits = numbers(data.logits), size = levels.length / data.labels.length;
    ({ targets, shape, norm } = data);
    left = numbers(data.left);
    classes = logits.length / data.labels.length;
    images = data.labels.map((label, i) => ({
      label, number: data.numbers[i],
      pixels: Float64Array.from(levels.slice(i * size, (i + 1) * size), (level) => level / 255),
      logits: logits.slice(i * classes, (i + 1) * classes),
    }));
    return true;
  }

  const victims = () => images.slice(0, targets.length), others = () => images.slice(targets.length);

  /** The product of two images, each with a one appended. */
  const overlap = (one, other) => one.pixels.reduce((sum, p, k) => sum + p * other.pixels[k], 1);

  // ---- the state -----------------------------------------------------------------

  const inputs = { victim: 0, target: 1, part: 1 };
  let onSet = null;

  /** The factor of the change for the present victim and target. */
  function factor() {
    const at = inputs.victim * targets[0].length + targets[inputs.victim].indexOf(inputs.target);
    return left.slice(at * classes, (at + 1) * classes);
  }

  function state() {
    const { victim, target, part } = inputs, attacked = images[victim], change = factor();
    const moved = (image) => image.logits.map((v, k) => v + part * change[k] * overlap(attacked, image));
    const seen = others().map((image) => best(moved(image)));
    const flipped = seen.map((k, i) => k !== others()[i].label);
    return {
      victim, target, part, label: attacked.label, seen, flipped,
      victimSeen: best(moved(attacked)), logits: Array.from(moved(attacked)),
      flips: flipped.filter(Boolean).length, toTarget: seen.filter((k, i) => flipped[i] && k === target).length,
      size: part * Math.hypot(...change) * Math.sqrt(overlap(attacked, attacked)) / norm,
    };
  }

  function set(change) {
    Object.assign(inputs, change);
    if (inputs.target === images[inputs.victim].label) inputs.target = targets[inputs.victim][0];
    if (onSet) onSet();
    return state();
  }

  function verdict({ label, victimSeen, flips, size }) {
    const bystanders = `${flips} of ${others().length} other images ${flips === 1 ? "has" : "have"} another class`;
    const still = victimSeen === label ? "still " : "";
    return [`The ${label} is ${still}seen as ${victimSeen === 8 ? "an" : "a"} ${victimSeen}.`,
      ` The weights have changed by ${E.percent(size)}, and ${bystanders}.`];
  }

  // ---- the page --------------------------------------------------------------------

  /** A hundred images, a row a digit; returns the function that marks those that have flipped. */
  function crowd(root) {
    const grid = html("div", { class: "explorable-crowd", role: "img" }, root);
    const cells = others().map(({ pixels }) => {
      const cell = html("div", {}, grid);
      const canvas = html("canvas", { class: "explorable-paper", "aria-hidden": "true" }, cell);
      E.paint(canvas, pixels, shape[1], shape[0], 0);
      return { cell, name: html("span", { "aria-hidden": "true" }, cell) };
    });
    return ({ seen, flipped, flips }) => {
      cells.forEach(({ cell, name }, i) => {
        cell.classList.toggle("explorable-crowd-flipped", flipped[i]);
        name.textContent = flipped[i] ? seen[i] : "";
      });
      const lost = others().map(({ label }) => label).filter((_, i) => flipped[i]);
      const told = [...new Set(lost)].map((label) => `${lost.filter((k) => k === label).length} of the ${label}s`).join(", ");
      const which = flips ? `flipped: ${told}` : "none has flipped";
      grid.setAttribute("aria-label", `${others().length} images, a row for every digit; ${which}`);
    };
  }

  /** Which image is attacked, towards which class, and how much of the change is put in; returns what draws them. */
  function controls(root) {
    const attributes = { id: "bystanders-part", min: 0, max: STEPS, step: 1 };
    const part = E.slider(root, attributes, (tick) => set({ part: tick / STEPS * MOST }));
    const whose = choice(root, "Image that is attacked", "bystanders-victims");
    const chosen = buttons(whose, victims().map(() => ""), (victim) => set({ victim }));
    chosen.forEach((button, i) => {
      const { label, number, pixels } = victims()[i];
      E.thumbnail(button, `image ${number}, a ${label}`, (canvas) => E.paint(canvas, pixels, shape[1], shape[0], 0));
    });
    const all = Array.from({ length: classes }, (_, k) => k);
    const which = choice(root, "Class that it shall get", "bystanders-targets");
    const goals = buttons(which, all.map(String), (target) => set({ target }));
    goals.forEach((button) => button.classList.add("explorable-small"));
    return (now) => {
      const text = format(now.part, 3);
      part.show(Math.round(STEPS * now.part / MOST), `Change put in: ${text} ΔA`, `${text} times the change`);
      E.press(chosen, now.victim);
      E.press(goals, now.target);
      goals.forEach((button, k) => { button.disabled = k === now.label; });
    };
  }

  function build(root) {
    if (!load(E.bystandersData)) return E.missing(root, "The images are missing: their file");
    const [place, side] = E.inline(root), mark = crowd(place);
    const tell = E.verdictLine(side), show = controls(side);
    onSet = () => {
      const now = state();
      mark(now);
      show(now);
      tell(verdict(now));
    };
    set({});
  }

  E.bystanders = { state, set };
  E.ready("bystanders", build);
}
