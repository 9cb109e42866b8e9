"""The scorecard: every claim of the papers with its verdict, and how many claims stand how."""

from pathlib import Path

from companion import PIPE, FromMarkdown, read_results, results_folder

from lab.claims import load_claims, scorecard, shown, summary_table
from lab.parameters import ROOT
from lab.register import changed_in_view, history, load_register
from lab.rules import explained
from lab.sources import digest_of


class Scorecard(FromMarkdown):
    """``{scorecard} B`` lists the claims of one paper; without an argument, it counts the verdicts."""

    optional_arguments = 1

    def rows(self) -> list[dict]:
        """Return the rows of the scorecard."""
        for path in sorted(results_folder(self.env).glob("*.json")):
            self.env.note_dependency(str(path))
        claims = Path(self.env.srcdir) / "book" / "claims.yml"
        rules = sorted((ROOT / "lab" / "rules").glob("*.py"))
        for path in (claims, *(claims.with_name(f"{name}.yml") for name in ("published", "register")), *rules):
            self.env.note_dependency(str(path))
        return scorecard(load_claims(claims), results_folder(self.env))

    def run(self):
        """Return the table."""
        rows = self.rows()
        if not self.arguments:
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
        paper, register = self.arguments[0], load_register()
        lines = ["| claim | published | ours | verdict |", "|---|---|---|---|"]
        for row in rows:
            if row["paper"] != paper:
                continue
            link = ""
            if row["notebook"]:
                link = f" [{row['notebook']}, cell {row['cell']}](cell-{row['notebook']}-{row['cell']})"
            ours = (row["ours"] or "–") + (f" ({row['label']})" if row["label"] else "")
            because = f" {row['because']}" if row["because"] else ""
            judged = explained(row) if "rule" in row else row["judged"].strip()  # a claim that nobody has examined
            told = (judged + history(register[row["id"]])).replace("|", PIPE)
            criterion = f"<details><summary>How it is judged</summary>{told}</details>"
            claim = f"**{row['id']}** {row['place']}. {row['statement'].strip()} {criterion}"
            lines.append(f"| {claim} | {shown(row)} | {ours} | **{row['standing']}**.{because}{link} |")
        return self.parse("\n".join(lines), "scorecard")


def setup(app) -> dict:
    """Register the directive. Its pages are read again when any source of it has changed."""
    app.add_config_value("scorecard_sources", digest_of(setup), "env")
    app.add_directive("scorecard", Scorecard)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
