"""The claims of the papers, their verdicts, and the scorecard."""

import json
from collections import Counter
from pathlib import Path

from tabulate import tabulate

from lab.parameters import parse

REPRODUCED, CORRECTED, CONTRADICTED, UNDECIDED, OPEN = VERDICTS = (
    "reproduced",
    "reproduced with a correction",
    "contradicted",
    "cannot be decided",
    "not yet examined",
)
BY_DEFINITION = "holds by definition"  # how a claim stands that is marked so in the file and was reproduced
STANDINGS = (REPRODUCED, BY_DEFINITION, *VERDICTS[1:])  # what is shown and counted
LABELS = ("exact", "linearised", "locally optimal", "sampled")


def load_claims(path) -> dict[str, dict]:
    """Return the claims of the papers by their id, in the order of the file, with the numbers of ``published.yml``.

    Raises
    ------
    ValueError
        Naming the file, for one that is not what it should be.
    """
    paths = Path(path), Path(path).with_name("published.yml")
    entries, published = (parse(file.read_text(encoding="utf-8"), file.name) for file in paths)
    if not isinstance(published, dict):
        raise ValueError(f"published.yml: expected claims by their ids, received {type(published).__name__}")
    if not isinstance(entries, list) or not all(isinstance(e, dict) and isinstance(e.get("id"), str) for e in entries):
        raise ValueError(f"{Path(path).name}: expected a list of claims, each with an id")
    if len({entry["id"] for entry in entries}) < len(entries):
        raise ValueError(f"{Path(path).name}: expected every id once")
    return {entry["id"]: entry | {"published": published.get(entry["id"], {})} for entry in entries}


def shown(claim: dict) -> str:
    """Return the published numbers of a claim as the short text its entry asks for."""
    return claim["shown"].format(**claim["published"])


def standing(claim: dict, verdict: str) -> str:
    """Return how a verdict is shown and counted: apart where the claim is a definition or a textbook identity.

    No experiment could speak against such a claim; what was computed checks the programs of this book.
    """
    return BY_DEFINITION if claim.get("by_definition") and verdict == REPRODUCED else verdict


def scorecard(claims: dict[str, dict], folder) -> list[dict]:
    """Return every claim with its verdict, from the result files of all notebooks in ``folder``.

    Each row is the claim's entry with ``verdict``, ``ours``, ``label``, ``because``, ``notebook``, ``cell`` and
    ``standing`` added; the verdict is "not yet examined" and the others are None for a claim that nobody has judged.
    """
    judged = {}
    for path in sorted(Path(folder).glob("*.json")):
        content = json.loads(path.read_text(encoding="utf-8"))
        for claim, entry in content.get("claims", {}).items():
            if claim in judged:
                raise ValueError(
                    f"{claim}: expected one verdict, received two, from {judged[claim]['notebook']} and {path.stem}"
                )
            judged[claim] = entry | {"notebook": content["notebook"]}
    nothing = dict.fromkeys(("ours", "label", "because", "notebook", "cell")) | {"verdict": OPEN}
    rows = [entry | nothing | judged.get(claim, {}) for claim, entry in claims.items()]
    return [row | {"standing": standing(row, row["verdict"])} for row in rows]


def summary(rows: list[dict]) -> dict[str, dict[str, int]]:
    """Return how many claims stand how: standing → paper → count, the papers' sum under "all"."""
    papers = list(dict.fromkeys(row["paper"] for row in rows))
    counts = Counter((row["standing"], row["paper"]) for row in rows)
    table = {name: {paper: counts[name, paper] for paper in papers} for name in STANDINGS}
    return {name: row | {"all": sum(row.values())} for name, row in table.items()}


def summary_table(rows: list[dict]) -> str:
    """Return the summary as a Markdown table."""
    counts = summary(rows)
    totals = {paper: sum(row[paper] for row in counts.values()) for paper in counts[OPEN]}
    body = [[verdict, *row.values()] for verdict, row in counts.items()]
    return tabulate([*body, ["claims", *totals.values()]], ["verdict", *totals], tablefmt="github")
