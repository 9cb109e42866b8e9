"""Editions other than ``full`` are made in a copy of the tree, with results and pages of their own."""

import filecmp
import os
import shutil
import subprocess
import sys
from pathlib import Path

EDITION = "BEA_EDITION"  # in the environment of what runs in the copy


def folder(edition: str) -> Path:
    """Return where an edition is made: the tree itself for ``full``."""
    return Path() if edition == "full" else Path("_build") / "editions" / edition


def needs_copy(edition: str) -> bool:
    """Whether an edition is to be made in a folder other than the present one."""
    return edition != "full" and os.environ.get(EDITION) != edition


def run_in(edition: str, module: str, *arguments: str) -> int:
    """Run ``python -m module`` in the folder of an edition, brought up to date, and return its exit status.

    What studies found is shared with the tree: the memory knows from what it was computed.
    """
    to = folder(edition)
    copy_tree(to)
    remembered = os.environ.get("BEA_REMEMBERED") or str(Path("_build/remembered").resolve())
    environment = os.environ | {EDITION: edition, "BEA_REMEMBERED": remembered}
    environment.pop("PYTHONPATH", None)  # the modules of the copy, not ours
    with subprocess.Popen([sys.executable, "-m", module, *arguments], cwd=to, env=environment) as process:
        try:
            return process.wait()
        except KeyboardInterrupt:
            process.terminate()
            return process.wait()


def copy_tree(to: Path) -> None:
    """Bring the files of the tree that git does not ignore to ``to``, and remove others that were there before."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    wanted = {name for name in listed if Path(name).is_file()}
    for name in sorted(wanted):
        source, target = Path(name), to / name
        if not target.is_file() or not filecmp.cmp(source, target, shallow=False):
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
    kept = {"results", "_build", ".snakemake"}
    for path in [path for path in to.rglob("*") if path.is_file()]:
        name = path.relative_to(to)
        if name.parts[0] not in kept and name.as_posix() not in wanted:
            path.unlink()
