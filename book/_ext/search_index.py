"""What the search knows: the words of the prose, how often they stand on a page, and nothing of the code.

Sphinx' index has every word of a page once, those of code and of figures too. Here the words of the prose are counted
when a page is read, and the index is written again from these counts. ``ranking.js`` beside this module orders by them.
"""

import re
from collections import Counter
from functools import cache
from pathlib import Path

from docutils import nodes
from sphinx import addnodes
from sphinx.environment.collectors import EnvironmentCollector
from sphinx.search import js_index
from sphinx.search.en import SearchEnglish

from lab.sources import digest_of


class English(SearchEnglish):
    """Remembers the stems of words, of which a book has few."""

    stem = cache(SearchEnglish.stem)


LANGUAGE = English({})
LEAD = 5  # times that a word counts which stands in the question of a chapter, or beside it


def words_of(node: nodes.Node) -> list[str]:
    """Return the words of the prose below a node; of a citation, the name in its key."""
    if isinstance(node, nodes.literal_block | nodes.comment | nodes.raw | nodes.math | nodes.math_block):
        return []
    if isinstance(node, nodes.container) and node.get("nb_element") == "cell_code_source":
        return []
    if isinstance(node, addnodes.pending_xref) and node.get("refdomain") == "cite":
        return re.findall(r"[a-z]+", node["reftarget"])
    if isinstance(node, nodes.Text):
        return LANGUAGE.split(node.astext())
    return [word for child in node.children for word in words_of(child)]


def lead_of(doctree: nodes.document) -> list[str]:
    """Return the words above the first section of a page that begins with a question."""
    top = next(iter(doctree.findall(nodes.section)), doctree)
    paragraphs = [node for node in top.children if isinstance(node, nodes.paragraph)]
    asks = any(node.astext().startswith("Question.") for node in paragraphs)
    return [word for node in paragraphs for word in words_of(node)] if asks else []


def stems(words: list[str]) -> Counter:
    """Return how often each stem occurs, as Sphinx' index would name it; numbers and names in code have none."""
    found = Counter()
    for word in words:
        if "_" in word or not re.search("[^0-9e]", word):
            continue
        stem = LANGUAGE.stem(word).lower()
        if not LANGUAGE.word_filter(stem) and LANGUAGE.word_filter(word):
            stem = word
        if LANGUAGE.word_filter(stem) and not stem.isdigit():  # "1950s" leaves a number
            found[stem] += 1
    return found


class Prose(EnvironmentCollector):
    """Counts the words of every page that is read, in ``env.prose``: page → stem → number."""

    def clear_doc(self, app, env, docname) -> None:
        """Forget a page."""
        _counts(env).pop(docname, None)

    def merge_other(self, app, env, docnames, other) -> None:
        """Take what another process has counted."""
        _counts(env).update({name: _counts(other)[name] for name in docnames if name in _counts(other)})

    def process_doc(self, app, doctree) -> None:
        """Count the words of a page."""
        _counts(app.env)[app.env.docname] = stems(words_of(doctree) + (LEAD - 1) * lead_of(doctree))


def _counts(env) -> dict[str, Counter]:
    if not hasattr(env, "prose"):
        env.prose = {}
    return env.prose


def indexed(index: dict, counts: dict[str, Counter]) -> dict:
    """Return Sphinx' index with the terms of the prose only.

    Its new entry ``counts`` has stem → (number of the page → how often), where that is more than once, and ``lengths``
    the number of words a page.
    """
    terms, often = {}, {}
    for number, name in enumerate(index["docnames"]):
        for stem, count in counts.get(name, {}).items():
            terms.setdefault(stem, []).append(number)
            if count > 1:
                often.setdefault(stem, {})[number] = count
    lengths = [sum(counts.get(name, {}).values()) for name in index["docnames"]]
    terms = {stem: pages[0] if len(pages) == 1 else pages for stem, pages in terms.items()}
    return index | {"terms": terms, "counts": often, "lengths": lengths}


def write_index(app, error) -> None:
    """Write the index of the search again."""
    path = Path(app.outdir) / "searchindex.js"
    if error or not path.is_file():
        return
    index = js_index.loads(path.read_text(encoding="utf-8"))
    path.write_text(js_index.dumps(indexed(index, _counts(app.env))), encoding="utf-8")


def setup(app) -> dict:
    """Register everything."""
    app.add_config_value("search_sources", digest_of(setup), "env")
    app.add_env_collector(Prose)
    app.add_search_language(English)
    app.connect("build-finished", write_index)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
