/* Below every figure of a chapter: the picture itself to take along, as SVG and as PNG. Both are made here, from the
 * drawing in the page, when somebody asks for them. */
"use strict";

{
  const SCALE = 3; // pixels of the PNG to one of the drawing

  /** The drawing as a file of its own, with a size, a ground, and colours and letters as on a light page. */
  function standalone(svg) {
    const copy = svg.cloneNode(true);
    const [, , width, height] = svg.getAttribute("viewBox").split(/\s+/).map(Number);
    copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
    copy.setAttribute("width", width);
    copy.setAttribute("height", height);
    copy.setAttribute("style", "color: #000; background: #fff; font-family: sans-serif");
    const style = document.createElementNS("http://www.w3.org/2000/svg", "style");
    style.textContent = "text { font-family: sans-serif }";
    copy.prepend(style);
    const text = new XMLSerializer().serializeToString(copy).replaceAll("currentColor", "#000");
    return { text: text.replace(/var\(--[\w-]+, *([^)]+)\)/g, "$1"), width, height }; // not every program knows these
  }

  function save(address, name) {
    const link = Object.assign(document.createElement("a"), { href: address, download: name });
    link.click();
  }

  function saveSvg(svg, name) {
    const address = URL.createObjectURL(new Blob([standalone(svg).text], { type: "image/svg+xml" }));
    save(address, `${name}.svg`);
    setTimeout(() => URL.revokeObjectURL(address), 1000);
  }

  async function savePng(svg, name) {
    const { text, width, height } = standalone(svg), image = new Image();
    image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(text)}`;
    await image.decode();
    const canvas = Object.assign(document.createElement("canvas"), { width: SCALE * width, height: SCALE * height });
    const pen = canvas.getContext("2d");
    pen.fillStyle = "#fff";
    pen.fillRect(0, 0, canvas.width, canvas.height);
    pen.drawImage(image, 0, 0, canvas.width, canvas.height);
    save(canvas.toDataURL("image/png"), `${name}.png`);
  }

  /** What a figure's file is called: the ids of its drawing begin with its chapter and cell, "12_one_layer-hero-". */
  function nameOf(svg) {
    const id = svg.querySelector("[id]")?.id ?? "";
    return id.replace(/-(figure|patch|axes|defs|text|image|line2d)_?\w*$/, "") || "figure";
  }

  function offer(figure) {
    const svg = figure.querySelector("svg");
    if (!svg || !svg.getAttribute("viewBox")) return;
    const line = document.createElement("p");
    line.className = "figure-downloads";
    const label = svg.getAttribute("aria-label") || "this figure";
    for (const [kind, act] of [["SVG", saveSvg], ["PNG", savePng]]) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = kind;
      button.setAttribute("aria-label", `${kind} of the figure: ${label.slice(0, 80)}`);
      button.addEventListener("click", () => act(svg, nameOf(svg)));
      line.append(button);
    }
    figure.append(line);
  }

  const start = () => document.querySelectorAll("figure.bea-figure").forEach(offer);
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
}
