"""A small book of two chapters, in which the workflow itself can be tried: by `make soak` and by tests."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat

from lab.parameters import ROOT

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
STUDY = '''"""A made-up study, which leaves a trace of every call, and takes as long as ``BEA_PACE`` says."""

import os
import time
from pathlib import Path

import numpy as np
import pandas as pd


def norms(net, x, which):
    """Return one row a layer: ``layer`` and ``norm``."""
    with open(Path(os.environ["BEA_TRACE"]) / "calls", "a") as file:
        file.write(f"{which}\\n")
    time.sleep(float(os.environ.get("BEA_PACE", 0)))
    rows = [[number, float(np.linalg.norm(layer.matrix))] for number, layer in enumerate(net.layers)]
    return pd.DataFrame(rows, columns=["layer", "norm"])
'''
TRAINING = '''"""A made-up training, which leaves a trace of every call, and takes as long as ``BEA_PACE`` says."""

import os
import time
from pathlib import Path

import numpy as np

from bea import Dense, Network

EPOCHS = 10


def learn(*, seed, scale):
    """Return a network of one layer after some epochs of logistic regression on made-up images."""
    with open(Path(os.environ["BEA_TRACE"]) / "calls", "a") as file:
        file.write(f"learn-{seed}\\n")
    rng = np.random.default_rng(seed)
    x, wanted = rng.uniform(size=(100, 785)), np.eye(10)[rng.integers(10, size=100)]
    weights = np.zeros((10, 785))
    for _ in range(EPOCHS):
        time.sleep(float(os.environ.get("BEA_PACE", 0)) / EPOCHS)
        logits = x @ weights.T
        likely = np.exp(logits - logits.max(axis=1, keepdims=True))
        weights -= 0.01 * scale * (likely / likely.sum(axis=1, keepdims=True) - wanted).T @ x
    return Network((Dense(weights, bias=True),), (784,))
'''
TRAININGS = 2  # of the first chapter
FIRST = {
    "title": "# The first\n\n**Question.** Has it a norm?",
    "parameters": "scale = 2.0\noutput = '../results'",
    "setup": """\
import numpy as np

from bea import Dense, Network
from lab import Chapter
from lab.rules import toy
from studies import training

chapter = Chapter("first", globals())""",
    "learn": f"""\
learnt = chapter.remember_each("learnt", training.learn, {list(range(TRAININGS))}, scale=scale)
chapter.keep("learnt", learnt)""",
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


def small_book(to: Path) -> Path:
    """Write a book of two chapters: the first trains two networks and keeps a third, which the second reads."""
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
        "studies/training.py": TRAINING,
    }.items():
        (to / name).write_text(text)
    write_notebook(to / "notebooks" / "first.ipynb", FIRST)
    write_notebook(to / "notebooks" / "second.ipynb", SECOND)
    (to / "trace").mkdir()
    return to


# In place of rendering, where only what runs matters.
RENDER = """\
import re
from pathlib import Path

for page in ["index", *re.findall(r"(?:root|file): (\\S+)", Path("_toc.yml").read_text())]:
    path = Path("_build/html") / f"{page}.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("")
"""


def environment(folder: Path, **variables: str) -> dict[str, str]:
    """Return what a process in a tree needs: its own modules, its own memory, a place for traces.

    It is no part of the repository that it may lie in: the commit in its results is "unknown", whatever changes there.
    """
    own = {
        "GIT_CEILING_DIRECTORIES": str(folder.resolve().parent),
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
