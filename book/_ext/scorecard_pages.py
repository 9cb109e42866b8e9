"""The scorecard and the lists of our own findings: a row a claim, with an id, a verdict and a link to its cell."""

import html
import re
from pathlib import Path

import yaml
from companion import FromMarkdown, link_to_cell, read_results, result_at, results_folder
from docutils import nodes
from docutils.parsers.rst import directives
from marks import mark
from small_axis import Pair, small_axis

from lab.claims import LABELS, load_claims, scorecard, shown, summary_table
from lab.parameters import ROOT
from lab.register import changed_in_view, history, load_register
from lab.rules import explained
from lab.sources import digest_of
from lab.wording import SUPERSCRIPTS, tidied

FILES = ("claims", "published", "register", "compared")  # of the folder book, without .yml
KINDS = {"F": "finding", "X": "negative result"}  # by the letter of its id
PLAIN = {small: digit for digit, small in SUPERSCRIPTS.items()}  # exponents as they are read
STYLE, SCRIPT = "scorecard.css", "scorecard.js"  # loaded where there is a row


def raw(text: str) -> nodes.raw:
    """Return a piece of HTML."""
    return nodes.raw("", text, format="html")


def opening(name: str, **facets: str | None) -> str:
    """Return the start of a row with this id, by what it can be filtered, and the link to it."""
    data = "".join(f' data-{key}="{html.escape(value)}"' for key, value in facets.items() if value)
    link = f'<a class="claim-id" href="#{name}" aria-label="Link to {name}">{name}</a>'
    return f'<article class="claim" id="{name}"{data}>{link} '


def provenance(source: tuple[str, str]) -> nodes.paragraph:
    """Return the link to notebook and cell on which a row rests."""
    text = nodes.Text("{}, cell {}".format(*source))
    return nodes.paragraph("", "", link_to_cell(*source, text), classes=["provenance"])


class Rows(FromMarkdown):
    """Base of the directives that show rows."""

    def label(self, name: str, prefix: str) -> None:
        """Let ``{ref}`prefix-name``` lead to the row with this id."""
        labels = self.env.domaindata["std"]["anonlabels"]
        labels[f"{prefix}-{name}".lower()] = (self.env.docname, name)


class Scorecard(Rows):
    """``{scorecard} B`` lists the claims of one paper; without an argument, it counts the verdicts."""

    optional_arguments = 1

    def run(self):
        """Return the rows, or the table of counts."""
        rows = self.rows()
        if not self.arguments:
            return self.counts(rows)
        register = load_register()
        compared = yaml.safe_load((self.folder / "compared.yml").read_text(encoding="utf-8")) or {}
        own = [row for row in rows if row["paper"] == self.arguments[0]]
        box = nodes.container(classes=["scorecard"])
        for row in own:
            self.label(row["id"], "claim")
            box += self.row(row, register[row["id"]], compared.get(row["id"]))
        return [box]

    @property
    def folder(self) -> Path:
        """Where the claims are."""
        return Path(self.env.srcdir) / "book"

    def rows(self) -> list[dict]:
        """Return the rows of the scorecard."""
        files = [self.folder / f"{name}.yml" for name in FILES]
        for path in (*sorted(results_folder(self.env).glob("*.json")), *files, *(ROOT / "lab" / "rules").glob("*.py")):
            self.env.note_dependency(str(path))
        return scorecard(load_claims(files[0]), results_folder(self.env))

    def counts(self, rows: list[dict]) -> list[nodes.Node]:
        """Return how many claims of each paper stand how, from what, and how many rules were changed."""
        judges = dict.fromkeys(row["notebook"] for row in rows if row["notebook"])
        pages = ", ".join(f"{{doc}}`{name} <../results/{name}>`" for name in judges)
        commits = {read_results(self.env, name)["provenance"]["commit"] for name in judges}
        source = f"Counted from the verdicts of {pages} · commit {', '.join(sorted(commits))}"
        register = load_register()
        seen = f"The rules of {changed_in_view(register)} of {len(register)} claims were changed, or printed more "
        seen += "fully, after their numbers had been seen."
        return [
            *self.parse(summary_table(rows), "scorecard-summary"),
            *self.parse(seen),
            *self.parse(source, "provenance"),
        ]

    def row(self, row: dict, register: list[dict], compared: dict | None) -> list[nodes.Node]:
        """Return one claim: what it says and its verdict; folded, published and ours, the cell, and why."""
        facets = {key: row[key] for key in ("paper", "label")} | {
            "verdict": row["standing"],
            "chapter": row["notebook"],
        }
        ours = tidied(row["ours"] or "–") + (f" ({row['label']})" if row["label"] else "")
        judged = explained(row) if "rule" in row else row["judged"]  # a claim that nobody has examined
        lines = self.parse(history(register))
        next(lines[0].findall(nodes.bullet_list))["classes"].append("register")
        return [
            raw(f'{opening(row["id"], **facets)}<details><summary class="claim-head">'),
            *self.parse(row["statement"], "claim-line"),
            raw(f'{mark(row["standing"])}</summary><p class="claim-place">{html.escape(row["place"])}</p>'),
            *([provenance((row["notebook"], row["cell"]))] if row["notebook"] else []),
            raw('<div class="claim-numbers"><div class="claim-published"><span>◆ published</span>'),
            *self.parse(tidied(shown(row))),
            *self.axis(compared, row),
            raw('</div><div class="claim-ours"><span>● ours</span>'),
            *self.parse(ours),
            raw('</div></div><div class="claim-why">'),
            *self.parse(tidied(row["because"] or "")),
            *self.parse(judged),
            *lines,
            raw("</div></details></article>"),
        ]

    def axis(self, compared: dict | None, row: dict) -> list[nodes.Node]:
        """Return published and ours on one axis, where both are numbers that were computed from the same data."""
        if not compared or not row["notebook"]:
            return []
        if row["data"] not in (None, read_results(self.env, row["notebook"])["dataset"]):
            return []
        pairs = [self.pair(pair, row["published"]) for pair in compared["pairs"]]
        if not (pairs := [pair for pair in pairs if pair]):
            return []
        return [raw(f'<div class="claim-axis">{small_axis(pairs, compared["form"])}</div>')]

    def pair(self, pair: dict, published: dict) -> Pair | None:
        """Return what an entry of ``compared.yml`` names; None where this edition has not computed it."""
        try:
            ours = [result_at(self.env, address) for address in _several(pair["ours"])]
        except LookupError:
            return None
        theirs = [_at(published, path) for path in _several(pair["published"])]
        theirs, ours = _numbers(theirs), _numbers(ours)
        return Pair(str(pair.get("label", "")), theirs, ours) if ours else None


class Finding(Rows):
    """``{finding} F1 Its title`` is a finding of this book, and ``X1 …`` a negative result; its content tells it.

    The option ``cell`` names the cell with the evidence, ``notebook#cell``, and ``label`` how sure it is.
    """

    required_arguments = 2
    final_argument_whitespace = True
    has_content = True
    option_spec = {  # noqa: RUF012
        "cell": directives.unchanged_required,
        "label": lambda text: directives.choice(text, LABELS),
    }

    def run(self):
        """Return the row."""
        name, title = self.arguments
        source = tuple(self.options["cell"].split("#"))
        self.label(name, "finding")
        label = self.options["label"]
        start = opening(name, kind=KINDS[name[0]], label=label, chapter=source[0])
        head = f'<div class="claim-head"><strong class="claim-title">{html.escape(title)}</strong>'
        box = nodes.container(classes=["scorecard"])
        box += [raw(start + head), provenance(source), raw(f'<span class="standing">{label}</span></div>')]
        self.state.nested_parse(self.content, self.content_offset, box)
        box += raw("</article>")
        return [box]


def _several(entry) -> list:
    return entry if isinstance(entry, list) else [entry]


def _at(published: dict, path: str):
    """Return what a dotted path names among the published numbers of a claim, whose keys may be numbers."""
    value = published
    for key in str(path).split("."):
        value = value[int(key)] if re.fullmatch(r"\d+", key) else value[key]
    return value


def _numbers(values: list) -> list[float]:
    """Return the numbers among some values: those in lists and mappings too, and in texts such as "2·10⁻⁵ to 7%"."""
    found = []
    for value in values:
        if isinstance(value, list | dict):
            found += _numbers(list(value.values()) if isinstance(value, dict) else value)
        elif isinstance(value, str):
            ends = value.replace("−", "-").split(" to ")
            ends = [re.fullmatch(r"([-+]?[\d.]+)(?:·10([⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+))?(%?)", end) for end in ends]
            found += [
                float(f"{end[1]}e{(end[2] or '⁰').translate(PLAIN)}") / (100 if end[3] else 1) for end in ends if end
            ]
        elif isinstance(value, int | float):
            found.append(float(value))
    return found


def with_style(app, pagename, templatename, context, doctree) -> None:
    """Load style and script where there are rows."""
    if doctree is not None and any("scorecard" in box["classes"] for box in doctree.findall(nodes.container)):
        app.add_css_file(STYLE)
        app.add_js_file(SCRIPT, loading_method="defer")


def setup(app) -> dict:
    """Register the directives. Their pages are read again when any source of them has changed."""
    app.add_config_value("scorecard_sources", [digest_of(part) for part in (setup, mark, small_axis)], "env")
    app.add_directive("scorecard", Scorecard)
    app.add_directive("finding", Finding)
    app.connect("html-page-context", with_style)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
