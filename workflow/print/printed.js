/* Puts the pages of the rendered book into the present document, made for paper: every id prefixed by its page, every
   link leading inside, folds open, solutions at the end. Called by workflow/pdf.py. */
"use strict";

{
  const make = (tag, attributes = {}, ...children) => {
    const element = Object.assign(document.createElement(tag), attributes);
    element.append(...children);
    return element;
  };
  const key = (path) => path.replace(/\.html$/, "").replaceAll("/", "-");
  const each = (root, selector, change) => root.querySelectorAll(selector).forEach(change);

  async function fetched(address) {
    const page = new DOMParser().parseFromString(await (await fetch(address)).text(), "text/html");
    const base = page.head.appendChild(page.createElement("base"));
    base.href = address;
    return page;
  }

  // What a page needs besides its text: its styles, and MathJax with its settings; each once.
  function takeHead(page, seen) {
    for (const link of page.querySelectorAll("link[rel~=stylesheet]")) {
      if (seen.has(link.href)) continue;
      seen.add(link.href);
      document.head.append(make("link", { rel: "stylesheet", href: link.href }));
    }
    for (const script of page.querySelectorAll("script")) {
      const wanted = script.src ? /mathjax/i.test(script.src) : /window\.MathJax/.test(script.text);
      const name = script.src || script.text;
      if (wanted && !seen.has(name)) seen.add(name) && seen.scripts.push(script);
    }
  }

  const blank = (element) => !element.textContent.trim() && !element.querySelector("svg, img");

  // Folds are opened, but what was folded because nobody need read it is left out: code, and small print in tables.
  function unfold(article) {
    each(article, "td details", (fold) => fold.remove());
    each(article, "details", (fold) => {
      if (!fold.closest(".tag_hide-cell")) each(fold, ".cell_input", (code) => code.remove());
      if (fold.matches(".run")) each(fold, ".cell", (cell) => cell.remove());
      const title = fold.querySelector(":scope > summary");
      if ([...fold.children].every((child) => child === title || blank(child))) return fold.remove();
      const box = make("div", { className: `${fold.className} unfolded` });
      if (fold.id) box.id = fold.id;
      if (title && !fold.classList.contains("hide")) {
        box.append(make("p", { className: "unfolded-title" }, title.textContent.trim()));
      }
      box.append(...[...fold.childNodes].filter((child) => child !== title));
      fold.replaceWith(box);
    });
    each(article, ".cell", (cell) => blank(cell) && cell.remove());
  }

  // What only a screen can do is left out; a figure that moves is shown as it begins.
  function still(article, pictures) {
    each(article, "script, style, .headerlink, .copybtn, template, noscript", (element) => element.remove());
    each(article, "a.download, a.reference.download", (link) => link.remove());
    each(article, ".explorable", (explorable) => {
      const picture = pictures[explorable.id];
      if (!picture) return;
      const image = make("img", { src: picture, alt: "The figure that moves, as it begins." });
      const words = make("figcaption", {}, "On the web page this figure moves. Here it is as it begins.");
      explorable.replaceWith(make("figure", { className: "still" }, image, words));
    });
    each(article, "img", (image) => Object.assign(image, { loading: "eager", src: image.src })); // absolute from now on
  }

  function link(article, path, base, paths) {
    const own = key(path);
    each(article, "a[href]", (a) => {
      const url = new URL(a.getAttribute("href"), base + path);
      if (!url.href.startsWith(base)) return;
      const target = url.href.slice(base.length).split("#")[0] || path;
      if (!paths.has(target)) a.replaceWith(...a.childNodes); // a file, or a page that is not printed
      else a.setAttribute("href", `#${key(target)}${url.hash ? `--${decodeURIComponent(url.hash.slice(1))}` : ""}`);
    });
    each(article, "[id]", (element) => {
      if (!element.closest("svg")) element.id = `${own}--${element.id}`;
    });
  }

  // A solution leaves a line with its page where it stood; a cell called "solution" goes with it.
  function collect(article, title, appendix) {
    const solutions = [...article.querySelectorAll(".solution, .cell[id*='--cell-solution']")];
    if (solutions.length) appendix.append(make("h2", {}, title));
    for (const solution of solutions) {
      solution.classList.remove("dropdown");
      const line = make("a", { className: "paged", href: `#${solution.id}` }, "Solution on page ");
      if (solution.matches(".solution")) solution.before(make("p", { className: "see-solution" }, line));
      appendix.append(solution);
    }
  }

  function entry(className, id, text) {
    const line = make("a", { className: "paged", href: `#${id}` }, make("span", {}, text));
    return make("li", { className }, line);
  }

  const titleOf = (article) => {
    const heading = article.querySelector("h1").cloneNode(true);
    each(heading, ".headerlink, script", (element) => element.remove());
    return heading.textContent.replace(/\s+/g, " ").trim();
  };

  function chapter(page, path, book, appendix) {
    const article = document.importNode(page.querySelector("article.bd-article"), true);
    const title = titleOf(article);
    still(article, book.pictures);
    unfold(article);
    link(article, path, book.base, book.paths);
    collect(article, title, appendix);
    const box = make("section", { className: "chapter", id: key(path) }, article);
    return { box, title };
  }

  function scripts(list) {
    return list.reduce((before, script) => before.then(() => new Promise((done) => {
      const copy = make("script", script.src ? { src: script.src, onload: done } : { text: script.text });
      document.head.append(copy);
      if (!script.src) done();
    })), Promise.resolve());
  }

  /* Fill the document. `book` has its base address, its title, the lines below it, its parts (caption and paths of
     pages) and the pictures of its figures that move. Returns parts and chapters with the ids that they got. */
  async function fill(book) {
    const seen = Object.assign(new Set(), { scripts: [] }), outline = [];
    book.paths = new Set(book.parts.flatMap((part) => part.pages));
    const contents = make("ol", { className: "contents" });
    const appendix = make("section", { className: "chapter", id: "solutions" }, make("h1", {}, "Solutions"));
    const body = make("main", { className: "bd-content bd-article" });
    for (const [number, part] of book.parts.entries()) {
      const id = `part-${number}`, chapters = [];
      if (part.caption) {
        body.append(make("section", { className: "part", id }, make("h1", {}, part.caption)));
        contents.append(entry("part-entry", id, part.caption));
      }
      for (const path of part.pages) {
        const page = await fetched(book.base + path);
        takeHead(page, seen);
        const { box, title } = chapter(page, path, book, appendix);
        body.append(box);
        contents.append(entry("chapter-entry", box.id, title));
        chapters.push({ id: box.id, title });
      }
      outline.push({ id, caption: part.caption, chapters });
    }
    if (appendix.children.length > 1) {
      body.append(appendix);
      contents.append(entry("part-entry", appendix.id, "Solutions"));
      outline.push({ id: appendix.id, caption: "Solutions", chapters: [] });
    }
    const front = make("section", { className: "title-page" }, make("h1", {}, book.title),
      ...book.lines.map((line) => make("p", {}, line)));
    const list = make("section", { className: "contents-page" }, make("h1", {}, "Contents"), contents);
    document.body.append(front, list, body);
    for (const a of document.querySelectorAll('a[href^="#"]')) {
      if (document.getElementById(a.getAttribute("href").slice(1))) continue;
      a.setAttribute("href", a.getAttribute("href").split("--")[0]); // the anchor was left out: its chapter
    }
    document.head.append(make("style", {}, book.style)); // after those of the pages
    await scripts(seen.scripts);
    await window.MathJax?.startup?.promise;
    await Promise.all([...document.images].map((image) => image.decode().catch(() => null)));
    await document.fonts.ready;
    shrink();
    return outline;
  }

  // What is wider than the paper is set smaller, never cut. First all is measured, then all is changed.
  function shrink() {
    const wanted = "table, mjx-container[display=true], .bea-figure > svg, pre";
    const ratios = [...document.querySelectorAll(wanted)].map((element) => {
      const box = element.parentElement, style = getComputedStyle(box);
      const [left, right] = [style.paddingLeft, style.paddingRight].map(parseFloat);
      const toEdge = document.body.clientWidth - box.getBoundingClientRect().left - left;
      const room = Math.min(box.clientWidth - left - right, toEdge);
      return room / Math.max(element.scrollWidth, element.getBoundingClientRect().width);
    });
    document.querySelectorAll(wanted).forEach((element, i) => {
      if (ratios[i] > 0 && ratios[i] < 0.998) element.style.zoom = 0.99 * ratios[i]; // the letters are rounded
    });
  }

  /* Write the page numbers, id → number, behind the links that ask for one. */
  function number(pages) {
    for (const a of document.querySelectorAll("a.paged")) {
      a.querySelector(".page")?.remove();
      a.append(make("span", { className: "page" }, String(pages[a.getAttribute("href").slice(1)] ?? "")));
    }
  }

  window.printed = { fill, number };
}
