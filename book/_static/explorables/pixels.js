/* Pictures of pixels, and the numbers that notebooks write for pages. Needs elements.js before it.
 *
 *   numbers        the float32 array behind a text in base64, in double precision; bytes: the one of bytes
 *   best           the index of the largest value
 *   paint          an image or a change on a canvas
 *   thumbnail      a button that shows an image
 *   picture        a canvas with a caption
 */
"use strict";

{
  const { html, setAttributes } = window.explorables;

  /** The bytes that a notebook wrote in base64. */
  const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));

  /** The numbers that a notebook wrote in single precision and base64. */
  const numbers = (text) => Float64Array.from(new Float32Array(bytes(text).buffer));

  /** The index of the largest value, leaving out one. */
  const best = (values, but = -1) => values.reduce((top, v, k) => k !== but && (top < 0 || v > values[top]) ? k : top, -1);

  const BLUE = [0, 114, 178], VERMILLION = [213, 94, 0];

  /** Draw values on a canvas: ink between 0 and 1 in grey, changes in blue (less) and orange (more) up to a limit. */
  function paint(canvas, values, wide, high, limit) {
    canvas.width = wide;
    canvas.height = high;
    const context = canvas.getContext("2d"), image = context.createImageData(wide, high);
    values.forEach((value, k) => {
      const t = limit ? Math.min(1, Math.abs(value) / limit) : Math.min(1, Math.max(0, value));
      const full = !limit ? [0, 0, 0] : value < 0 ? BLUE : VERMILLION;
      full.forEach((c, channel) => { image.data[4 * k + channel] = Math.round(255 + t * (c - 255)); });
      image.data[4 * k + 3] = 255;
    });
    context.putImageData(image, 0, 0);
  }

  /** Make a button show an image: draw(canvas) paints it, and its name is for those who listen or point. */
  function thumbnail(button, name, draw, title = name) {
    setAttributes(button, { class: "explorable-thumb", "aria-label": name, title });
    draw(html("canvas", { class: "explorable-paper", "aria-hidden": "true" }, button));
  }

  /** A canvas with a caption: { figure, canvas, caption, describe }; describe(text) says what is in it, after its name. */
  function picture(parent, name, className, between = ": ") {
    const figure = html("figure", { class: `explorable-picture${className ? ` ${className}` : ""}` }, parent);
    const canvas = html("canvas", { class: "explorable-paper", role: "img" }, figure), caption = html("figcaption", {}, figure);
    return { figure, canvas, caption, describe: (text) => setAttributes(canvas, { "aria-label": `${name}${between}${text}` }) };
  }

  Object.assign(window.explorables, { bytes, numbers, best, paint, thumbnail, picture });
}
