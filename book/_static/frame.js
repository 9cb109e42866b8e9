// The frame of every page: what scrolls can be reached by keyboard, and a link shows where it leads before it is followed.
{
  // ---- boxes that scroll -----------------------------------------------------
  const SCROLLING = ".bea-figure, table, pre, div.math, mjx-container[display], .cell_output, .explorable *";

  // A box wider than its place takes part in the order of the tab key, and only then.
  const makeReachable = () => {
    for (const box of document.querySelectorAll(SCROLLING)) {
      const scrolls = /auto|scroll/.test(getComputedStyle(box).overflowX) && box.scrollWidth > box.clientWidth + 1;
      if (scrolls && !box.hasAttribute("tabindex")) {
        box.tabIndex = 0;
        box.dataset.scrolls = "";
      } else if (!scrolls && "scrolls" in box.dataset) {
        box.removeAttribute("tabindex");
        delete box.dataset.scrolls;
      }
    }
  };

  // ---- previews --------------------------------------------------------------
  const LINKS = "article a.internal[href*='#']";
  const SHOWN = "div.math, .math-wrapper, .proof, .admonition, .citation, dt, figure";
  const WAIT = 300; // milliseconds: the pointer only passing by shows nothing
  const pages = new Map(); // address → what it holds

  const fetched = (path) => {
    if (!pages.has(path)) {
      const read = async () => new DOMParser().parseFromString(await (await fetch(path)).text(), "text/html");
      pages.set(path, read());
    }
    return pages.get(path);
  };

  // What a link leads to: a theorem, an exercise, an equation, a term with its meaning, a reference; else null.
  async function target(link) {
    const { pathname, hash } = new URL(link.href);
    const elsewhere = pathname !== location.pathname;
    if (elsewhere && location.protocol === "file:") return null; // there, a page cannot read another
    const place = (elsewhere ? await fetched(pathname) : document).getElementById(decodeURIComponent(hash.slice(1)));
    const found = place?.closest(SHOWN);
    if (!found || (elsewhere && found.querySelector(".math") && !window.MathJax?.typesetPromise)) return null;
    return found.matches("dt") ? [found, found.nextElementSibling] : [found];
  }

  const box = document.createElement("div");
  box.id = "preview";
  box.setAttribute("role", "tooltip");
  let timer, shownFor;

  function hide() {
    clearTimeout(timer);
    shownFor?.removeAttribute("aria-describedby");
    shownFor = undefined;
    box.remove();
  }

  async function show(link) {
    const parts = await target(link).catch(() => null);
    if (!parts || !(link.matches(":hover") || link === document.activeElement)) return;
    hide();
    box.replaceChildren(...parts.filter(Boolean).map((part) => part.cloneNode(true)));
    box.querySelectorAll("[id]").forEach((element) => element.removeAttribute("id"));
    box.querySelectorAll(".headerlink, script, button").forEach((element) => element.remove());
    document.body.append(box);
    const place = link.getBoundingClientRect(), below = place.bottom + box.offsetHeight < innerHeight;
    box.style.left = `${Math.max(8, Math.min(place.left, innerWidth - box.offsetWidth - 8)) + scrollX}px`;
    box.style.top = `${(below ? place.bottom : place.top - box.offsetHeight) + scrollY}px`;
    link.removeAttribute("title"); // the browser would show it too
    link.setAttribute("aria-describedby", box.id);
    shownFor = link;
    if (box.querySelector(".math:not(:has(mjx-container))")) window.MathJax?.typesetPromise?.([box]);
  }

  const soon = (action, ...of) => {
    clearTimeout(timer);
    timer = setTimeout(action, WAIT, ...of);
  };

  addEventListener("DOMContentLoaded", () => {
    makeReachable();
    new ResizeObserver(makeReachable).observe(document.body);
    for (const link of document.querySelectorAll(LINKS)) {
      link.addEventListener("mouseenter", () => soon(show, link));
      link.addEventListener("focus", () => link.matches(":focus-visible") && soon(show, link));
      link.addEventListener("mouseleave", () => soon(hide));
      link.addEventListener("blur", hide);
    }
    box.addEventListener("mouseenter", () => clearTimeout(timer)); // what is shown can be pointed at
    box.addEventListener("mouseleave", () => soon(hide));
    addEventListener("keydown", ({ key }) => key === "Escape" && hide());
  });
}
