"""``make readme``: write the scorecard's counts and the picture of the present book into README.md and beside it."""

import json
import re
import shutil
import sys
from pathlib import Path

from bea.files import write_text
from lab.claims import load_claims, scorecard, summary_table

README = Path("README.md")
BLOCK = re.compile(r"(<!-- scorecard: [^\n]*-->\n)(.*?)(<!-- end of scorecard -->)", re.DOTALL)
PICTURE = ("results/figures/12_one_layer-hero.png", "book/picture.png")


def with_counts(text: str, table: str) -> str:
    """Return the README's text with ``table`` between its two markers."""
    return BLOCK.sub(lambda match: f"{match[1]}\n{table}\n\n{match[3]}", text)


def main() -> None:
    """Refuse anything but the full book on MNIST, then write."""
    decided = json.loads(Path("results/dataset.json").read_text(encoding="utf-8"))
    if (decided["name"], decided["edition"]) != ("mnist", "full"):
        sys.exit(f"readme: expected the full book on mnist, found {decided['edition']} on {decided['name']}")
    table = summary_table(scorecard(load_claims("book/claims.yml"), "results"))
    write_text(README, with_counts(README.read_text(encoding="utf-8"), table))
    shutil.copyfile(*PICTURE)


if __name__ == "__main__":
    main()
