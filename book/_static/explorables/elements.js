/* What every explorable of this book is made of: elements, controls, texts of numbers.
 *
 * Classic scripts, so that a page works from the disk. Each adds what others may use to
 * window.explorables and touches nothing else; none sends a request. A page loads
 * elements.js, axes.js, pixels.js and network.js, in this order, before its own.
 *
 *   svg, html      make an element, set its attributes, append it
 *   ready          run a builder as soon as its <div> is there
 *   stage          the first screen: picture and verdict, the controls beside them or below
 *   inline         the places of what stands in a chapter; missing: say what a notebook has not made
 *   choice         a titled group for buttons; buttons: some that can look pressed; press: make one look so
 *   slider         an input for a range, with a label that says its value
 *   folded         what opens by a click on its title
 *   valueTable     a table with a heading a row, filled again and again; lengthBars: lengths to compare
 *   announcer      a quiet aria-live line for screen readers; verdictLine: a sentence that is shown and spoken
 *   drag           follow a pointer from its press to its release
 *   eachFrame      act on the last of many changes, once a frame
 *   whenWide       act when the place for a picture has another width
 *   format         a number as text; percent: a ratio as text; article: a number or noun with its article
 */
"use strict";

{
  const SVG_NS = "http://www.w3.org/2000/svg";

  // ---- elements ----------------------------------------------------------

  function setAttributes(element, attributes) {
    for (const [name, value] of Object.entries(attributes || {})) {
      if (name === "text") element.textContent = value;
      else if (value === null) element.removeAttribute(name);
      else element.setAttribute(name, value);
    }
    return element;
  }

  function svg(tag, attributes, parent) {
    const element = setAttributes(document.createElementNS(SVG_NS, tag), attributes);
    if (parent) parent.appendChild(element);
    return element;
  }

  function html(tag, attributes, parent) {
    const element = setAttributes(document.createElement(tag), attributes);
    if (parent) parent.appendChild(element);
    return element;
  }

  /** Call build(div) once the element with this id is in the page. */
  function ready(id, build) {
    const start = () => {
      const root = document.getElementById(id);
      if (!root) return;
      root.textContent = ""; // whatever the page showed without scripts
      build(root);
    };
    if (document.getElementById(id) || document.readyState !== "loading") start();
    else document.addEventListener("DOMContentLoaded", start);
  }

  // ---- controls ----------------------------------------------------------

  /** What a reader sees first: places for the picture with its verdict, for the controls, and for what may wait. In a
   *  wide explorable the controls stand beside the other two, in a narrow one between them. Returns the three places. */
  function stage(parent) {
    const box = html("div", { class: "explorable-stage" }, parent);
    return ["show", "hand", "more"].map((part) => html("div", { class: `explorable-${part}` }, box));
  }

  /** The places of an explorable that stands in a chapter: for its picture and, beside or below it, for the rest. */
  function inline(parent) {
    const box = html("div", { class: "explorable-inline" }, parent);
    return ["explorable-inline-picture", null].map((name) => html("div", { class: name }, box));
  }

  /** Say in place of an explorable that its data are not there: "The images are missing: their file", and who makes it. */
  function missing(parent, what, notebook = "of this chapter") {
    html("p", { text: `${what} is made by the notebook ${notebook}.` }, parent);
  }

  /** A group with a title, whose id is given; returns the place for its buttons. */
  function choice(parent, title, id) {
    const box = html("div", { class: "explorable-choice", role: "group", "aria-labelledby": id }, parent);
    html("p", { class: "explorable-title", id, text: title }, box);
    return html("div", { class: "explorable-buttons" }, box);
  }

  /** One button a text; act is called with the number of the one that was pressed. */
  function buttons(parent, texts, act) {
    return texts.map((text, i) => {
      const button = html("button", { type: "button", text, "aria-pressed": "false" }, parent);
      button.addEventListener("click", () => act(i));
      return button;
    });
  }

  /** Make one of these buttons look pressed, or none. */
  function press(all, which) {
    all.forEach((button, i) => button.setAttribute("aria-pressed", String(i === which)));
  }

  /** An input for a range with these attributes and its label, which is above it or, if asked for, below.
   *  act(value) is called while it moves; returns show(value, title, spoken). */
  function slider(parent, attributes, act, below = false) {
    const box = html("div", { class: "explorable-choice" }, parent);
    const makeLabel = () => html("label", { class: "explorable-title", for: attributes.id }, box);
    const above = below ? null : makeLabel();
    const input = html("input", { type: "range", ...attributes }, box), label = above || makeLabel();
    input.addEventListener("input", () => act(Number(input.value)));
    return {
      box,
      show: (value, title, spoken) => {
        label.textContent = title;
        if (Number(input.value) !== value) input.value = value;
        input.setAttribute("aria-valuetext", spoken);
      },
    };
  }

  /** A part of the page that a click on its title opens. */
  function folded(parent, title, className) {
    const box = html("details", { class: className }, parent);
    html("summary", { text: title }, box);
    return box;
  }

  /** A table with a caption; returns a function that fills it with rows [heading, value, ...]. */
  function valueTable(parent, heads, caption, captionClass = "explorable-note") {
    const element = html("table", { class: "explorable-table" }, parent);
    html("caption", { class: captionClass, text: caption }, element);
    const line = html("tr", {}, html("thead", {}, element));
    heads.forEach((text, i) => html("th", { text, scope: "col", class: i ? "explorable-value" : "" }, line));
    const body = html("tbody", {}, element);
    return (rows) => {
      body.textContent = "";
      for (const [name, ...values] of rows) {
        const row = html("tr", {}, body);
        html("th", { text: name, scope: "row" }, row);
        values.forEach((text) => html("td", { text, class: "explorable-value" }, row));
      }
    };
  }

  /** Bars under one another, a row each [name, colours]: one part a colour, end to end. Returns a function that fills
   *  them with rows [shares of the full width, text]. */
  function lengthBars(parent, rows) {
    const bars = rows.map(([name, colours]) => {
      const row = html("div", { class: "explorable-lengths" }, parent);
      html("span", { text: name }, row);
      const bar = html("div", {}, row), parts = colours.map((c) => html("div", { class: `explorable-bar-${c}` }, bar));
      return [parts, html("span", { class: "explorable-value" }, row)];
    });
    return (values) => values.forEach(([shares, text], i) => {
      const [parts, value] = bars[i];
      shares.forEach((share, k) => { parts[k].style.width = `${Math.min(100, 100 * share)}%`; });
      value.textContent = text;
    });
  }

  /** say(text) speaks the last text once nothing has changed for a while. */
  function announcer(parent, delay = 700) {
    const line = html("div", { class: "explorable-spoken", "aria-live": "polite" }, parent);
    let timer = 0;
    return (text) => {
      clearTimeout(timer);
      timer = setTimeout(() => { if (line.textContent !== text) line.textContent = text; }, delay);
    };
  }

  // ---- pointer, frame, width -----------------------------------------------

  /** Follow one pointer from its press on the element to its release, also outside; hover(event) has the moves of all
   *  others. Each may be left out but press and move. */
  function drag(element, { press: start, move, release = () => {}, hover = () => {} }) {
    let grip = null;
    element.addEventListener("pointerdown", (event) => {
      if (grip !== null || event.button !== 0) return;
      grip = event.pointerId;
      element.setPointerCapture(grip);
      start(event);
      event.preventDefault();
    });
    element.addEventListener("pointermove", (event) => {
      if (grip === event.pointerId) move(event);
      else hover(event);
    });
    const end = (event) => {
      if (grip !== event.pointerId) return;
      grip = null;
      release();
    };
    element.addEventListener("pointerup", end);
    element.addEventListener("pointercancel", end);
  }

  /** A function that may be called often: once a frame, act has its last argument. With `afterwards` that is once the
   *  browser has shown the frame. */
  function eachFrame(act, afterwards = false) {
    let waiting = false, last;
    const run = () => { waiting = false; act(last); };
    return (value) => {
      last = value;
      if (waiting) return;
      waiting = true;
      requestAnimationFrame(afterwards ? () => setTimeout(run, 0) : run);
    };
  }

  /** Call act(width) now and whenever the element has another width; not while it has none. */
  function whenWide(element, act) {
    let width = 0;
    const look = () => {
      if (element.clientWidth === width || !element.clientWidth) return;
      width = element.clientWidth;
      act(width);
    };
    new ResizeObserver(look).observe(element);
    look();
  }

  // ---- numbers -----------------------------------------------------------

  /** A number with so many significant digits; "–" if it is not finite. */
  function format(value, digits = 4) {
    if (!Number.isFinite(value)) return "–";
    if (value === 0) return "0";
    const size = Math.abs(value);
    const text = size < 1e-3 || size >= 1e5
      ? value.toExponential(digits - 1)
      : size >= 10 ** digits ? String(Math.round(value)) : value.toPrecision(digits);
    return text.replace("e+", "e").replace(/^-/, "−");
  }

  /** A ratio as a percentage with two significant digits (no-break space). */
  function percent(ratio) {
    if (!Number.isFinite(ratio)) return "–";
    const value = 100 * ratio;
    if (value !== 0 && (Math.abs(value) < 1e-4 || Math.abs(value) >= 1e5)) {
      return format(value, 2) + "\u00a0%";
    }
    return String(Number(value.toPrecision(2))) + "\u00a0%";
  }

  /** "a 7", "an 8", "an aeroplane". */
  const article = (thing) => (/^[aeiou8]/.test(String(thing)) ? "an " : "a ") + thing;

  window.explorables = Object.assign(window.explorables || {}, {
    setAttributes, svg, html, ready, stage, inline, missing, choice, buttons, press, slider, folded, valueTable, lengthBars,
    announcer, drag, eachFrame, whenWide, format, percent, article,
  });
}

// ---- the sentence of an explorable ------------------------------------------

{
  const { html, announcer } = window.explorables;

  /** A paragraph for the verdict; returns write([head, tail]), which shows both and speaks them once they rest. */
  function verdictLine(parent, className = "") {
    const line = html("p", { class: `explorable-verdict ${className}` }, parent), say = announcer(parent);
    return ([head, tail]) => {
      line.textContent = "";
      html("strong", { text: head }, line);
      line.append(tail);
      say(head + tail);
    };
  }

  Object.assign(window.explorables, { verdictLine });
}
