/* Explorable: the smallest changes of a small network, of an image, or of both, that make a chosen class win.
 * Needs explorables.js, attacker-solver.js and attacker-data.js (which notebooks/attacker.ipynb makes) before it and
 * <div class="explorable" id="attacker"></div>. For tests: window.explorables.attacker.state, .set and .attack. */
(function () {
  "use strict";

  const E = window.explorables, { numbers, best, paint } = E, SIDE = 28, PIXELS = SIDE * SIDE;
  const METHODS = [["first", "first-order", "linearised"], ["converged", "converged", "locally optimal"]];
  const CHOICES = { weights: "weights", input: "input", both: "both" };
  const MARGINS = [-3, 1]; // exponents of ten

  // ---- network, images, attack -------------------------------------------

  let net = null, digits = [];

  /** Unpack what the notebook wrote; false if it is not there. */
  function load(data) {
    if (!data) return false;
    const images = numbers(data.images);
    digits = data.labels.map((label, i) => ({ label, pixels: images.slice(i * PIXELS, (i + 1) * PIXELS) }));
    net = E.solver.network(numbers(data.A1), numbers(data.A2), PIXELS, data.hidden, data.classes);
    return true;
  }

  /** Both attacks on an image (the number of a digit, or pixels). */
  function attack(image, target, on, margin) {
    const x = typeof image === "number" ? digits[image].pixels : image;
    return E.solver.attack(net, x, target, on, margin, digits.map((digit) => digit.pixels));
  }

  const inputs = { digit: 7, pixels: null, wanted: 3, on: "weights", margin: 1e-3 };
  let current = null; // what the page shows
  let onSet = null;

  /** Everything that follows from the inputs; `result` is null for a blank image. */
  function compute() {
    const before = E.solver.logits(net, inputs.pixels), seen = best(before);
    const target = inputs.wanted === seen ? best(before, seen) : inputs.wanted;
    const blank = inputs.pixels.every((p) => p === 0), start = performance.now();
    const result = blank ? null : attack(inputs.pixels, target, inputs.on, inputs.margin);
    const { digit, on, margin } = inputs, ink = inputs.pixels.reduce((a, b) => a + b, 0);
    return { digit, on, margin, ink, before, seen, target, blank, result, milliseconds: performance.now() - start };
  }

  /** Take over a change of the inputs, compute, and draw the page if there is one. */
  function set(change) {
    Object.assign(inputs, change);
    if (change.digit !== undefined && change.digit !== null) inputs.pixels = digits[change.digit].pixels.slice();
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

  // ---- pictures --------------------------------------------------------------

  const size = (v) => Math.sqrt(v.reduce((sum, a) => sum + a * a, 0));
  const most = (v) => v.reduce((top, a) => Math.max(top, Math.abs(a)), 0);
  const signed = (value) => (value > 0 ? "+" : "") + E.format(value, 3);
  const number = (value, digits) => E.format(value, digits);

  // ---- the page ----------------------------------------------------------------

  function build(root) {
    const { html, choice, buttons } = E;
    if (!load(E.attackerData)) {
      html("p", { text: "The network is missing: its file is made by the notebook “attacker”." }, root);
      return;
    }

    // the image
    const top = html("div", { class: "explorable-attack" }, root);
    const left = html("div", { class: "explorable-panel" }, top), right = html("div", { class: "explorable-panel" }, top);
    html("p", { class: "explorable-title", id: "attacker-canvas-title", text: "The image: choose or draw" }, left);
    const canvas = html("canvas", {
      id: "attacker-canvas", class: "explorable-paper explorable-draw", width: SIDE, height: SIDE, tabindex: "0",
      role: "application", "aria-labelledby": "attacker-canvas-title", "aria-describedby": "attacker-canvas-help",
    }, left);
    const tools = html("div", { class: "explorable-buttons" }, left);
    const tool = (text, title, act) => {
      const button = html("button", { type: "button", text, title }, tools);
      button.addEventListener("click", act);
    };
    tool("clear", "start with blank paper", () => set({ digit: null, pixels: new Float64Array(PIXELS) }));
    tool("centre", "move the drawing to the middle, as the digits of the training images are",
      () => set({ digit: null, pixels: centred(inputs.pixels) }));
    html("p", {
      class: "explorable-note", id: "attacker-canvas-help",
      text: "Draw with mouse or finger. By keyboard: arrows move the brush, Shift with an arrow draws, "
        + "Space makes a dot, Delete clears.",
    }, left);

    const digitBox = choice(right, "Digits", "attacker-digits");
    const digitButtons = digits.map(({ label, pixels }, i) => {
      const button = html("button", {
        type: "button", class: "explorable-thumb", "aria-label": `digit ${label}`, "aria-pressed": "false",
      }, digitBox);
      paint(html("canvas", { class: "explorable-paper", "aria-hidden": "true" }, button), pixels, SIDE, SIDE);
      button.addEventListener("click", () => set({ digit: i }));
      return button;
    });
    const targetBox = choice(right, "Target: the class that shall win", "attacker-targets");
    const targetButtons = Array.from({ length: net.classes }, (_, k) => {
      const button = html("button", { type: "button", text: String(k), class: "explorable-small", "aria-pressed": "false" }, targetBox);
      button.addEventListener("click", () => set({ wanted: k }));
      return button;
    });
    const onBox = choice(right, "What may change", "attacker-on");
    const choices = Object.keys(CHOICES);
    const onButtons = buttons(onBox, Object.values(CHOICES), (i) => set({ on: choices[i] }));
    const slide = html("div", { class: "explorable-choice" }, right);
    const slideLabel = html("label", { class: "explorable-title", for: "attacker-margin" }, slide);
    const slider = html("input", {
      id: "attacker-margin", type: "range", min: MARGINS[0], max: MARGINS[1], step: 0.1,
    }, slide);
    slider.addEventListener("input", () => {
      inputs.margin = Number((10 ** Number(slider.value)).toPrecision(2));
      later();
    });

    const sentence = html("p", { class: "explorable-verdict" }, root);

    // the numbers
    const cell = (tag, text, parent, attributes) => html(tag, { text, ...attributes }, parent);
    function table(parent, heads, caption) {
      const element = html("table", { class: "explorable-table" }, parent);
      html("caption", { class: "explorable-spoken", text: caption }, element);
      const line = html("tr", {}, html("thead", {}, element));
      heads.forEach((text, i) => cell("th", text, line, { scope: "col", class: i ? "explorable-value" : "" }));
      return html("tbody", {}, element);
    }
    const body = table(root, ["", ...METHODS.map(([, name, label]) => `${name} (${label})`)], "The two attacks in numbers");
    const rows = [
      ["‖ΔA₁‖ / ‖A₁‖", (r) => number(r.relative[0], 4)],
      ["‖ΔA₂‖ / ‖A₂‖", (r) => number(r.relative[1], 4)],
      ["‖Δx‖ / ‖x‖", (r) => number(r.relative[2], 4)],
      ["sum of squares, eq. (5)", (r) => number(r.objective, 4)],
      ["its root, the relative norm", (r) => number(Math.sqrt(r.objective), 4)],
      ["lead of the target", (r) => number(r.margin, 4)],
      ["the target wins by the margin", (r) => r.success ? "yes" : "no"],
      ["linearisations", (r, i) => String(i ? r.iterations + 1 : 1)],
      ["KKT residual of eq. (5)", (r, i) => i ? number(r.kkt, 1) : "–"],
    ].map(([name, get]) => {
      const line = html("tr", {}, body);
      cell("th", name, line, { scope: "row" });
      return { get, cells: METHODS.map(() => cell("td", "", line, { class: "explorable-value" })) };
    });

    // the logits
    html("p", { class: "explorable-title", text: "Logits of the ten classes" }, root);
    const INKS = [["before", "exact"], ["first-order", "computed"], ["converged", "changed"]];
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
    const folded = html("details", { class: "explorable-details" }, root);
    html("summary", { text: "The logits in numbers" }, folded);
    const logitBody = table(folded, ["class", "before", "first-order", "converged"], "Logits of the ten classes");
    const logitCells = columns.map((_, k) => {
      const line = html("tr", {}, logitBody);
      cell("th", String(k), line, { scope: "row" });
      return INKS.map(() => cell("td", "", line, { class: "explorable-value" }));
    });

    // the pictures: one block a quantity, in it one panel a method
    const gallery = html("div", { class: "explorable-gallery" }, root);
    function block(title, names, wide) {
      const box = html("div", {}, gallery);
      const heading = html("p", { class: "explorable-title", text: title }, box);
      const panels = html("div", { class: "explorable-panels" }, box);
      return {
        box, heading,
        panels: METHODS.map(([, method]) => {
          const panel = html("div", { class: "explorable-panel explorable-strip" }, panels);
          html("p", { class: "explorable-note", text: method }, panel);
          return names.map((name) => {
            const figure = html("figure", { class: "explorable-picture" + (wide ? " explorable-wide" : "") }, panel);
            const picture = html("canvas", { class: "explorable-paper", role: "img" }, figure);
            const caption = html("figcaption", {}, figure);
            return (values, columns_, high, limit, text) => {
              paint(picture, values, columns_, high, limit);
              caption.textContent = text;
              E.setAttributes(picture, { "aria-label": `${method}: ${name}, ${text}` });
            };
          });
        }),
      };
    }
    const imageBlock = block("The image: before, change, after", ["image before", "change of the image", "image after"]);
    const rowBlock = block("", ["row before", "change of the row", "row after"]);
    const factorBlock = block("ΔA₁ = left · rightᵀ", ["left factor, one number a hidden unit", "right factor, what the layer receives"]);
    const lastBlock = block("ΔA₂: a row a class, a column a hidden unit, the bias last", ["change of the last layer"], true);
    html("p", {
      class: "explorable-note",
      text: "Changes: white is nothing, blue less, orange more; ± says what full colour stands for. "
        + "Both methods share one scale.",
    }, gallery);
    const say = E.announcer(root);

    // ---- drawing the results

    function draw() {
      const { result, seen, target, blank, before } = current, margin = inputs.margin;
      paint(canvas, inputs.pixels, SIDE, SIDE);
      if (cursor) markCursor();
      digitButtons.forEach((button, i) => button.setAttribute("aria-pressed", String(inputs.digit === i)));
      targetButtons.forEach((button, k) => {
        button.disabled = !blank && k === seen;
        button.title = button.disabled ? "this class wins already" : "";
        button.setAttribute("aria-pressed", String(k === target));
      });
      onButtons.forEach((button, i) => button.setAttribute("aria-pressed", String(choices[i] === inputs.on)));
      slideLabel.textContent = `Margin by which it shall win: ${number(margin, 2)}`;
      if (Number(slider.value) !== Number(Math.log10(margin).toFixed(1))) slider.value = Math.log10(margin).toFixed(1);
      slider.setAttribute("aria-valuetext", `margin ${number(margin, 2)}`);

      const found = METHODS.map(([key]) => result && result[key]);
      sentence.textContent = verdict();
      rows.forEach(({ get, cells }) => cells.forEach((c, i) => { c.textContent = found[i] ? get(found[i], i) : "–"; }));
      drawLogits([before, ...found.map((r) => r && r.logits)], seen, target);
      gallery.style.display = result ? "" : "none";
      if (result) drawPictures(found);
      say(sentence.textContent);
    }

    function verdict() {
      const { result, seen, target, blank } = current;
      if (blank) return "The paper is blank. Draw a digit, or choose one.";
      const { first, converged } = result, what = { weights: "the weights", input: "the image", both: "weights and image" }[inputs.on];
      let text = `The network sees a ${seen}. `;
      text += converged
        ? `To make ${target} win, it is enough to change ${what} by ${E.percent(Math.sqrt(converged.objective))} (converged). `
        : `No change of ${what} was found that makes ${target} win. `;
      if (first) {
        text += `One linearisation asks for ${E.percent(Math.sqrt(first.objective))}, and `
          + (first.success ? "that is enough in the network itself." : first.margin > 0
            ? `in the network itself ${target} leads by only ${number(first.margin, 2)}.`
            : `in the network itself ${target} does not win.`);
      } else text += "The linearised problem has no solution.";
      const outside = converged && converged.dx ? converged.dx.reduce((worst, d, k) =>
        Math.max(worst, inputs.pixels[k] + d - 1, -inputs.pixels[k] - d), 0) : 0;
      return outside ? `${text} Pixels of the changed image leave the range from 0 to 1, by up to ${number(outside, 2)}.` : text;
    }

    function drawLogits(values, seen, target) {
      const all = values.filter(Boolean).flatMap((v) => [...v]);
      const low = Math.min(0, ...all), high = Math.max(0, ...all), span = high - low || 1;
      const height = (v) => 100 * (v - low) / span;
      zero.style.bottom = `calc(2.6rem + (100% - 2.6rem) * ${height(0) / 100})`;
      ticks.textContent = "";
      const step = E.niceStep(span / 5);
      for (let k = Math.ceil(low / step); k * step <= high; k++) {
        E.html("span", { text: number(Number((k * step).toPrecision(6)), 3).replace(/\.0+$/, ""), style: `bottom: ${height(k * step)}%` }, ticks);
      }
      columns.forEach(({ bars, name, note }, k) => {
        bars.forEach((bar, i) => {
          const v = values[i] ? values[i][k] : 0;
          bar.style.bottom = `${height(Math.min(v, 0))}%`;
          bar.style.height = `${100 * Math.abs(v) / span}%`;
        });
        name.textContent = k;
        note.textContent = k === seen ? "seen" : k === target ? "target" : "";
        logitCells[k].forEach((c, i) => { c.textContent = values[i] ? number(values[i][k], 5) : "–"; });
      });
      const winner = (v) => v ? best(v) : "none";
      chart.setAttribute("aria-label", `Logits. Largest before: class ${winner(values[0])}; `
        + `first-order: ${winner(values[1])}; converged: ${winner(values[2])}. The numbers are in the table that follows.`);
    }

    function drawPictures(found) {
      const limitOf = (get) => Math.max(...found.map((r) => r ? most(get(r)) : 0)) || 1;
      const show = ({ box }, shown) => { box.style.display = shown ? "" : "none"; };
      const weights = inputs.on !== "input", image = inputs.on !== "weights", columns_ = PIXELS + 1;
      show(imageBlock, image);
      [rowBlock, factorBlock, lastBlock].forEach((b) => show(b, weights));
      if (image) {
        const limit = limitOf((r) => r.dx);
        found.forEach((r, i) => {
          if (!r) return;
          const [before, change, after] = imageBlock.panels[i], changed = inputs.pixels.map((p, k) => p + r.dx[k]);
          before(inputs.pixels, SIDE, SIDE, 0, `seen as ${current.seen}`);
          change(r.dx, SIDE, SIDE, limit, `±${number(limit, 2)}`);
          after(changed, SIDE, SIDE, 0, `seen as ${best(r.logits)}`);
        });
      }
      if (!weights) return;
      const chief = found[1] || found[0];
      const unit = chief.left1.reduce((top, v, k) => Math.abs(v) > Math.abs(chief.left1[top]) ? k : top, 0);
      const row = net.A1.subarray(unit * columns_, unit * columns_ + PIXELS), changeOf = (r) => r.right1.slice(0, PIXELS).map((v) => v * r.left1[unit]);
      rowBlock.heading.textContent = `Row ${unit + 1} of A₁ as an image, the one that changes most: before, change, after`;
      const limits = [most(row), limitOf(changeOf), limitOf((r) => r.left1), limitOf((r) => r.left2.map((v) => v * most(r.right2)))];
      found.forEach((r, i) => {
        if (!r) return;
        const change = changeOf(r), after = row.map((v, k) => v + change[k]);
        rowBlock.panels[i][0](row, SIDE, SIDE, limits[0], `±${number(limits[0], 2)}`);
        rowBlock.panels[i][1](change, SIDE, SIDE, limits[1], `±${number(limits[1], 2)}`);
        rowBlock.panels[i][2](after, SIDE, SIDE, limits[0], `${E.percent(size(change) / size(row))} changed`);
        const side = Math.ceil(Math.sqrt(net.hidden)), left1 = new Float64Array(side * side);
        left1.set(r.left1);
        factorBlock.panels[i][0](left1, side, side, limits[2], `left: ±${number(limits[2], 2)}`);
        factorBlock.panels[i][1](r.right1.slice(0, PIXELS), SIDE, SIDE, 0, "right: the image and a 1");
        const last = new Float64Array(net.classes * (net.hidden + 1));
        r.left2.forEach((l, k) => r.right2.forEach((v, j) => { last[k * (net.hidden + 1) + j] = l * v; }));
        const rows_ = [...r.left2.keys()].sort((a, b) => Math.abs(r.left2[b]) - Math.abs(r.left2[a])).slice(0, 2);
        lastBlock.panels[i][0](last, net.hidden + 1, net.classes, limits[3],
          `±${number(limits[3], 2)}; mostly rows ${rows_.map((k) => `${k} (${signed(r.left2[k])})`).join(" and ")}`);
      });
    }

    // ---- drawing by hand

    let waiting = false;
    /** Compute and draw once the browser has shown what the hand did. */
    function later() {
      if (waiting) return;
      waiting = true;
      requestAnimationFrame(() => setTimeout(() => { waiting = false; set({}); }, 0));
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
    let pen = null;
    canvas.addEventListener("touchstart", (event) => event.preventDefault(), { passive: false });
    canvas.addEventListener("pointerdown", (event) => {
      if (pen || event.button !== 0) return;
      pen = { id: event.pointerId, at: place(event) };
      canvas.setPointerCapture(event.pointerId);
      cursor = null;
      ink(pen.at, pen.at);
      event.preventDefault();
      canvas.focus({ preventScroll: true });
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!pen || event.pointerId !== pen.id) return;
      const events = event.getCoalescedEvents ? event.getCoalescedEvents() : [];
      for (const each of events.length ? events : [event]) {
        const to = place(each);
        ink(pen.at, to);
        pen.at = to;
      }
    });
    const lift = (event) => { if (pen && event.pointerId === pen.id) pen = null; };
    canvas.addEventListener("pointerup", lift);
    canvas.addEventListener("pointercancel", lift);

    let cursor = null; // of the keyboard's brush
    const markCursor = () => {
      const context = canvas.getContext("2d"), [x, y] = cursor.map(Math.floor);
      context.fillStyle = "rgba(213, 94, 0, 0.75)";
      context.fillRect(x - 1, y, 3, 1);
      context.fillRect(x, y - 1, 1, 3);
    };
    canvas.addEventListener("keydown", (event) => {
      const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
      if (event.ctrlKey || event.altKey || event.metaKey) return;
      if (way) {
        const from = cursor || [SIDE / 2 + 0.5, SIDE / 2 + 0.5];
        cursor = from.map((v, i) => Math.min(SIDE - 0.5, Math.max(0.5, v + way[i])));
        if (event.shiftKey) ink(from, cursor);
      } else if (event.key === " " || event.key === "Enter") {
        cursor = cursor || [SIDE / 2 + 0.5, SIDE / 2 + 0.5];
        ink(cursor, cursor);
      } else if (event.key === "Delete" || event.key === "Backspace") {
        set({ digit: null, pixels: new Float64Array(PIXELS) });
      } else return;
      event.preventDefault();
      paint(canvas, inputs.pixels, SIDE, SIDE);
      if (cursor) markCursor();
    });
    canvas.addEventListener("blur", () => { cursor = null; paint(canvas, inputs.pixels, SIDE, SIDE); });

    onSet = draw;
    set({ digit: inputs.digit });
  }

  E.attacker = { state, set, attack };
  E.ready("attacker", build);
})();
