// Filters of the rows of a page: by what they are tagged with, and by words. The state stands behind the # of the
// address, "#paper=B&words=tanh", so that it can be sent to others; "#B13" is still the row with this id.
{
  const FACETS = { paper: "paper", kind: "kind", verdict: "verdict", label: "how sure", chapter: "chapter" };
  const rows = [...document.querySelectorAll("article.claim")];
  const texts = new Map(rows.map((row) => [row, row.textContent.toLowerCase()]));
  const controls = new Map(); // facet, or "words": its control
  const count = document.createElement("output");

  const labelled = (text, control) => {
    const label = document.createElement("label");
    label.append(text, control);
    return label;
  };

  // A choice among the values that a facet takes, in the order of the page; none where there is no choice.
  const choice = (facet) => {
    const values = [...new Set(rows.map((row) => row.dataset[facet]).filter(Boolean))];
    if (values.length < 2) return null;
    const select = document.createElement("select");
    select.append(new Option("all", ""));
    for (const value of values) select.append(new Option(value.replaceAll("_", " "), value));
    return select;
  };

  const chosen = () =>
    new Map([...controls].map(([key, control]) => [key, control.value.trim()]).filter(([, value]) => value));

  const fits = (row, wanted) =>
    [...wanted].every(([key, value]) =>
      key === "words"
        ? value.toLowerCase().split(/\s+/).every((word) => texts.get(row).includes(word))
        : row.dataset[key] === value);

  const show = () => {
    const wanted = chosen();
    for (const row of rows) row.hidden = !fits(row, wanted);
    for (const section of document.querySelectorAll("section:has(article.claim)")) {
      if (!section.querySelector("h1")) section.hidden = !section.querySelector("article.claim:not([hidden])");
    }
    const left = rows.filter((row) => !row.hidden).length;
    count.textContent = `${left} of ${rows.length} shown`;
  };

  const remember = () => {
    const state = new URLSearchParams([...chosen()]).toString();
    history.replaceState(null, "", state ? `#${state}` : location.pathname + location.search);
  };

  const clear = () => {
    for (const control of controls.values()) control.value = "";
  };

  // Take the state from the address. A link to a row shows it, whatever the filters were.
  const restore = () => {
    const fragment = decodeURIComponent(location.hash.slice(1));
    const row = rows.find((one) => one.id === fragment);
    if (row) {
      if (row.hidden) clear();
      show();
      row.querySelector(":scope > details")?.setAttribute("open", "");
      row.scrollIntoView();
      return;
    }
    clear();
    for (const [key, value] of new URLSearchParams(location.hash.slice(1))) {
      const control = controls.get(key);
      if (control) control.value = value;
      if (control?.selectedIndex === -1) control.value = ""; // a value that no row has
    }
    show();
  };

  const build = () => {
    const form = document.createElement("form");
    form.className = "claim-filter";
    form.setAttribute("role", "search");
    form.setAttribute("aria-label", "Filter the rows");
    for (const [facet, name] of Object.entries(FACETS)) {
      const select = choice(facet);
      if (!select) continue;
      controls.set(facet, select);
      form.append(labelled(name, select));
    }
    const words = document.createElement("input");
    words.type = "search";
    controls.set("words", words);
    form.append(labelled("words", words));
    const all = document.createElement("button");
    all.type = "button";
    all.textContent = "Show all";
    count.setAttribute("aria-live", "polite");
    form.append(all, count);
    const changed = () => { show(); remember(); };
    form.addEventListener("input", changed);
    form.addEventListener("submit", (event) => event.preventDefault());
    all.addEventListener("click", () => { clear(); changed(); });
    return form;
  };

  const first = rows[0].closest("section");
  const before = first.querySelector("h1") ? rows[0].closest(".scorecard") : first;
  before.before(build());
  addEventListener("hashchange", restore);
  restore();
}
