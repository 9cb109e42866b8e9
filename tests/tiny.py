"""The real book with nothing run, and what a next build of a tree would run."""

import json
import re
import shutil
from pathlib import Path

from lab.parameters import ROOT
from workflow.small_book import RENDER, copy_code, run

# In place of executing, in a tree where only what would run matters.
EXECUTE = """\
import sys
from pathlib import Path

for folder in ("results/.left", "results/.done"):
    Path(folder).mkdir(parents=True, exist_ok=True)
    (Path(folder) / sys.argv[1]).write_text("")
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


def would_run(folder: Path) -> set[str]:
    """Return the rules that the next build would run."""
    return dry_run(folder)[0]


def dry_run(folder: Path) -> tuple[set[str], str]:
    """Return the rules that the next build would run, and all that Snakemake says about it."""
    result = run(folder, "snakemake", "--cores", "1", "--nolock", "--config", "edition=smoke", "--dry-run")
    assert result.returncode == 0, result.stdout + result.stderr
    said = result.stdout + result.stderr
    table = re.search(r"^job +count\n[- ]+\n(.*?)^total", said, re.MULTILINE | re.DOTALL)
    return {line.split()[0] for line in table[1].splitlines()} - {"all"} if table else set(), said


def edit(path: Path, old: str, new: str) -> None:
    """Replace a text, which must be there, once."""
    text = path.read_text()
    assert old in text, f"{path} has no {old!r}"
    path.write_text(text.replace(old, new, 1))
