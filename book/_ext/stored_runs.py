"""Runs that are too long for the book, stored with their date: ``{sweep} name``, ``{faults}`` and ``{scale}``."""

import json
from pathlib import Path

from companion import FromMarkdown
from docutils import nodes
from sphinx.errors import ExtensionError

from lab.sources import digest_of
from lab.wording import literal, signed

FOLDER = "book/sweeps"
COUNTED = {  # word of the status → what it counts
    "kernel": "killed: the kernel of a chapter",
    "training": "killed: a training, kernel and driver",
    "workflow": "killed: Snakemake and who began it",
    "group": "killed: all processes",
    "over": "over before anybody was killed",
    "finished": "finished by the same command, and compared",
    "lost": "**results lost or changed**",
    "repeated": "**studies computed again**",
    "refused": "**builds that did not finish**",
    "twice": "chapters run again, their studies remembered",
}


class Stored(FromMarkdown):
    """``{sweep} name``: figure, medians with intervals, table to take along, and when it was computed."""

    required_arguments = 1

    def run(self):
        """Return all of it."""
        name = self.arguments[0]
        folder = Path(self.env.srcdir) / FOLDER / name
        paths = {file: folder / file for file in ("summary.json", "figure.svg", "table.csv", "table.parquet")}
        for path in paths.values():
            if not path.is_file():
                raise ExtensionError(f"sweep {name}: no {path.name} in {folder}; run make sweep NAME={name} KEEP=yes")
            self.env.note_dependency(str(path))
        summary = json.loads(paths["summary.json"].read_text(encoding="utf-8"))
        picture = paths["figure.svg"].read_text(encoding="utf-8")
        box = nodes.container(classes=["bea-figure-box", "stored-run"])
        box += nodes.raw("", f'<figure class="bea-figure">{picture}</figure>', format="html")
        return [box, *self.parse(self.text(name, summary))]

    @staticmethod
    def text(name: str, summary: dict) -> str:
        """Return what stands below the figure."""
        form, x = summary["form"], literal(str(summary["x"]))
        rows = [
            f"| {literal(str(value))} | {' | '.join(signed(format(number, form)) for number in numbers)} |"
            for value, *numbers in summary["levels"]
        ]
        said = (
            f"{summary['points']} points, {summary['seconds']} s in {summary['processes']} processes on "
            f"{literal(str(summary['dataset']))}, computed on **{summary['date']}** at commit "
            f"{literal(summary['commit'])} (edition {summary['edition']}). This is stored and not computed again with "
            f"the book; `make sweep NAME={name}` does that."
        )
        files = ", ".join(f"{{download}}`{kind} <sweeps/{name}/table.{kind.lower()}>`" for kind in ("CSV", "Parquet"))
        head = f"| {x} | 5% | median | 95% |\n|---|---|---|---|"
        return "\n".join([head, *rows, "", f"{said} {files}"])


class Faults(FromMarkdown):
    """``{faults}``: what came of builds that were killed or suffered something, and of loaders with damaged files."""

    def run(self):
        """Return three tables."""
        path = Path(self.env.srcdir) / "book" / "status.json"
        self.env.note_dependency(str(path))
        return self.parse(self.text(json.loads(path.read_text(encoding="utf-8"))), "settings")

    @staticmethod
    def text(status: dict) -> str:
        """Return them in Markdown."""
        kills, number = status["kills"], "{:,}".format
        lines = [f"| | {' | '.join(f'{name} compared' for name in kills)} |", f"|---|{'---|' * len(kills)}"]
        for word, said in COUNTED.items():
            lines.append(f"| {said} | {' | '.join(number(entry['found'].get(word, 0)) for entry in kills.values())} |")
        lines.append(f"| date, commit | {' | '.join(map(_when, kills.values()))} |")
        lines += ["", "| what happened | what the build said | afterwards | date, commit |", "|---|---|---|---|"]
        for name, entry in status["faults"].items():
            found = entry["found"]
            wrong = [f"{said}: {found[word]}" for word, said in COUNTED.items() if found.get(word)]
            after = (
                f"not tried: {literal(found['not tried'])}" if "not tried" in found else "; ".join(wrong) or "finished"
            )
            lines.append(f"| {name} | {literal(found.get('said', 'nothing'))} | {after} | {_when(entry)} |")
        lines += ["", "| loader | files | read | refused | failed | slowest | date |", "|---|---|---|---|---|---|---|"]
        for name, entry in sorted(status["loaders"].items()):
            found = entry["found"]
            failed = sum(count for word, count in found.items() if word.startswith("failed"))
            numbers = map(number, (entry["number"], found.get("read", 0), found.get("refused", 0), failed))
            lines.append(f"| {literal(name)} | {' | '.join(numbers)} | {found['slowest']} s | {entry['date']} |")
        return "\n".join(lines)


def _when(entry: dict) -> str:
    return f"{entry['date']}, {literal(entry['commit'])}"


class Scale(FromMarkdown):
    """``{scale}``: a million ``attacks``, ``jobs`` of a sweep, those in ``queues``, a book built ``twice``."""

    required_arguments = 1

    def run(self):
        """Return a table and when it was measured."""
        path = Path(self.env.srcdir) / "book" / "status.json"
        self.env.note_dependency(str(path))
        status = json.loads(path.read_text(encoding="utf-8"))
        return self.parse(getattr(self, self.arguments[0])(status[self.arguments[0]]), "settings")

    @staticmethod
    def attacks(found: dict) -> str:
        """Return a row for every network and number of images."""
        lines = ["| network | images | seconds | per million | memory | shares | succeeded |", "|---" * 7 + "|"]
        for name, entry in found.items():
            alike = f"{entry['shares']}: {'same' if entry['identical'] else 'other'} bits"
            for images, seconds, memory in entry["sizes"]:
                shares = alike if images == entry["sizes"][-1][0] else ""
                numbers = f"{images:,} | {seconds:.0f} | {seconds / images * 1e6:.0f} | {memory:.0f} MB | {shares}"
                lines.append(f"| {literal(name)} | {numbers} | {entry['success']:.0%} |")
        return "\n".join([*lines, "", *dict.fromkeys(map(Scale.measured, found.values()))])

    @staticmethod
    def jobs(found: dict) -> str:
        """Return a row for separate calls and one for calls in groups."""
        lines = ["| calls | jobs | seconds a call |", "|---|---|---|"]
        for word in ("separate", "grouped"):
            count, seconds = found[word]
            lines.append(f"| {found['calls']}, {word} | {count} | {seconds:.2f} |")
        alike = "the same table, bit for bit" if found["identical"] else "other tables"
        return "\n".join([*lines, "", f"Both made {alike}. {Scale.measured(found)}"])

    @staticmethod
    def queues(found: dict) -> str:
        """Return through which queues the same table came."""
        alike = "the table of this machine, bit for bit" if found["identical"] else "other tables than this machine"
        through = " and ".join(map(literal, found["profiles"]))
        return f"{found['calls']} calls in {found['jobs']} jobs, through {through}: {alike} ({_when(found)})."

    @staticmethod
    def twice(found: dict) -> str:
        """Return what two builds of each edition have in common, a paragraph an edition."""
        said = []
        for edition, entry in found.items():
            first, again = (", ".join(map(literal, commits)) for commits in entry["commits"])
            others = [f"{literal(chapter)} ({count})" for chapter, count in entry.get("others", {}).items()]
            said.append(
                f"Edition {edition}, built at commit {first} and again at {again}, compared on {entry['date']} at "
                f"commit {literal(entry['commit'])}: {entry['same']} of {entry['files']} files of its results are the "
                f"same to the last bit. Verdicts that differ: {entry['verdicts']}."
                + (f" The other files are those of {', '.join(others)}." if others else "")
            )
        said.append("The edition of `make test` is compiled with fewer optimisations and has other last digits.")
        return "\n\n".join(said)

    @staticmethod
    def measured(entry: dict) -> str:
        """Return when it was."""
        return f"Measured on {entry['date']} at commit {literal(entry['commit'])}, in seconds of one processor."


def setup(app) -> dict:
    """Register the directives."""
    app.add_config_value("stored_runs_sources", digest_of(setup), "env")
    app.add_directive("sweep", Stored)
    app.add_directive("faults", Faults)
    app.add_directive("scale", Scale)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
