/* Plots: panels with axes, what is drawn in them, and points that a reader moves. Needs elements.js before it.
 *
 *   plot           a square panel with axes and ticks, equal scales, a clip
 *   chart          a wide panel, one scale an axis, as wide as its place
 *   handle         a point that mouse, touch and keyboard can move in a plot
 *   arrow          the path of an arrow; polyline: the path of a curve
 *   placeLabels    put labels where they hide least; along: a segment as an obstacle
 *   niceStep       a round distance of ticks
 */
"use strict";

{
  const { setAttributes, svg, drag } = window.explorables;

  /** The 1, 2 or 5 times a power of ten nearest above `size`. */
  function niceStep(size) {
    const power = 10 ** Math.floor(Math.log10(size));
    for (const factor of [1, 2, 5]) if (factor * power >= size) return factor * power;
    return 10 * power;
  }

  /** Drop the digits of `value` far below `step`. */
  function tidy(value, step) {
    const places = Math.max(0, 1 - Math.floor(Math.log10(step)));
    return places > 100 ? value : Number(value.toFixed(places));
  }

  // ---- a panel with axes -------------------------------------------------

  const WIDTH = 360, HEIGHT = 356, LEFT = 42, TOP = 10, SIDE = 308;
  let plots = 0;

  /** A square plot. options: label (for screen readers), role, axes: [x, y].
   *  Draw into plot.marks (clipped to the frame) or plot.labels (not clipped). */
  function plot(parent, options) {
    const root = svg("svg", {
      viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "explorable-plot",
      role: options.role || "img", "aria-label": options.label,
    }, parent);
    const clipId = `explorable-clip-${++plots}`;
    const frame = { x: LEFT, y: TOP, width: SIDE, height: SIDE };
    svg("rect", frame, svg("clipPath", { id: clipId }, root));
    svg("rect", { ...frame, class: "explorable-frame" }, root);
    const grid = svg("g", { class: "explorable-grid", "aria-hidden": "true" }, root);
    const marks = svg("g", { "clip-path": `url(#${clipId})`, "aria-hidden": "true" }, root);
    const labels = svg("g", { class: "explorable-labels", "aria-hidden": "true" }, root);
    const view = { cx: 0, cy: 0, half: 1 };

    const self = {
      svg: root, marks, labels, view,
      frame: { left: LEFT, top: TOP, right: LEFT + SIDE, bottom: TOP + SIDE },
      scale: () => SIDE / (2 * view.half), // pixels of the viewBox per unit
      toPixel: ([x, y]) => [
        LEFT + SIDE / 2 + (x - view.cx) * self.scale(),
        TOP + SIDE / 2 - (y - view.cy) * self.scale(),
      ],
      toData: ([px, py]) => [
        view.cx + (px - LEFT - SIDE / 2) / self.scale(),
        view.cy - (py - TOP - SIDE / 2) / self.scale(),
      ],
      /** The viewBox coordinates of a pointer event. */
      fromEvent: (event) => {
        const box = root.getBoundingClientRect();
        return [(event.clientX - box.left) * WIDTH / box.width,
          (event.clientY - box.top) * HEIGHT / box.height];
      },
      setView: (cx, cy, half) => {
        Object.assign(view, { cx, cy, half });
        drawAxes();
      },
    };

    function drawAxes() {
      grid.textContent = "";
      const step = niceStep(view.half / 2.6);
      const [x0, y0] = self.toPixel([0, 0]);
      const right = LEFT + SIDE, bottom = TOP + SIDE;
      const zero = { class: "explorable-zero" };
      if (x0 > LEFT && x0 < right) svg("path", { ...zero, d: `M${x0} ${TOP}V${bottom}` }, grid);
      if (y0 > TOP && y0 < bottom) svg("path", { ...zero, d: `M${LEFT} ${y0}H${right}` }, grid);
      const tickText = (value) => {
        const size = Math.abs(value);
        if (size >= 1e4 || (size > 0 && step < 1e-3)) {
          return String(Number(value.toPrecision(3)).toExponential()).replace("e+", "e").replace(/^-/, "−");
        }
        return String(tidy(value, step)).replace(/^-/, "−");
      };
      for (const [axis, centre] of [[0, view.cx], [1, view.cy]]) {
        const last = Math.floor((centre + view.half) / step);
        for (let k = Math.ceil((centre - view.half) / step); k <= last; k++) {
          const [px, py] = self.toPixel(axis ? [0, k * step] : [k * step, 0]);
          const text = tickText(k * step);
          if (axis) {
            svg("path", { d: `M${LEFT - 4} ${py}H${LEFT}` }, grid);
            if (py > TOP + 20) svg("text", { x: LEFT - 6, y: py + 4, "text-anchor": "end", text }, grid);
          } else {
            svg("path", { d: `M${px} ${bottom}V${bottom + 4}` }, grid);
            if (px < right - 26) svg("text", { x: px, y: bottom + 17, "text-anchor": "middle", text }, grid);
          }
        }
      }
      const name = { class: "explorable-axis-name" };
      svg("text", { ...name, x: right, y: bottom + 19, "text-anchor": "end", text: options.axes[0] }, grid);
      svg("text", { ...name, x: LEFT - 6, y: TOP + 11, "text-anchor": "end", text: options.axes[1] }, grid);
    }
    return self;
  }

  /** A rectangular plot with a scale of its own for each axis. It is drawn in pixels of the screen, so that text keeps
   *  its size when the place gets narrow. options: label, axes: [x, y], height, below (pixels kept free under the ticks).
   *  Draw into chart.marks (clipped to the frame) or chart.labels (not clipped); chart.setSize and chart.setView
   *  change what is shown, and the caller draws anew. */
  function chart(parent, options) {
    const root = svg("svg", { class: "explorable-plot", role: "img", "aria-label": options.label }, parent);
    const clipId = `explorable-clip-${++plots}`;
    const clip = svg("rect", {}, svg("clipPath", { id: clipId }, root));
    const border = svg("rect", { class: "explorable-frame" }, root);
    const grid = svg("g", { class: "explorable-grid", "aria-hidden": "true" }, root);
    const marks = svg("g", { "clip-path": `url(#${clipId})`, "aria-hidden": "true" }, root);
    const labels = svg("g", { class: "explorable-labels", "aria-hidden": "true" }, root);
    const frame = { left: 58, top: 24, right: 100, bottom: 100 }, view = { x: [0, 1], y: [0, 1] };
    let width = 1, height = 1;

    const share = (value, [low, high]) => (value - low) / (high - low);
    const self = {
      svg: root, marks, labels, view, frame,
      toPixel: ([x, y]) => [
        frame.left + share(x, view.x) * (frame.right - frame.left),
        frame.bottom - share(y, view.y) * (frame.bottom - frame.top),
      ],
      toData: ([px, py]) => [
        view.x[0] + (px - frame.left) / (frame.right - frame.left) * (view.x[1] - view.x[0]),
        view.y[0] + (frame.bottom - py) / (frame.bottom - frame.top) * (view.y[1] - view.y[0]),
      ],
      /** The pixels of a pointer event. */
      fromEvent: (event) => {
        const box = root.getBoundingClientRect();
        return [(event.clientX - box.left) * width / box.width, (event.clientY - box.top) * height / box.height];
      },
      setSize: (wide, high) => {
        [width, height] = [Math.max(wide, 120), high];
        Object.assign(frame, { right: width - 12, bottom: height - 26 - (options.below || 0) });
        setAttributes(root, { viewBox: `0 0 ${width} ${height}` });
        const size = { x: frame.left, y: frame.top, width: frame.right - frame.left, height: frame.bottom - frame.top };
        [clip, border].forEach((rect) => setAttributes(rect, size));
        drawAxes();
      },
      setView: (x, y) => {
        Object.assign(view, { x, y });
        drawAxes();
      },
    };

    function drawAxes() {
      grid.textContent = "";
      const { left, top, right, bottom } = frame;
      [[view.x, (right - left) / 64], [view.y, (bottom - top) / 36]].forEach(([[low, high], most], axis) => {
        const step = niceStep((high - low) / most);
        for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9 * step; k++) {
          const [px, py] = self.toPixel(axis ? [view.x[0], k * step] : [k * step, view.y[0]]);
          const text = String(tidy(k * step, step)).replace(/^-/, "−");
          if (axis) {
            svg("path", { d: `M${left - 4} ${py}H${left}` }, grid);
            svg("text", { x: left - 6, y: py + 4, "text-anchor": "end", text }, grid);
          } else {
            svg("path", { d: `M${px} ${bottom}V${bottom + 4}` }, grid);
            if (px < right - 24) svg("text", { x: px, y: bottom + 17, "text-anchor": "middle", text }, grid);
          }
        }
      });
      const name = { class: "explorable-axis-name" };
      svg("text", { ...name, x: right, y: bottom + 18, "text-anchor": "end", text: options.axes[0] }, grid);
      const turned = `translate(14 ${(top + bottom) / 2}) rotate(-90)`;
      svg("text", { ...name, transform: turned, "text-anchor": "middle", text: options.axes[1] }, grid);
    }
    return self;
  }

  /** A ring in `plot` that the reader moves. options: id, label,
   *  text([x, y]) for screen readers, get() -> [x, y], move([x, y]) while it moves, done() when it is let go.
   *  Arrows move it, Shift makes the step ten times finer; Page Up and Down
   *  (second coordinate), Home and End (first) make it ten times coarser. */
  function handle(plot, options) {
    const group = svg("g", {
      id: options.id, class: "explorable-handle", tabindex: "0", role: "slider",
      "aria-roledescription": "point in the plane", "aria-label": options.label,
    }, plot.svg);
    svg("circle", { r: 31, class: "explorable-hit" }, group); // 44 px or more, even at 320
    svg("circle", { r: 14, class: "explorable-focus" }, group);
    svg("circle", { r: 8, class: "explorable-ring" }, group);
    svg("circle", { r: 1.5, class: "explorable-ring-centre" }, group);
    const { left, right, top, bottom } = plot.frame;
    const clamp = ([px, py]) => [
      Math.min(right - 6, Math.max(left + 6, px)),
      Math.min(bottom - 6, Math.max(top + 6, py)),
    ];
    const moveTo = (pixel, step) => options.move(plot.toData(clamp(pixel)).map((v) => tidy(v, step)));

    // touch-action in the style sheet stops the page from scrolling under the
    // ring; older browsers ignore it inside an SVG, so refuse the touch as well
    group.addEventListener("touchstart", (event) => event.preventDefault(), { passive: false });
    let hold = [0, 0], moved = false; // where the pointer holds the ring, and whether it took it anywhere
    drag(group, {
      press: (event) => {
        const [px, py] = plot.fromEvent(event), [hx, hy] = plot.toPixel(options.get());
        [hold, moved] = [[hx - px, hy - py], false];
        group.focus({ preventScroll: true });
      },
      move: (event) => {
        const [px, py] = plot.fromEvent(event);
        moved = true;
        moveTo([px + hold[0], py + hold[1]], 1 / plot.scale());
      },
      release: () => { if (moved) options.done(); },
    });

    const keys = {
      ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowDown: [0, -1], ArrowUp: [0, 1],
      PageDown: [0, -10], PageUp: [0, 10], Home: [-10, 0], End: [10, 0],
    };
    group.addEventListener("keydown", (event) => {
      const way = keys[event.key];
      if (!way || event.ctrlKey || event.altKey || event.metaKey) return;
      event.preventDefault();
      const step = niceStep(plot.view.half / 25) / (event.shiftKey ? 10 : 1);
      const [x, y] = options.get();
      // an axis that does not move keeps its number to the last bit
      const [u, v] = plot.toData(clamp(plot.toPixel([x + way[0] * step, y + way[1] * step])));
      options.move([way[0] ? tidy(u, step / 10) : x, way[1] ? tidy(v, step / 10) : y]);
    });
    group.addEventListener("keyup", (event) => { if (keys[event.key]) options.done(); });

    return {
      element: group,
      /** Put the ring at its place and tell assistive software where it is. */
      draw: () => {
        const point = options.get(), [px, py] = plot.toPixel(point), { cx, half } = plot.view;
        setAttributes(group, {
          transform: `translate(${px} ${py})`,
          "aria-valuemin": cx - half, "aria-valuemax": cx + half, "aria-valuenow": point[0],
          "aria-valuetext": options.text(point),
        });
      },
    };
  }

  // ---- drawing -----------------------------------------------------------

  const polyline = (points) => "M" + points.map(([x, y]) => `${x.toFixed(2)} ${y.toFixed(2)}`).join("L");

  /** An arrow of two paths: a.draw(from, to) in pixels; too short: no head. */
  function arrow(parent, className) {
    const shaft = svg("path", { class: className }, parent);
    const head = svg("path", { class: className + " explorable-head" }, parent);
    return {
      draw: (from, to) => {
        const dx = to[0] - from[0], dy = to[1] - from[1], length = Math.hypot(dx, dy);
        setAttributes(shaft, { d: polyline([from, to]) });
        const h = Math.min(8, length / 2), ux = dx / length, uy = dy / length;
        setAttributes(head, {
          d: length < 4 ? "" : polyline([
            [to[0] - h * ux - 0.45 * h * uy, to[1] - h * uy + 0.45 * h * ux], to,
            [to[0] - h * ux + 0.45 * h * uy, to[1] - h * uy - 0.45 * h * ux],
          ]),
        });
      },
    };
  }

  const ways = [[1, 0], [-1, 0], [1, -1], [-1, -1], [1, 1], [-1, 1], [0, -1], [0, 1]];

  /** Put each label {element, at: [px, py], gap} on the side of its point where
   *  it covers least. obstacles: pixels to keep clear; frame: where to stay. */
  function placeLabels(labels, obstacles, frame) {
    const placed = [];
    for (const label of labels) {
      const text = label.element.textContent.replace(/[\u0300-\u036f]/g, "");
      const w = 7.2 * text.length, h = 15, gap = label.gap || 8;
      let best = null;
      ways.forEach(([sx, sy], index) => {
        const near = sx && sy ? 0.7 * gap : gap;
        const x = label.at[0] + sx * near + (sx - 1) * w / 2;
        const y = label.at[1] + sy * near + (sy - 1) * h / 2;
        let cost = 0.2 * index - (label.element.explorableWay === index ? 1 : 0);
        for (const [ox, oy] of obstacles) {
          if (ox > x - 3 && ox < x + w + 3 && oy > y - 2 && oy < y + h + 2) cost += 1;
        }
        for (const p of placed) {
          const a = Math.min(x + w, p.x + p.w) - Math.max(x, p.x);
          const b = Math.min(y + h, p.y + p.h) - Math.max(y, p.y);
          if (a > 0 && b > 0) cost += 15 + a * b / 20;
        }
        if (x < frame.left || x + w > frame.right || y < frame.top || y + h > frame.bottom) cost += 60;
        if (!best || cost < best.cost) best = { cost, index, x, y, w, h };
      });
      placed.push(best);
      label.element.explorableWay = best.index;
      const sx = ways[best.index][0];
      setAttributes(label.element, {
        x: best.x + best.w * (1 - sx) / 2, y: best.y + 12,
        "text-anchor": sx > 0 ? "start" : sx < 0 ? "end" : "middle",
      });
    }
  }

  /** Points along a segment about 8 pixels apart, as obstacles for labels. */
  function along(from, to) {
    const n = Math.min(60, Math.ceil(Math.hypot(to[0] - from[0], to[1] - from[1]) / 8)) || 1;
    return Array.from({ length: n + 1 }, (_, k) =>
      [from[0] + (to[0] - from[0]) * k / n, from[1] + (to[1] - from[1]) * k / n]);
  }

  Object.assign(window.explorables, { niceStep, plot, chart, handle, polyline, arrow, placeLabels, along });
}
