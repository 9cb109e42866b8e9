"""Small trees in which the workflow itself can be tried: a book of two chapters, and the real one with nothing run."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("bea", "lab", "studies", "workflow")
SPECIFICATION = {"name": "python3", "display_name": "Python 3", "language": "python"}

PARAMETERS = """\
common:
  dataset: {type: str, of: [mnist, digits], full: mnist, smoke: mnist, meaning: "images"}
  inputs: {type: str, full: ../results, smoke: ../results, meaning: "folder"}
  output: {type: str, full: ../results, smoke: ../results, meaning: "folder"}
first:
  scale: {type: float, least: 0.5, full: 2.0, smoke: 1.0, meaning: "factor of the weights"}
second:
  images: {type: int, least: 1, full: 20, smoke: 10, meaning: "images looked at"}
"""
REGISTER = """\
B1: &line
- {date: 2026-11-20, seen: false, change: First written.}
B2: *line
"""
CLAIMS = """\
- {id: B1, paper: B, place: "§1", statement: "Weights have a norm.", shown: "{norm}", data: null, chapter: first,
   rule: {function: toy.has_norm, least: 1.0}}
- {id: B2, paper: B, place: "§2", statement: "MNIST has images.", shown: "many", data: mnist, chapter: second,
   rule: {function: toy.has_norm, least: 0.5}}
"""
RULES = '''"""Rules of a made-up paper."""

from lab.rules import Outcome


def has_norm(norm, *, least):
    """Reproduced when the norm is at least {least:.1f}, contradicted otherwise."""
    return Outcome("reproduced" if norm >= least else "contradicted", f"{norm:.2f}", "exact", "It was measured.")
'''
STUDY = '''"""A made-up study, which leaves a trace of every call."""

import os
from pathlib import Path

import numpy as np
import pandas as pd


def norms(net, x, which):
    """Return one row a layer: ``layer`` and ``norm``."""
    with open(Path(os.environ["BEA_TRACE"]) / "calls", "a") as file:
        file.write(f"{which}\\n")
    rows = [[number, float(np.linalg.norm(layer.matrix))] for number, layer in enumerate(net.layers)]
    return pd.DataFrame(rows, columns=["layer", "norm"])
'''
FIRST = {
    "title": "# The first\n\n**Question.** Has it a norm?",
    "parameters": "scale = 2.0\noutput = '../results'",
    "setup": """\
import numpy as np

from bea import Dense, Network
from lab import Chapter
from lab.rules import toy

chapter = Chapter("first", globals())""",
    "train": """\
net = Network((Dense(scale * np.arange(7850.0).reshape(10, 785) / 1e4, bias=True),), (784,))
chapter.keep("toy", {"toy-0": net})
norm = np.linalg.norm(net.layers[0].matrix)
chapter.save("train", norm=norm)""",
    "verdict": "chapter.judge('verdict', 'B1', toy.has_norm, norm)",
}
SECOND = {
    "title": "# The second\n\n**Question.** And this one, with {result}`first#train.norm:.2f`?",
    "parameters": "dataset = 'mnist'\nimages = 20\ninputs = '../results'\noutput = '../results'",
    "setup": """\
import os
import signal
import time
from pathlib import Path

from lab import Chapter, figures
from lab.rules import toy
from studies import toy as study

chapter = Chapter("second", globals())
net = chapter.networks("toy")["toy-0"]
x = chapter.data.x_test[:images].astype(float)""",
    "one": "one = chapter.remember(study.norms, net, x, 'one')",
    "trap": """\
trace = Path(os.environ["BEA_TRACE"])
(trace / "kernel").write_text(str(os.getpid()))
if (trace / "trap").is_file():
    (trace / "trap").unlink()
    os.kill(os.getpid(), signal.SIGKILL)
while (trace / "wait").is_file():
    time.sleep(0.1)""",
    "two": "two = chapter.remember(study.norms, net, x, 'two')\nchapter.table('two', two, formats={'norm': '.3f'})",
    "long": "chapter.table('long', [[i, str(i)] for i in range(40)], ['number', 'text'], title='Forty rows')",
    "picture": """\
figure, axes = figures.new_figure(3.0, 2.0)
axes[0, 0].plot(two.layer, two.norm, "o")
chapter.figure("picture", figure, "One dot: the norm of the only layer.")""",
    "verdict": "chapter.judge('verdict', 'B2', toy.has_norm, two.norm.sum())",
}
INDEX = """\
# A tiny book

```{scorecard} B
```

```{scorecard}
```

```{result-figure} second#picture
One dot.
```

```{parameters}
```
"""


def write_notebook(path: Path, cells: dict[str, str]) -> None:
    """Write a notebook: id → source; the title is Markdown, ``parameters`` and ``setup`` are tagged so."""
    made = []
    for name, source in cells.items():
        new = nbformat.v4.new_markdown_cell if name == "title" else nbformat.v4.new_code_cell
        made.append(new(source, id=name, metadata={"tags": [name]} if name in ("parameters", "setup") else {}))
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(nbformat.v4.new_notebook(cells=made, metadata={"kernelspec": SPECIFICATION}), path)


def copy_code(to: Path) -> None:
    """Bring what runs to a folder."""
    unwanted = shutil.ignore_patterns("__pycache__")
    for name in PACKAGES:
        shutil.copytree(ROOT / name, to / name, ignore=unwanted)
    for name in ("Snakefile", "_config.yml", "pyproject.toml", "LICENSE", "LICENSE-text"):
        shutil.copy(ROOT / name, to / name)
    (to / "book").mkdir()
    shutil.copytree(ROOT / "book" / "_ext", to / "book" / "_ext", ignore=unwanted)


def tiny_tree(to: Path) -> Path:
    """Write a book of two chapters, of which the second reads a network of the first."""
    copy_code(to)
    shutil.copytree(ROOT / "book" / "_static", to / "book" / "_static")
    for name, text in {
        "params.yml": PARAMETERS,
        "book/claims.yml": CLAIMS,
        "book/published.yml": "B1: {norm: 3}\n",
        "book/compared.yml": "B1: {form: .1f, pairs: [{published: norm, ours: first#train.norm}]}\n",
        "book/register.yml": REGISTER,
        "book/references.bib": "",
        "book/index.md": INDEX,
        "_toc.yml": "format: jb-book\nroot: book/index\nchapters:\n- file: results/first\n- file: results/second\n",
        "lab/rules/toy.py": RULES,
        "studies/toy.py": STUDY,
    }.items():
        (to / name).write_text(text)
    write_notebook(to / "notebooks" / "first.ipynb", FIRST)
    write_notebook(to / "notebooks" / "second.ipynb", SECOND)
    (to / "trace").mkdir()
    return to


# In place of executing and rendering, in a tree where only what would run matters.
EXECUTE = """\
import sys
from pathlib import Path

record = Path("results/.done") / sys.argv[1]
record.parent.mkdir(parents=True, exist_ok=True)
record.write_text("")
"""
RENDER = """\
import re
from pathlib import Path

for page in ["index", *re.findall(r"(?:root|file): (\\S+)", Path("_toc.yml").read_text())]:
    path = Path("_build/html") / f"{page}.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("")
"""


def imagined_tree(to: Path) -> Path:
    """Write the real book as if all of it had just been made."""
    copy_code(to)
    for name in ("notebooks", "book/_static"):
        shutil.copytree(ROOT / name, to / name)
    for path in [*ROOT.glob("book/*.*"), ROOT / "params.yml", ROOT / "_toc.yml"]:
        if path.is_file():
            shutil.copy(path, to / path.relative_to(ROOT))
    (to / "workflow" / "execute.py").write_text(EXECUTE)
    (to / "workflow" / "render.py").write_text(RENDER)
    (to / "results").mkdir()
    (to / "results" / "dataset.json").write_text(json.dumps({"name": "mnist", "edition": "smoke"}))
    result = run(to, "snakemake", "--cores", "2", "--quiet", "--nolock", "--config", "edition=smoke")
    assert result.returncode == 0, result.stdout + result.stderr
    return to


def environment(folder: Path, **variables: str) -> dict[str, str]:
    """Return what a process in a tree needs: its own modules, its own memory, a place for traces."""
    own = {
        "PYTHONPATH": str(folder),
        "BEA_REMEMBERED": str(folder / "_build" / "remembered"),
        "BEA_TRACE": str(folder / "trace"),
        "BEA_EDITION": "smoke",
    }
    return os.environ | own | variables


def run(folder: Path, *command: str, **variables: str) -> subprocess.CompletedProcess:
    """Run ``python -m command`` in a tree."""
    return subprocess.run(
        [sys.executable, "-m", *command],
        cwd=folder,
        env=environment(folder, **variables),
        capture_output=True,
        text=True,
        check=False,
    )


def would_run(folder: Path) -> set[str]:
    """Return the rules that the next build would run."""
    result = run(folder, "snakemake", "--cores", "1", "--nolock", "--config", "edition=smoke", "--dry-run")
    assert result.returncode == 0, result.stdout + result.stderr
    table = re.search(r"^job +count\n[- ]+\n(.*?)^total", result.stdout + result.stderr, re.MULTILINE | re.DOTALL)
    return {line.split()[0] for line in table[1].splitlines()} - {"all"} if table else set()


def edit(path: Path, old: str, new: str) -> None:
    """Replace a text, which must be there, once."""
    text = path.read_text()
    assert old in text, f"{path} has no {old!r}"
    path.write_text(text.replace(old, new, 1))
