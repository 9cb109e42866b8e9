"""The attack by backward error beside the state of the art: the shortest change of the input, image by image.

``make benchmarks`` runs it, in an environment of its own, on the networks of the last ``make book``. It writes into
``lab/peers``: a table of lengths for each of three problems (``range``: any class but the label, pixels in
their range; ``targets``: each of nine targets, likewise; ``free``: any class, no range, and what is proved to be
needed); ``runs.csv`` with passes and processor time of every attack; ``about.json`` with versions, date and machine.

A success is the word of our network in double precision on the changed image; a failure is infinitely long. A pass is
one image once forward or once backward; of our attack, one row of its linearisation through the last layer counts as a
backward pass of its own, so that a linearisation of ten classes costs eleven passes. Times are of one core.
"""

import argparse
import json
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import repeat
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from bea import Dense, Network
from bea.attacks import backward_error_attack, lbfgs_attack, newton_attack, smallest_epsilon, smallest_pgd
from bea.attacks.by_backward_error import nearest_classes
from bea.bounds import lower_bound, prove
from bea.networks.leads import other_classes
from bea.numerics.arrays import image_norms
from benchmarks import peers
from benchmarks.shared import MARGIN, NETWORKS, OUT, machine, to_torch
from lab import datasets
from lab.peers import digest

BATCH = 250  # images at a time, of peers
OURS = "backward error"
FEW = 3  # classes that are tried where not all of the nine are


def lbfgs_to_some(net, x, label, **options):
    """L-BFGS to each of the nearest classes, of which the shortest change counts."""
    aims = nearest_classes(net, x, label)[:, :FEW]
    options |= {"margin": MARGIN, "processes": 1}  # in other processes nothing would be counted
    found = [lbfgs_attack(net, x, label, target=target, **options) for target in aims.T]
    best = np.argmin([np.where(result.success, result.l2, np.inf) for result in found], axis=0)
    return replace(found[0], dx=np.choose(best.reshape(-1, *[1] * (x.ndim - 1)), [result.dx for result in found]))


RANGED = {
    "backward error, 3 classes": lambda net, x, y: shortest(net, x, y, clip=True, candidates=FEW),
    "backward error, 1 class": lambda net, x, y: shortest(net, x, y, clip=True, candidates=1),
    "backward error, annealing": lambda net, x, y: shortest(net, x, y, clip=True, annealing=True),
    "FGSM, smallest ε": lambda net, x, y: smallest_epsilon(net, x, y, clip=True, method="bisection"),
    "PGD, smallest ε": lambda net, x, y: smallest_pgd(net, x, y, clip=True, steps=100),
    "L-BFGS": lambda net, x, y: lbfgs_to_some(net, x, y, clip=True),
}
FREE = {
    "FGSM, smallest ε": lambda net, x, y: smallest_epsilon(net, x, y, method="bisection"),
    "PGD, smallest ε": lambda net, x, y: smallest_pgd(net, x, y, steps=100),
    "L-BFGS": lbfgs_to_some,
    "Newton": lambda net, x, y: newton_attack(net, x, y, margin=MARGIN),
}


@contextmanager
def passes_of(classes: int):
    """Count the images that go through our last layers: yields a list, of which the only entry is the count."""
    count, forward, back = [0], Dense.forward, Dense.pull_back

    def counted_forward(self, y):
        count[0] += len(y) if len(self.matrix) == classes else 0
        return forward(self, y)

    def counted_back(self, rows, y, output):
        count[0] += len(y) * rows.shape[1] if len(self.matrix) == classes else 0
        return back(self, rows, y, output)

    Dense.forward, Dense.pull_back = counted_forward, counted_back
    try:
        yield count
    finally:
        Dense.forward, Dense.pull_back = forward, back


class Board:
    """What has been found on one network and images: a column of lengths an attack, and a row of ``runs`` for each.

    What peers have found on these images is taken from the tables in the folder ``kept``, if there is one.
    """

    def __init__(self, problem: str, kept: Path | None, name: str, net: Network, x, label, index, target=None):
        self.problem, self.name, self.net, self.x, self.label, self.target = problem, name, net, x, label, target
        self.table = pd.DataFrame({"net": name, "image": index, "label": label})
        if target is not None:
            self.table["target"] = target
        self.runs, self.module = [], peers.Counted(to_torch(net).requires_grad_(False))
        self.kept = read(kept, problem, name) if kept else None

    def add(self, attack: str, library: str, dx, passes: int, seconds: float) -> None:
        """Judge the changes of an attack, and enter it."""
        changed, n = self.x + dx, len(self.x)
        if self.problem != "free":
            changed = np.clip(changed, 0.0, 1.0)  # of peers it is there but for rounding
        found = self.net.classify(np.nan_to_num(changed))
        won = (found != self.label if self.target is None else found == self.target) & np.isfinite(dx).reshape(
            n, -1
        ).all(1)
        length = np.where(won, image_norms(changed - self.x), np.inf)
        self.table[attack] = length
        run = {"problem": self.problem, "net": self.name, "attack": attack, "library": library, "images": n}
        run |= {"success": won.mean(), "median": np.median(length), "passes": passes / n, "ms": 1e3 * seconds / n}
        self.runs.append(run)
        print(
            " ".join(f"{value:.5g}" if isinstance(value, float) else str(value) for value in run.values()), flush=True
        )

    def ours(self, attack: str, run, **options) -> None:
        """Let an attack of this package run."""
        start = time.process_time()
        with passes_of(self.net.classes) as count:
            found = run(self.net, self.x, self.label, **options)
        self.add(attack, "bea", found.dx, count[0], time.process_time() - start)

    def theirs(self, attack: str, library: str, run, **aim) -> None:
        """Let a peer run, batch by batch."""
        if self.kept:
            lengths, runs = self.kept
            if not np.array_equal(lengths.image, self.table.image):
                raise ValueError(f"images: expected those of the table that is kept, {len(lengths)} of {self.name}")
            self.table[attack] = lengths[attack].to_numpy()
            self.runs += runs[runs.attack == attack].to_dict("records")
            return
        self.module.passes, start = 0, time.process_time()
        torch.manual_seed(0)
        goal = torch.tensor(self.label if self.target is None else self.target)
        images = torch.tensor(self.x, dtype=torch.float32)
        parts = zip(images.split(BATCH), goal.split(BATCH), strict=True)
        changed = [run(self.module, part.clone(), aims, **aim) for part, aims in parts]
        dx = torch.cat(changed).detach().double().numpy() - self.x
        self.add(attack, library, dx, self.module.passes, time.process_time() - start)


def shortest(net, x, label, **options):
    """Attack by backward error, with the margin of this benchmark."""
    return backward_error_attack(net, x, label, margin=MARGIN, **options)


def in_range(*board) -> Board:
    """Any class but the label, pixels in their range."""
    board = Board("range", *board)
    board.ours(OURS, shortest, clip=True)
    for attack, run in RANGED.items():
        board.ours(attack, run)
    for attack, run in peers.RANGED.items():
        board.theirs(attack, "adv-lib", run)
    return board


def to_targets(kept, name, net, x, label, index) -> Board:
    """Each of the nine targets, pixels in their range."""
    target = other_classes(label, net.classes).ravel()
    x, label, index = (np.repeat(array, net.classes - 1, axis=0) for array in (x, label, index))
    board = Board("targets", kept, name, net, x, label, index, target)
    board.ours(OURS, shortest, clip=True, target=target)
    for attack, own in peers.TARGETED.items():
        board.theirs(attack, "adv-lib", peers.RANGED[attack], targeted=True, **own)
    return board


def free(*board) -> Board:
    """Any class but the label, no range."""
    board = Board("free", *board)
    board.ours(OURS, shortest)
    if len(board.net.input_shape) == 3:  # a comparison within what is proved is for dense networks
        return board
    for attack, run in FREE.items():
        board.ours(attack, run)
    for attack, run in peers.FREE.items():
        board.theirs(attack, "foolbox", run)
    for attack, run in peers.SHRUNK.items():
        board.theirs(attack, "adv-lib", partial(peers.shrunk, run))
    return board


def proved(board: Board, nodes: int) -> np.ndarray:
    """Return what every change of class is proved to need, without the range: by branch and bound, if it can be had."""
    found = shortest(board.net, board.x, board.label).dx
    if len(board.net.input_shape) == 2:
        return prove(board.net, board.x, board.label, dx=found, gap=1e-3, nodes=nodes).lower
    return lower_bound(board.net, board.x, on="input", method="local").radius


def about(folder: Path, nets, data, made: str) -> dict:
    """Return date, how it was ``made``, machine, versions, and a digest of every network."""
    stored = folder / "about.json"
    before = json.loads(stored.read_text(encoding="utf-8"))["networks"] if stored.is_file() else {}
    return machine("numpy", "scipy", "torch", "adv-lib", "foolbox") | {
        "made": made,
        "networks": before | {name: digest(net) for name, net in nets.items()},
        "dataset": data.name,
    }


def read(folder: Path, problem: str, name: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return lengths and runs that are stored of a problem and a network; of the one or the other, of all for ""."""
    if not (folder / f"{problem}.csv").is_file():
        return pd.DataFrame({"net": [], "image": []}), pd.DataFrame({"problem": [], "net": []})
    lengths, runs = pd.read_csv(folder / f"{problem}.csv"), pd.read_csv(folder / "runs.csv")
    return lengths[lengths.net == name], runs[(runs.problem == problem) & (runs.net == name)]


def store(folder: Path, name: str, problem: str, table: pd.DataFrame, runs: list[dict]) -> None:
    """Put lengths and runs in the place of what is stored of a network and a problem."""
    folder.mkdir(exist_ok=True)
    for file, new in ((problem, table), ("runs", pd.DataFrame(runs))):
        path = folder / f"{file}.csv"
        if path.is_file():
            old = pd.read_csv(path)
            same = old.net == name
            new = pd.concat([old[~(same & (old.problem == problem) if file == "runs" else same)], new])
        new.to_csv(path, index=False, float_format="%.7g")


def compare(name: str, options: argparse.Namespace) -> list[tuple[str, pd.DataFrame, list[dict]]]:
    """Return problem, lengths and runs of everything on a network."""
    torch.set_num_threads(1)
    net, data = Network.load(options.networks / f"{name}.npz"), datasets.load("mnist")
    dense = len(net.input_shape) == 2
    images = data.x_test.reshape(-1, *net.input_shape).astype(float)
    right = np.flatnonzero(net.classify(images) == data.y_test)
    index = right[: options.images if dense else options.lenet_images]
    given = images[index], data.y_test[index].astype(int), index
    start = options.out if options.keep_peers else None, name, net
    loose = free(*start, *given)
    limits = proved(loose, options.nodes) if loose.kept is None else loose.kept[0].proved.to_numpy()
    boards = [loose, in_range(*start, *given)]
    for board in boards:
        board.table["proved"] = limits
    if dense:
        few = slice(0, options.target_images)
        boards.append(to_targets(*start, *(array[few] for array in given)))
    return [(board.problem, board.table, board.runs) for board in boards]


def main() -> None:
    """Run everything, a network a process."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", default=("tanh-0", "relu-0", "lenet-0"), help="networks")
    parser.add_argument("--images", type=int, default=1000, help="correctly classified test images of dense networks")
    parser.add_argument("--lenet-images", type=int, default=200, help="of LeNet")
    parser.add_argument("--target-images", type=int, default=1000, help="of these with nine targets each")
    parser.add_argument("--nodes", type=int, default=200, help="pieces of a ball, at most, in the proofs")
    parser.add_argument("--keep-peers", action="store_true", help="only our attacks, beside stored peers and proofs")
    parser.add_argument("--processes", type=int, default=1, help="networks at a time; two get into each other's way")
    parser.add_argument("--networks", type=Path, default=NETWORKS, help="folder of the networks")
    parser.add_argument("--out", type=Path, default=OUT, help="folder for the tables")
    options = parser.parse_args()
    made = "our attacks again, beside stored peers" if options.keep_peers else "in one go"
    data = datasets.load("mnist")
    nets = {name: Network.load(options.networks / f"{name}.npz") for name in options.names}
    with ProcessPoolExecutor(options.processes, get_context("spawn")) as pool:
        for name, found in zip(nets, pool.map(compare, nets, repeat(options)), strict=True):
            for part in found:
                store(options.out, name, *part)
            text = json.dumps(about(options.out, nets, data, made), indent=1) + "\n"
            (options.out / "about.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
