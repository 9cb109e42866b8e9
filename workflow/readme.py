"""``make readme``: write the counts of the present book into README.md, and draw the moving picture beside it."""

import json
import re
import sys
from pathlib import Path

from matplotlib.animation import FuncAnimation, PillowWriter

from bea.files import write_text
from bea.networks.network import Network
from lab import figures
from lab.attempts import first_right
from lab.claims import load_claims, scorecard, summary_table
from lab.datasets import load
from lab.trained import names_of
from studies.one_layer import image_changes

README = Path("README.md")
BLOCK = re.compile(r"(<!-- scorecard: [^\n]*-->\n)(.*?)(<!-- end of scorecard -->)", re.DOTALL)
PICTURE = Path("book/picture.gif")


def with_counts(text: str, table: str) -> str:
    """Return the README's text with ``table`` between its two markers."""
    return BLOCK.sub(lambda match: f"{match[1]}\n{table}\n\n{match[3]}", text)


def moving_picture(results: Path, path: Path, digit: int = 7, margin: float = 1e-3) -> None:
    """Draw one image and its smallest changes after which the first one-layer network sees every other class."""
    name = names_of(results, "one_layer")[0]
    net, data = Network.load(results / "networks" / f"{name}.npz"), load("mnist")
    image = data.x_test[first_right({name: net}, data.x_test, data.y_test, [digit])[0]]
    found = image_changes(net, results / "networks" / f"{name}.keras", image, digit, margin)
    figure, (axes,) = figures.new_figure(6.4, 2.5, columns=3)

    def draw(k: int) -> None:
        titles = f"it sees {digit}", f"change: {found.norms[k]:.0%}", f"now it sees {found.label[k]}"
        for ax, shown, title in zip(axes, (image, found.changes[k], found.images[k]), titles, strict=True):
            ax.clear()
            figures.show_image(ax, shown, title, change=ax is axes[1], size=15)

    paper = {"facecolor": "white", "transparent": False}  # frames would show through each other
    FuncAnimation(figure, draw, frames=len(found.norms)).save(path, PillowWriter(fps=0.8), dpi=80, savefig_kwargs=paper)


def main() -> None:
    """Refuse anything but the full book on MNIST, then write."""
    decided = json.loads(Path("results/dataset.json").read_text(encoding="utf-8"))
    if (decided["name"], decided["edition"]) != ("mnist", "full"):
        sys.exit(f"readme: expected the full book on mnist, found {decided['edition']} on {decided['name']}")
    table = summary_table(scorecard(load_claims("book/claims.yml"), "results"))
    write_text(README, with_counts(README.read_text(encoding="utf-8"), table))
    moving_picture(Path("results"), PICTURE)


if __name__ == "__main__":
    main()
