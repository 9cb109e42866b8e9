"""``make soak``, its last part: a million attacks on images that stay on the disk, and many small jobs of one sweep.

Both networks that the first chapters train, of one layer and of two, are attacked on a quarter, a half and all of the
images by ``workflow.shards`` in one piece, and on all of them in shares; the numbers have to be the same, bit for bit.
A sweep of attacks on a one-layer network is made by a process a call and by a process for ten, and with ``--queues``
through other profiles. Time is that of the processor, so that what else a machine does is not counted. All is written
to ``book/status.json``, with its date.
"""

import argparse
import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import yaml

from lab import datasets
from lab.parameters import ROOT
from workflow.editions import copy_tree
from workflow.faults import keep
from workflow.plan import commit, resolve_data_folder
from workflow.shards import BLOCK, COLUMNS

NETWORKS = ("one_layer-0", "tanh-0")
PARTS, SHARES = (4, 2, 1), 4  # of the images: a quarter, a half, all; in how many shares
GROUPED = 10  # calls in one process
SIZES = {"separate": 1, "grouped": GROUPED}
# Between us and what is measured, as the memory of a process begins with the largest of who started it, here images.
MEASURE = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:]).returncode
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(used.ru_utime + used.ru_stime, used.ru_maxrss)
sys.exit(code)
"""
STUDY = '''"""Attacks on untrained one-layer networks: hardly any work."""

import numpy as np
import pandas as pd

from bea import Dense, Flatten, Network, attack


def norms(data, *, seed):
    """Return the median norm of some attacks, as ``norm``."""
    matrix = np.random.default_rng(seed).normal(size=(10, 785))
    found = attack(Network((Flatten(), Dense(matrix, True)), (28, 28)), data.x_test[:20], np.full(20, 3))
    return pd.DataFrame({"norm": [np.median(np.sqrt(found.objective))]})
'''


def measured(command: list[str], folder: Path, environment=None) -> tuple[float, float]:
    """Run a Python module; return its processor seconds and largest memory (MB), of all that it started too.

    Raises
    ------
    RuntimeError
        If it fails, with the end of what it said.
    """
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, sys.executable, "-m", *command],
        cwd=folder, env=os.environ | (environment or {}), capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        said = " ".join((done.stdout + done.stderr).split())[-500:]
        raise RuntimeError(f"{' '.join(command)}: expected exit status 0, received {done.returncode}: {said}")
    seconds, memory = done.stdout.splitlines()[-1].split()
    return float(seconds), float(memory) / 1024


def write_images(path: Path, images: np.ndarray, n: int, seed: int = 0) -> None:
    """Write n images of bytes, those given again and again, no two alike as a little noise is laid upon each."""
    made = np.lib.format.open_memmap(path, "w+", dtype=np.uint8, shape=(n, *images.shape[1:]))
    for number, start in enumerate(range(0, n, BLOCK)):
        block = images[np.arange(start, min(start + BLOCK, n)) % len(images)]
        noise = np.random.default_rng([seed, number]).integers(0, 16, block.shape, dtype=np.uint8)
        made[start : start + len(block)] = np.minimum(block, 255 - noise) + noise
    made.flush()


def attacks(model: Path, images: np.ndarray, n: int, folder: Path) -> dict:
    """Attack n images in one piece and in shares; return what it took, and whether the numbers are the same.

    Returns
    -------
    dict
        ``sizes``: images, processor seconds and largest memory (MB) of every run in one piece; ``shares``: how many;
        ``identical``: whether the numbers of all columns are, bit for bit; ``success``: share of attacks that succeed.
    """
    asked, sizes = ["--divide", "255", "--target", "3"], []
    for part in PARTS:
        file = folder / f"images-{n // part}.npy"
        write_images(file, images, n // part)
        command = ["workflow.shards", str(model), str(file), *asked, "--to", str(folder / f"whole-{part}")]
        sizes.append([n // part, *(round(number, 1) for number in measured(command, folder))])
        if part > 1:
            file.unlink()
    command[-1] = str(folder / "shared")
    for share in range(SHARES):
        measured([*command, "--share", f"{share + 1}/{SHARES}"], folder)
    measured([*command, "--gather"], folder)
    pairs = [[(folder / run / f"{name}.npy").read_bytes() for run in ("whole-1", "shared")] for name in COLUMNS]
    success = float(np.load(folder / "shared" / "success.npy").mean())
    identical = all(whole == shared for whole, shared in pairs)
    return {"sizes": sizes, "shares": SHARES, "identical": identical, "success": success}


def write_sweeps(number: int, folder: Path) -> None:
    """Make a copy of the tree with two sweeps of many short calls: each a job, ``separate``, and ``grouped``."""
    copy_tree(folder)
    (folder / "studies" / "short.py").write_text(STUDY, encoding="utf-8")
    sweep = {
        "title": "Short jobs",
        "study": "short.norms",
        "dataset": "mnist",
        "lists": {"seed": list(range(number))},
        "needs": {"cores": 1, "memory": 1000, "minutes": 5},
        "figure": {"x": "seed", "y": "norm"},
    }
    written = {name: sweep | {"a_process": calls} for name, calls in SIZES.items()}
    (folder / "sweeps.yml").write_text(yaml.safe_dump(written), encoding="utf-8")


def swept(name: str, profile: str, folder: Path) -> tuple[bytes, float]:
    """Make a sweep of the copy through a profile, from nothing; return its table and the processor seconds."""
    made = folder / "_build" / "sweeps" / f"{name}-full"
    shutil.rmtree(made, ignore_errors=True)
    path = os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH"))))
    seconds, _ = measured(["workflow.sweep", name, "--profile", profile], folder, {"PYTHONPATH": path})
    return (made / "table.csv").read_bytes(), seconds


def jobs(number: int, folder: Path) -> dict:
    """Make a sweep of many short calls, each a job and then in groups, on this machine.

    Returns
    -------
    dict
        ``calls``; ``separate`` and ``grouped``: jobs, and processor seconds a call, of which the study needs next to
        nothing; ``identical``: whether both made the same table.
    """
    write_sweeps(number, folder)
    found, tables = {"calls": number}, set()
    for name, calls in SIZES.items():
        table, seconds = swept(name, "local", folder)
        found[name] = [-(-number // calls), round(seconds / number, 2)]
        tables.add(table)
    return found | {"identical": len(tables) == 1}


def queues(number: int, folder: Path, profiles) -> dict:
    """Make the same sweep in groups, on this machine and through other ``profiles``.

    Returns
    -------
    dict
        ``calls``, ``jobs``, ``profiles``, and ``identical``: whether all made the same table.
    """
    write_sweeps(number, folder)
    tables = {swept("grouped", profile, folder)[0] for profile in ("local", *profiles)}
    found = {"calls": number, "jobs": -(-number // GROUPED), "profiles": list(profiles)}
    return found | {"identical": len(tables) == 1}


def main() -> None:
    """Measure, and write down what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1_000_000, help="attacked; 0 for none")
    parser.add_argument("--jobs", type=int, default=150, help="calls of the sweep; 0 for none")
    parser.add_argument(
        "--queues", nargs="*", default=[], help="profiles that make the sweep, too, in place of all else"
    )
    parser.add_argument("--networks", type=Path, default=ROOT / "results" / "networks", help="folder of trained ones")
    parser.add_argument("--folder", type=Path, help="where to work; a million images take 2 GB")
    arguments = parser.parse_args()
    resolve_data_folder()
    now = {"date": datetime.now(UTC).date().isoformat(), "commit": commit()}
    if arguments.queues:
        with TemporaryDirectory(dir=arguments.folder) as folder:
            keep("queues", None, now | queues(arguments.jobs, Path(folder), arguments.queues))
        return
    if arguments.images:
        images = np.round(datasets.load("mnist").x_test * 255).astype(np.uint8)
        for name in NETWORKS:
            with TemporaryDirectory(dir=arguments.folder) as folder:
                found = attacks(arguments.networks.resolve() / f"{name}.npz", images, arguments.images, Path(folder))
            keep("attacks", name, now | found)
    if arguments.jobs:
        with TemporaryDirectory(dir=arguments.folder) as folder:
            keep("jobs", None, now | jobs(arguments.jobs, Path(folder)))


if __name__ == "__main__":
    main()
