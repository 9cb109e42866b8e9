"""Attacks on more images than memory holds: ``python -m workflow.shards MODEL IMAGES --target 3 --to FOLDER``.

IMAGES is a ``.npy`` file, of which only one block at a time is in memory. What a block yields is kept in a file of its
own, so a killed run goes on where it was, and blocks can be shared out: ``--share 2/4`` takes every fourth block from
the second on, a job of a cluster (``--array`` of SLURM). ``--gather`` puts them together. The blocks are the same
however they are shared out, and so are the numbers, bit for bit.
"""

import argparse
import gc
import hashlib
import json
import re
import sys
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from bea import Network, attack
from bea.files import replacing
from workflow.manifest import sha256

BLOCK = 5000  # images; a block of MNIST and all that an attack makes of it take some 200 MB
COLUMNS = {"label": np.int64, "target": np.int64, "success": bool, "norm": np.float64}


def mapped(path: Path) -> np.memmap:
    """Return an array that stays on the disk.

    Raises
    ------
    FileNotFoundError, ValueError
        Naming the file, where there is none, or one that is no array of numbers.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: expected an array of numbers (.npy), found no such file")
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # a damaged file may fail in any way
        raise ValueError(f"{path}: expected an array of numbers (.npy), found {error}") from None
    if not isinstance(array, np.memmap) or array.dtype.kind not in "uif":
        raise ValueError(f"{path}: expected an array of numbers (.npy), found something else")
    return array


def attack_block(net: Network, images: np.ndarray, target, number: int, size: int, divide: float, **options) -> dict:
    """Attack one block of images; return a column each of ``COLUMNS``, (block,), the norm being ‖Δ‖ by eq. (5).

    ``target`` is one class for all images of the file, or one an image; ``options`` are those of ``attack``.
    """
    block = slice(number * size, (number + 1) * size)
    x = np.asarray(images[block], dtype=float).reshape(-1, *net.input_shape) / divide
    aim = np.full(len(x), target) if np.ndim(target) == 0 else np.asarray(target[block])
    found = attack(net, x, aim, **options)
    label = net.classify(x)
    return {"label": label, "target": aim, "success": found.success, "norm": np.sqrt(found.objective)}


def key_of(model: Path, images: np.ndarray, target, size: int, divide: float, options: dict) -> str:
    """Return the name of a run: of the network, where the images are and how they look, and all that is asked for."""
    there = [str(Path(images.filename).resolve()), Path(images.filename).stat().st_mtime_ns, images.shape]
    aim = int(target) if np.ndim(target) == 0 else hashlib.sha256(np.asarray(target).tobytes()).hexdigest()
    text = json.dumps([sha256(model), there, images.dtype.str, aim, size, divide, options])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def states(*arrays) -> dict[str, tuple[int, ...]]:
    """Return what tells the file of each mapped array from others under its name: its place, size and last change."""
    found = {}
    for array in arrays:
        if isinstance(array, np.memmap):
            at = Path(array.filename).stat()
            found[str(array.filename)] = at.st_dev, at.st_ino, at.st_size, at.st_mtime_ns
    return found


def run(net: Network, images, target, folder: Path, *, there=None, share=(1, 1), size=BLOCK, divide=1.0, **options):
    """Attack the blocks of a share, ``(k, n)``: every n-th from the k-th on; those that are there stay as they are.

    Raises
    ------
    ValueError
        As soon as one of the files is no longer as ``there``, its ``states`` when the run got its name, or began.
    """
    there = states(images, target) if there is None else there

    def check_states():
        for name, now in states(images, target).items():
            if now != there[name]:
                raise ValueError(f"{name}: expected the file that was there at first, found another or a changed one")

    folder.mkdir(parents=True, exist_ok=True)
    for number in range(share[0] - 1, -(-len(images) // size), share[1]):
        path = folder / f"{number:08d}.npz"
        if not path.is_file():
            check_states()
            with threadpool_limits(1, "blas"):
                # Mapped anew: what has been read of a mapping counts as memory of the process.
                found = attack_block(net, mapped(images.filename), target, number, size, divide, **options)
            check_states()  # again, as what was changed while it was read is of neither file
            with replacing(path) as partial, open(partial, "wb") as file:
                np.savez(file, **found)
            gc.collect()  # what an attack leaves refers to itself, and would stay until there is much of it


def gather(folder: Path, n: int, size: int, to: Path) -> None:
    """Write ``label.npy``, ``target.npy``, ``success.npy`` and ``norm.npy`` of all n images, block by block.

    Raises
    ------
    FileNotFoundError
        For a block that is not there.
    """
    missing = [k for k in range(-(-n // size)) if not (folder / f"{k:08d}.npz").is_file()]
    if missing:
        raise FileNotFoundError(
            f"{folder}: expected {-(-n // size)} blocks, missing {len(missing)}, first {missing[0]}"
        )
    for name, kind in COLUMNS.items():
        with replacing(to / f"{name}.npy") as partial:
            whole = np.lib.format.open_memmap(partial, "w+", dtype=kind, shape=(n,))
            for number in range(-(-n // size)):
                with np.load(folder / f"{number:08d}.npz", allow_pickle=False) as block:
                    whole[number * size : (number + 1) * size] = block[name]
            whole.flush()


def main() -> None:
    """Read the command line and attack."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="network file of bea (.npz)")
    parser.add_argument("images", type=Path, help="array (.npy) whose first axis is the image")
    parser.add_argument("--target", required=True, help="class that shall win, or a .npy file with one an image")
    parser.add_argument("--on", default="weights", choices=("weights", "input", "both"))
    parser.add_argument("--method", default="first-order", choices=("first-order", "converged"))
    parser.add_argument("--margin", type=float, default=1e-3)
    parser.add_argument("--divide", type=float, default=1.0, help="what pixels are divided by, 255 for bytes")
    parser.add_argument("--block", type=int, default=BLOCK)
    parser.add_argument("--share", default="1/1", help="2/4: every fourth block from the second on")
    parser.add_argument("--gather", action="store_true", help="put the blocks together and do nothing else")
    parser.add_argument("--to", type=Path, required=True)
    arguments = parser.parse_args()
    try:
        share = re.fullmatch(r"(\d+)/(\d+)", arguments.share)
        if not share or not 1 <= int(share[1]) <= int(share[2]):
            raise ValueError(f"share: expected K/N with K from 1 to N, received {arguments.share!r}")
        if arguments.block < 1 or not arguments.divide > 0:
            raise ValueError("block, divide: expected positive numbers")
        net, images = Network.load(arguments.model), mapped(arguments.images)
        target = int(arguments.target) if arguments.target.isdigit() else mapped(Path(arguments.target))
        if np.ndim(target) and target.shape != images.shape[:1]:
            raise ValueError(f"target: expected shape {images.shape[:1]}, received {target.shape}")
        there = states(images, target)
        options = {"on": arguments.on, "method": arguments.method, "margin": arguments.margin}
        key = key_of(arguments.model, images, target, arguments.block, arguments.divide, options)
        folder, shares = arguments.to / "blocks" / key, tuple(map(int, share.groups()))
        if not arguments.gather:
            given = {"there": there, "size": arguments.block, "divide": arguments.divide}
            run(net, images, target, folder, share=shares, **given, **options)
        if arguments.gather or shares == (1, 1):
            gather(folder, len(images), arguments.block, arguments.to)
    except (OSError, TypeError, ValueError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
