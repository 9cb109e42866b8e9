// How the search orders what it has found, and what it quotes. Sphinx puts this beside its own searchtools.js.
// A page counts for a word the more, the oftener the word stands there and the rarer it is elsewhere (Okapi BM25);
// a word of its title counts as several, one of a section's title as two.
const TITLE = 4, SECTION = 2;

const stemmed = (text) => {
  const stemmer = new Stemmer();
  return splitQuery(text.toLowerCase()).map((word) => stemmer.stemWord(word));
};

const asList = (pages) => (pages === undefined ? [] : [pages].flat());

// The words of the titles of every section of a page.
const sectionWords = (page) =>
  Object.entries(Search._index.alltitles)
    .filter(([, places]) => places.some(([number]) => number === page))
    .flatMap(([title]) => stemmed(title));

function relevance(page, words) {
  const { docnames, titles, terms, counts, lengths } = Search._index;
  const mean = lengths.reduce((sum, length) => sum + length, 0) / lengths.length;
  const title = stemmed(titles[page]), sections = sectionWords(page);
  return words.reduce((sum, word) => {
    const pages = asList(terms[word]);
    const often = counts[word]?.[page] ?? (pages.includes(page) ? 1 : 0);
    const rarity = Math.log(1 + (docnames.length - pages.length + 0.5) / (pages.length + 0.5));
    const share = (2.2 * often) / (often + 0.7 + (0.5 * lengths[page]) / mean);
    return sum + rarity * (share + (title.includes(word) ? TITLE : sections.includes(word) ? SECTION : 0));
  }, 0);
}

// A section whose title fits follows its page.
Scorer.score = ([name, , anchor]) => {
  const words = stemmed(new URLSearchParams(location.search).get("q") ?? "");
  return relevance(Search._index.docnames.indexOf(name), words) - (anchor ? 0.001 : 0);
};

// What is quoted is prose: no code, no figure, no formula in TeX.
Search.htmlToText = (source, anchor) => {
  const page = new DOMParser().parseFromString(source, "text/html");
  const unread = "script, style, svg, pre, .headerlink, .math, .provenance, details.run, summary, h1";
  page.querySelectorAll(unread).forEach((element) => element.remove());
  const article = page.querySelector("article");
  return ((anchor && article.querySelector(anchor)) || article).textContent.replace(/\s+/g, " ");
};

// From the disk a page cannot read another, so nothing is quoted.
if (location.protocol === "file:") DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;
