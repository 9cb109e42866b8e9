/* Explorable: the smallest changes of a small network, of an image, or of both, that make a chosen class win.
 * Needs elements.js, axes.js, pixels.js, network.js, attacker-solver.js and attacker-data.js (which
 * notebooks/18_data_of_the_attacker.ipynb makes) before it and <div class="explorable" id="attacker"></div>.
 * For tests: window.explorables.attacker.state, .set and .attack. */
"use strict";

{
  const E = window.explorables, { html, choice, buttons, numbers, best, paint } = E, SIDE = 28, PIXELS = SIDE * SIDE;
  const METHODS = [["first", "first-order", "linearised"], ["converged", "converged", "locally optimal"]];
  const CHOICES = { input: "the image", weights: "the weights", both: "both" };
  const MARGINS = [-3, 1]; // exponents of ten

  // ---- network, images, attack -------------------------------------------

  let net = null, digits = [], lower = null; // proved for each kind of change, digit and target

  /** Unpack what the notebook wrote; false if it is not there. */
  function load(data) {
    if (!data) return false;
    const images = numbers(data.images);
    digits = data.labels.map((label, i) => ({ label, pixels: images.slice(i * PIXELS, (i + 1) * PIXELS) }));
    lower = numbers(data.proved);
    net = E.solver.network(numbers(data.A1), numbers(data.A2), PIXELS, data.hidden, data.classes);
    return true;
  }

  /** Both attacks on an image (the number of a digit, or pixels). */
  function attack(image, target, on, margin) {
    const x = typeof image === "number" ? digits[image].pixels : image;
    return E.solver.attack(net, x, target, on, margin, digits.map((digit) => digit.pixels));
  }

  /** Relative norm below which no change does it, computed with the book for its digits; null for a drawing. */
  function proved(digit, on, target) {
    if (digit === null) return null;
    return lower[(Object.keys(CHOICES).indexOf(on) * digits.length + digit) * net.classes + target];
  }

  const inputs = { digit: 7, pixels: null, drawing: false, wanted: 3, on: "input", margin: 1e-3 }; // drawing: on blank paper
  let current = null; // what the page shows
  let onSet = null;

  /** Everything that follows from the inputs; `result` is null for a blank image. */
  function compute() {
    const before = E.network.outputs(net, inputs.pixels), seen = best(before);
    const target = inputs.wanted === seen ? best(before, seen) : inputs.wanted;
    const blank = inputs.pixels.every((p) => p === 0), start = performance.now();
    const result = blank ? null : attack(inputs.pixels, target, inputs.on, inputs.margin);
    const { digit, on, margin } = inputs, ink = inputs.pixels.reduce((a, b) => a + b, 0);
    const others = { proved: proved(digit, on, target), milliseconds: performance.now() - start };
    return { digit, on, margin, ink, before, seen, target, blank, result, ...others };
  }

  /** What the address asks for: `attacker.html?target=3` for the class 3, nothing for anything else. */
  function asked() {
    const target = new URLSearchParams(location.search).get("target");
    return /^\d$/.test(target) && Number(target) < net.classes ? { wanted: Number(target) } : {};
  }

  /** Take over a change of the inputs, compute, and draw the page if there is one. */
  function set(change) {
    Object.assign(inputs, change);
    if (change.digit !== undefined && change.digit !== null) {
      Object.assign(inputs, { pixels: digits[change.digit].pixels.slice(), drawing: false });
    }
    current = compute();
    if (onSet) onSet();
    return state();
  }

  const plain = (r) => r && {
    relative: [...r.relative], objective: r.objective, margin: r.margin, success: r.success,
    iterations: r.iterations, kkt: r.kkt, logits: [...r.logits],
  };

  /** The inputs and numbers of the page, without images and factors. */
  function state() {
    const { result, before, ...others } = current;
    return { ...others, before: [...before], first: plain(result && result.first), converged: plain(result && result.converged) };
  }

  // ---- the brush -----------------------------------------------------------

  const BRUSH = 1.1; // radius in pixels, beyond which the ink fades over one pixel

  /** Draw a straight stroke; pixels keep the larger of their own ink and the brush's. */
  function stroke(pixels, [ax, ay], [bx, by]) {
    const dx = bx - ax, dy = by - ay, square = dx * dx + dy * dy;
    for (let i = 0; i < SIDE; i++) {
      for (let j = 0; j < SIDE; j++) {
        const px = j + 0.5 - ax, py = i + 0.5 - ay;
        const t = square ? Math.min(1, Math.max(0, (px * dx + py * dy) / square)) : 0;
        const ink = BRUSH + 0.5 - Math.hypot(px - t * dx, py - t * dy);
        pixels[i * SIDE + j] = Math.max(pixels[i * SIDE + j], Math.min(1, Math.max(0, ink)));
      }
    }
  }

  /** The image moved by whole pixels so that its centre of mass is in the middle, as in MNIST. */
  function centred(pixels) {
    let sum = 0, x = 0, y = 0;
    pixels.forEach((p, k) => { sum += p; x += p * (k % SIDE + 0.5); y += p * (Math.floor(k / SIDE) + 0.5); });
    if (!sum) return pixels;
    const right = Math.round(SIDE / 2 - x / sum), down = Math.round(SIDE / 2 - y / sum), moved = new Float64Array(PIXELS);
    for (let i = 0; i < SIDE; i++) {
      for (let j = 0; j < SIDE; j++) {
        const row = i - down, column = j - right;
        if (row >= 0 && row < SIDE && column >= 0 && column < SIDE) moved[i * SIDE + j] = pixels[row * SIDE + column];
      }
    }
    return moved;
  }

  // ---- numbers and texts -----------------------------------------------------

  const size = (v) => Math.sqrt(v.reduce((sum, a) => sum + a * a, 0));
  const most = (v) => v.reduce((top, a) => Math.max(top, Math.abs(a)), 0);
  const signed = (value) => (value > 0 ? "+" : "") + E.format(value, 3);
  const number = (value, digits) => E.format(value, digits);

  // ---- the image ---------------------------------------------------------------

  const MIDDLE = [SIDE / 2 + 0.5, SIDE / 2 + 0.5];
  const WAYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  const clear = () => set({ digit: null, pixels: new Float64Array(PIXELS), drawing: true });

  /** The canvas on which a reader draws; returns the function that shows the image. */
  function drawingBoard(parent, later) {
    const figure = html("figure", { class: "explorable-picture" }, parent);
    const canvas = html("canvas", {
      id: "attacker-canvas", class: "explorable-paper explorable-draw", width: SIDE, height: SIDE, tabindex: "0",
      role: "application", "aria-labelledby": "attacker-canvas-title", "aria-describedby": "attacker-canvas-help",
    }, figure);
    const title = html("figcaption", { id: "attacker-canvas-title" }, figure), show = drawByHand(canvas, later);
    return ({ blank, seen }) => {
      title.textContent = blank ? "draw here" : `the image (draw on it), seen as ${E.article(seen)}`;
      show();
    };
  }

  /** Buttons for the paper, and how to draw by keyboard. */
  function drawingTools(parent) {
    const tools = html("div", { class: "explorable-buttons" }, parent);
    const tool = (text, title, act) => {
      const button = html("button", { type: "button", text, title }, tools);
      button.addEventListener("click", act);
    };
    tool("clear", "start with blank paper", clear);
    tool("centre", "move the drawing to the middle, as the digits of the training images are",
      () => set({ digit: null, pixels: centred(inputs.pixels) }));
    html("p", {
      class: "explorable-note", id: "attacker-canvas-help",
      text: "Draw with mouse or finger. By keyboard: arrows move the brush, Shift with an arrow draws, "
        + "Space makes a dot, Delete clears.",
    }, parent);
  }

  // ---- the image after the change --------------------------------------------------

  /** The unit of the first layer whose row changes most. */
  const chiefUnit = ({ left1 }) => left1.reduce((top, v, k) => Math.abs(v) > Math.abs(left1[top]) ? k : top, 0);
  const rowChange = ({ left1, right1 }, unit) => right1.slice(0, PIXELS).map((v) => v * left1[unit]);

  /** The change that was found and what it makes of the image; returns the function that draws both. */
  function outcome(parent) {
    const [change, after] = ["smallest change found", "after it"].map((name) => E.picture(parent, name));
    return ({ result, blank }) => {
      parent.classList.toggle("explorable-drawing", inputs.drawing); // on a phone there is more room for it
      [change, after].forEach(({ figure }) => { figure.style.display = blank ? "none" : ""; });
      const r = result && (result.converged || result.first);
      if (!r) return;
      const unit = r.dx ? null : chiefUnit(r), values = r.dx || rowChange(r, unit), limit = most(values) || 1;
      paint(change.canvas, values, SIDE, SIDE, limit);
      change.caption.textContent = r.dx ? `change: ±${number(limit, 2)}` : `row ${unit + 1} of A₁: ±${number(limit, 2)}`;
      change.describe(change.caption.textContent);
      const seen = E.article(best(r.logits)), same = r.dx ? "" : "the same image, ";
      paint(after.canvas, r.dx ? inputs.pixels.map((p, k) => p + r.dx[k]) : inputs.pixels, SIDE, SIDE, 0);
      after.caption.textContent = "";
      after.caption.append(same);
      html("strong", { text: `now seen as ${seen}` }, after.caption);
      after.describe(after.caption.textContent);
    };
  }

  /** Let pointer and keyboard draw on the canvas; returns the function that shows the image. */
  function drawByHand(canvas, later) {
    let at = null, cursor = null; // where the pen is, and the keyboard's brush
    function show() {
      paint(canvas, inputs.pixels, SIDE, SIDE);
      if (cursor) markCursor(canvas, cursor);
    }
    function ink(from, to) {
      inputs.digit = null;
      stroke(inputs.pixels, from, to);
      paint(canvas, inputs.pixels, SIDE, SIDE);
      later();
    }
    const place = (event) => {
      const frame = canvas.getBoundingClientRect(), border = canvas.clientLeft;
      return [(event.clientX - frame.left - border) / canvas.clientWidth * SIDE, (event.clientY - frame.top - border) / canvas.clientHeight * SIDE];
    };
    canvas.addEventListener("touchstart", (event) => event.preventDefault(), { passive: false });
    E.drag(canvas, {
      press: (event) => {
        at = place(event);
        cursor = null;
        ink(at, at);
        canvas.focus({ preventScroll: true });
      },
      move: (event) => {
        const events = event.getCoalescedEvents ? event.getCoalescedEvents() : [];
        for (const each of events.length ? events : [event]) {
          const to = place(each);
          ink(at, to);
          at = to;
        }
      },
    });
    canvas.addEventListener("keydown", (event) => {
      const way = WAYS[event.key];
      if (event.ctrlKey || event.altKey || event.metaKey) return;
      if (way) {
        const from = cursor || MIDDLE;
        cursor = from.map((v, i) => Math.min(SIDE - 0.5, Math.max(0.5, v + way[i])));
        if (event.shiftKey) ink(from, cursor);
      } else if (event.key === " " || event.key === "Enter") {
        cursor = cursor || MIDDLE;
        ink(cursor, cursor);
      } else if (event.key === "Delete" || event.key === "Backspace") {
        clear();
      } else return;
      event.preventDefault();
      show();
    });
    canvas.addEventListener("blur", () => { cursor = null; show(); });
    return show;
  }

  function markCursor(canvas, cursor) {
    const context = canvas.getContext("2d"), [x, y] = cursor.map(Math.floor);
    context.fillStyle = "rgba(213, 94, 0, 0.75)";
    context.fillRect(x - 1, y, 3, 1);
    context.fillRect(x, y - 1, 1, 3);
  }

  // ---- the controls --------------------------------------------------------------

  /** Targets, what may change, digits, paper, margin; returns the function that draws them. */
  function controls(parent, later) {
    const targetBox = choice(parent, "Make it a …", "attacker-targets");
    targetBox.classList.add("explorable-attack-targets");
    const targetButtons = buttons(targetBox, Array.from({ length: net.classes }, (_, k) => String(k)), (wanted) => set({ wanted }));
    targetButtons.forEach((button) => button.classList.add("explorable-small"));
    const choices = Object.keys(CHOICES);
    const onButtons = buttons(choice(parent, "by changing", "attacker-on"), Object.values(CHOICES), (i) => set({ on: choices[i] }));
    const digitBox = choice(parent, "Another image", "attacker-digits");
    digitBox.classList.add("explorable-thumbs", "explorable-attack-digits");
    const digitButtons = buttons(digitBox, digits.map(() => ""), (digit) => set({ digit }));
    digitButtons.forEach((button, i) => {
      E.thumbnail(button, `digit ${digits[i].label}`, (canvas) => paint(canvas, digits[i].pixels, SIDE, SIDE), null);
    });
    drawingTools(parent);
    const slider = E.slider(parent, { id: "attacker-margin", min: MARGINS[0], max: MARGINS[1], step: 0.1 }, (exponent) => {
      inputs.margin = Number((10 ** exponent).toPrecision(2));
      later();
    });
    return ({ blank, seen, target }) => {
      E.press(digitButtons, inputs.digit);
      targetButtons.forEach((button, k) => {
        button.disabled = !blank && k === seen;
        button.title = button.disabled ? "this class wins already" : "";
      });
      E.press(targetButtons, target);
      E.press(onButtons, choices.indexOf(inputs.on));
      const text = number(inputs.margin, 2);
      slider.show(Number(Math.log10(inputs.margin).toFixed(1)), `Margin by which it shall win: ${text}`, `margin ${text}`);
    };
  }

  // ---- the sentence and the numbers ------------------------------------------------

  function verdict({ result, seen, target, blank }) {
    if (blank) return "The paper is blank: draw a digit, or choose one.";
    const what = { weights: "the weights", input: "the image", both: "weights and image" }[inputs.on], { converged } = result;
    const change = converged ? `a change of ${what} by ${E.percent(Math.sqrt(converged.objective))} makes it see`
      : `no change of ${what} was found that makes it see`;
    return `The network sees ${E.article(seen)}; ${change} ${E.article(target)}.`;
  }

  /** How the linearised attack does, and how far pixels leave their range. */
  function comparison({ result, target, blank }) {
    if (blank) return "";
    const { first, converged } = result;
    const text = !first ? "The linearised problem has no solution."
      : `One linearisation asks for a change by ${E.percent(Math.sqrt(first.objective))}, and `
        + (first.success ? "that is enough in the network itself." : first.margin > 0
          ? `in the network itself ${target} leads by only ${number(first.margin, 2)}.`
          : `in the network itself ${target} does not win.`);
    const outside = converged && converged.dx ? converged.dx.reduce((worst, d, k) =>
      Math.max(worst, inputs.pixels[k] + d - 1, -inputs.pixels[k] - d), 0) : 0;
    return outside ? `${text} Pixels of the changed image leave the range from 0 to 1, by up to ${number(outside, 2)}.` : text;
  }

  /** Rounded down to two digits: what is said to be proved must not be more than what is. */
  function down(value) {
    const unit = 10 ** (Math.floor(Math.log10(value)) - 1);
    return Math.floor(value / unit) * unit;
  }

  /** What is proved of the smallest change, in words. */
  function lowerSide({ result, target, blank, on, proved }) {
    if (blank) return "";
    if (proved === null) return "Nothing is proved here of a drawing: the proofs are computed with the book, for its ten digits.";
    const changes = { weights: "the weights", input: "the image", both: "weights and image" }[on], { converged } = result;
    const text = `Proved: no change of ${changes} below ${E.percent(down(proved))} makes it see ${E.article(target)}.`;
    if (!converged) return text;
    const longer = Math.sqrt(converged.objective) / proved - 1;
    return `${text} The one that was found exceeds what is proved by ${E.percent(longer)}.`;
  }

  /** The two sides on one axis: what is proved to be too small, and the change that was found. */
  function sidesChart(parent) {
    const text = html("p", { class: "explorable-note" }, parent);
    const track = html("div", { class: "explorable-sides", role: "img" }, parent), fill = html("span", {}, track), mark = html("i", {}, track);
    return (shown) => {
      const { result, proved, blank } = shown, converged = result && result.converged;
      text.textContent = lowerSide(shown);
      track.hidden = blank || proved === null || !converged;
      if (track.hidden) return;
      const found = Math.sqrt(converged.objective), whole = 1.1 * Math.max(found, proved);
      fill.style.width = `${100 * proved / whole}%`;
      mark.style.left = `${100 * found / whole}%`;
      track.setAttribute("aria-label", `proved to be too small up to ${E.percent(down(proved))}, found ${E.percent(found)}`);
    };
  }

  const QUANTITIES = [
    ["‖ΔA₁‖ / ‖A₁‖", (r) => number(r.relative[0], 4)],
    ["‖ΔA₂‖ / ‖A₂‖", (r) => number(r.relative[1], 4)],
    ["‖Δx‖ / ‖x‖", (r) => number(r.relative[2], 4)],
    ["sum of squares, eq. (5)", (r) => number(r.objective, 4)],
    ["its root, the relative norm", (r) => number(Math.sqrt(r.objective), 4)],
    ["lead of the target", (r) => number(r.margin, 4)],
    ["the target wins by the margin", (r) => r.success ? "yes" : "no"],
    ["linearisations", (r, i) => String(i ? r.iterations + 1 : 1)],
    ["KKT residual of eq. (5)", (r, i) => i ? number(r.kkt, 1) : "–"],
  ];

  /** The tables of both attacks and of the logits, folded; returns the function that fills them. */
  function numberTables(root) {
    const box = E.folded(root, "The numbers", "explorable-details explorable-attack-numbers");
    const fillAttacks = attackTable(box);
    const fillLogits = E.valueTable(box, ["class", ...INKS.map(([name]) => name)], "Logits of the ten classes");
    return (found, values) => {
      fillAttacks(found);
      fillLogits(Array.from({ length: net.classes }, (_, k) => [String(k), ...values.map((v) => v ? number(v[k], 5) : "–")]));
    };
  }

  /** The table of both attacks; returns the function that fills it. */
  function attackTable(root) {
    const heads = ["", ...METHODS.map(([, name, label]) => `${name} (${label})`)];
    const fill = E.valueTable(root, heads, "The two attacks in numbers");
    return (found) => fill(QUANTITIES.map(([name, get]) => [name, ...found.map((r, i) => r ? get(r, i) : "–")]));
  }

  // ---- the logits ------------------------------------------------------------------

  const INKS = [["before", "exact"], ["first-order", "computed"], ["converged", "changed"]];

  /** Bars for the logits; returns the function that draws them. */
  function logitChart(root) {
    html("p", { class: "explorable-title", text: "Logits of the ten classes" }, root);
    const legend = html("p", { class: "explorable-note" }, root);
    INKS.forEach(([name, ink], i) => {
      html("span", { class: `explorable-swatch explorable-bar-${ink}`, "aria-hidden": "true" }, legend);
      legend.append(`${name}${i < 2 ? ",\u00a0 " : ": each class has three bars, in this order."}`);
    });
    const chart = html("div", { class: "explorable-chart", role: "img" }, root);
    const zero = html("div", { class: "explorable-zero-line" }, chart), ticks = html("div", { class: "explorable-ticks" }, chart);
    const columns = Array.from({ length: net.classes }, () => {
      const column = html("div", { class: "explorable-column" }, chart);
      const area = html("div", { class: "explorable-area" }, column);
      return {
        bars: INKS.map(([, ink]) => html("div", { class: `explorable-bar explorable-bar-${ink}` }, area)),
        name: html("div", { class: "explorable-class" }, column), note: html("div", { class: "explorable-class-note" }, column),
      };
    });
    return (values, seen, target) => {
      drawBars({ zero, ticks, columns }, values, seen, target);
      const winner = (v) => v ? best(v) : "none";
      chart.setAttribute("aria-label", `Logits. Largest before: class ${winner(values[0])}; `
        + `first-order: ${winner(values[1])}; converged: ${winner(values[2])}. The numbers are in the folded table.`);
    };
  }

  function drawBars({ zero, ticks, columns }, values, seen, target) {
    const all = values.filter(Boolean).flatMap((v) => [...v]);
    const low = Math.min(0, ...all), high = Math.max(0, ...all), span = high - low || 1;
    const height = (v) => 100 * (v - low) / span;
    zero.style.bottom = `calc(2.6rem + (100% - 2.6rem) * ${height(0) / 100})`;
    ticks.textContent = "";
    const step = E.niceStep(span / 5);
    for (let k = Math.ceil(low / step); k * step <= high; k++) {
      html("span", { text: number(Number((k * step).toPrecision(6)), 3).replace(/\.0+$/, ""), style: `bottom: ${height(k * step)}%` }, ticks);
    }
    columns.forEach(({ bars, name, note }, k) => {
      bars.forEach((bar, i) => {
        const v = values[i] ? values[i][k] : 0;
        bar.style.bottom = `${height(Math.min(v, 0))}%`;
        bar.style.height = `${100 * Math.abs(v) / span}%`;
      });
      name.textContent = k;
      note.textContent = k === seen ? "seen" : k === target ? "target" : "";
    });
  }

  // ---- the pictures: one block a quantity, in it one panel a method ------------------

  /** A block: { show, heading, panels }, where panels[method] has functions that draw its pictures. */
  function block(gallery, title, names, wide) {
    const box = html("div", {}, gallery);
    const heading = html("p", { class: "explorable-title", text: title }, box);
    const panels = html("div", { class: "explorable-panels" }, box);
    return {
      heading,
      show: (shown) => { box.style.display = shown ? "" : "none"; },
      panels: METHODS.map(([, method]) => {
        const panel = html("div", { class: "explorable-panel explorable-strip" }, panels);
        html("p", { class: "explorable-note", text: method }, panel);
        return names.map((name) => {
          const { canvas, caption, describe } = E.picture(panel, `${method}: ${name}`, wide && "explorable-wide", ", ");
          return (values, columns, high, limit, text) => {
            paint(canvas, values, columns, high, limit);
            caption.textContent = text;
            describe(text);
          };
        });
      }),
    };
  }

  /** All blocks; returns the function that draws what was found, or hides them. */
  function pictureGallery(root) {
    const gallery = html("div", { class: "explorable-gallery" }, root);
    const images = block(gallery, "The image: before, change, after", ["image before", "change of the image", "image after"]);
    const rows = block(gallery, "", ["row before", "change of the row", "row after"]);
    const factors = block(gallery, "ΔA₁ = left · rightᵀ", ["left factor, one number a hidden unit", "right factor, what the layer receives"]);
    const last = block(gallery, "ΔA₂: a row a class, a column a hidden unit, the bias last", ["change of the last layer"], true);
    html("p", {
      class: "explorable-note",
      text: "Changes: white is nothing, blue less, orange more; ± says what full colour stands for. "
        + "Both methods share one scale.",
    }, gallery);
    return (found) => {
      gallery.style.display = current.result ? "" : "none";
      if (!current.result) return;
      images.show(inputs.on !== "weights");
      [rows, factors, last].forEach((b) => b.show(inputs.on !== "input"));
      if (inputs.on !== "weights") drawImages(images, found);
      if (inputs.on === "input") return;
      drawFirstLayer(rows, factors, found);
      drawLastLayer(last, found);
    };
  }

  /** Call draw(r, panel) for every method that found something. */
  function eachFound({ panels }, found, draw) {
    found.forEach((r, i) => { if (r) draw(r, panels[i]); });
  }

  /** The largest of what get(r) has, over both methods: their common scale. */
  const limitOf = (found, get) => Math.max(...found.map((r) => r ? most(get(r)) : 0)) || 1;

  function drawImages(images, found) {
    const limit = limitOf(found, (r) => r.dx);
    eachFound(images, found, (r, [before, change, after]) => {
      before(inputs.pixels, SIDE, SIDE, 0, `seen as ${current.seen}`);
      change(r.dx, SIDE, SIDE, limit, `±${number(limit, 2)}`);
      after(inputs.pixels.map((p, k) => p + r.dx[k]), SIDE, SIDE, 0, `seen as ${best(r.logits)}`);
    });
  }

  /** The row of the first layer that changes most, as an image, and the two factors of the change. */
  function drawFirstLayer(rows, factors, found) {
    const chief = found[1] || found[0], side = Math.ceil(Math.sqrt(net.hidden));
    const unit = chiefUnit(chief), changeOf = (r) => rowChange(r, unit);
    const row = net.A1.subarray(unit * (PIXELS + 1), unit * (PIXELS + 1) + PIXELS);
    rows.heading.textContent = `Row ${unit + 1} of A₁ as an image, the one that changes most: before, change, after`;
    const full = most(row), limit = limitOf(found, changeOf), leftLimit = limitOf(found, (r) => r.left1);
    eachFound(rows, found, (r, [before, change, after]) => {
      const changed = changeOf(r);
      before(row, SIDE, SIDE, full, `±${number(full, 2)}`);
      change(changed, SIDE, SIDE, limit, `±${number(limit, 2)}`);
      after(row.map((v, k) => v + changed[k]), SIDE, SIDE, full, `${E.percent(size(changed) / size(row))} changed`);
    });
    eachFound(factors, found, (r, [left, right]) => {
      const square = new Float64Array(side * side);
      square.set(r.left1);
      left(square, side, side, leftLimit, `left: ±${number(leftLimit, 2)}`);
      right(r.right1.slice(0, PIXELS), SIDE, SIDE, 0, "right: the image and a 1");
    });
  }

  function drawLastLayer(last, found) {
    const wide = net.hidden + 1, limit = limitOf(found, (r) => r.left2.map((v) => v * most(r.right2)));
    eachFound(last, found, (r, [change]) => {
      const values = new Float64Array(net.classes * wide);
      r.left2.forEach((l, k) => r.right2.forEach((v, j) => { values[k * wide + j] = l * v; }));
      const chief = [...r.left2.keys()].sort((a, b) => Math.abs(r.left2[b]) - Math.abs(r.left2[a])).slice(0, 2);
      change(values, wide, net.classes, limit,
        `±${number(limit, 2)}; mostly rows ${chief.map((k) => `${k} (${signed(r.left2[k])})`).join(" and ")}`);
    });
  }

  // ---- the page ----------------------------------------------------------------

  function build(root) {
    if (!load(E.attackerData)) return E.missing(root, "The network is missing: its file", "“18_data_of_the_attacker”");
    const later = E.eachFrame(() => set({}), true); // compute once the browser has shown what the hand did
    const [show, hand, more] = E.stage(root), strip = html("div", { class: "explorable-attack" }, show);
    const showImage = drawingBoard(strip, later), drawOutcome = outcome(strip);
    const sentence = html("p", { class: "explorable-verdict" }, show), drawControls = controls(hand, later);
    const drawSides = sidesChart(more), drawLogits = logitChart(more), note = html("p", { class: "explorable-note" }, more);
    const fillTables = numberTables(root), drawPictures = pictureGallery(root), say = E.announcer(root);
    onSet = () => {
      const { result, seen, target, before } = current, found = METHODS.map(([key]) => result && result[key]);
      const logits = [before, ...found.map((r) => r && r.logits)];
      showImage(current);
      drawOutcome(current);
      drawControls(current);
      sentence.textContent = verdict(current);
      note.textContent = comparison(current);
      drawSides(current);
      drawLogits(logits, seen, target);
      fillTables(found, logits);
      drawPictures(found);
      say(sentence.textContent);
    };
    set({ digit: inputs.digit, ...asked() });
  }

  E.attacker = { state, set, attack };
  E.ready("attacker", build);
}
