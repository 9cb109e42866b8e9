"""One chapter to take along: a zip with its notebook, its parameters and the sources that it runs with.

What it reads from other chapters, networks or numbers, is not in the zip but is made by running them, so their
notebooks are there too.
"""

import zipfile
from pathlib import Path

from lab.sources import files_reached
from workflow.dependencies import all_needs

TEXTS = ("params.yml", "pyproject.toml", "LICENSE", "LICENSE-text", "book/claims.yml", "book/published.yml")
WORKFLOW = tuple(
    f"workflow/{name}.py" for name in ("__init__", "brought", "dataset", "dependencies", "execute", "kernels", "plan")
)
MOMENT = (1980, 1, 1, 0, 0, 0)  # of every file, so that the same sources give the same zip


def chain(name: str, needs: dict) -> list[str]:
    """Return the chapters that have to run before a chapter, in an order in which they can."""
    before = []
    for other in needs[name].chapters:
        before += [one for one in [*chain(other, needs), other] if one not in before]
    return before


def files_of(name: str, needs: dict, root: Path) -> list[str]:
    """Return the files of the tree that a chapter runs with, in alphabetical order."""
    chapters = [*chain(name, needs), name]
    found = {f"notebooks/{chapter}.ipynb" for chapter in chapters} | {*TEXTS, *WORKFLOW}
    found |= {file for chapter in chapters for file in needs[chapter].files}
    for file in WORKFLOW:
        code = (root / file).read_text(encoding="utf-8")
        found |= {path.relative_to(root).as_posix() for path in files_reached(code, root)}
    return sorted(found)


def readme(name: str, before: list[str]) -> str:
    """Return the few lines that say how to run the chapter."""
    runs = "; ".join(f"`python -m workflow.execute {other}`" for other in before)
    first = f"First make what it reads, once: {runs}." if before else "It reads nothing of other chapters."
    return (
        f"# {name}\n"
        '1. With Python 3.11 or newer, here: `pip install -e ".[book]" jupyterlab` (in an environment of its own).\n'
        "2. Images: MNIST is downloaded by Keras; or set `BEA_DATA` to the whole path of a folder with `mnist.npz`.\n"
        f"3. {first}\n"
        f"4. `cd notebooks`, then `jupyter lab {name}.ipynb`; `params.yml` explains its parameters.\n"
        f"5. Or all in one go, results into `results`: `python -m workflow.execute {name}`.\n"
    )


def write(name: str, to: Path, root: Path, needs: dict | None = None) -> Path:
    """Write the zip of a chapter, with everything in a folder of its name, and return where it is.

    Parameters
    ----------
    name : str
    to : Path
    root : Path
        Of the tree.
    needs : dict, optional
        What ``all_needs(root)`` returns, where it is known already.
    """
    needs = needs or all_needs(root)
    files = files_of(name, needs, root)
    content = {file: (root / file).read_bytes() for file in files}
    content["README.md"] = readme(name, chain(name, needs)).encode()
    with zipfile.ZipFile(to, "w") as archive:
        for file, data in sorted(content.items()):
            info = zipfile.ZipInfo(f"{name}/{file}", MOMENT)
            archive.writestr(info, data, zipfile.ZIP_DEFLATED)
    return to
