"""Attacks on a file of images give the same numbers however its blocks are shared out."""

import re

import numpy as np
import pytest

from bea import Activation, Dense, Flatten, Network, attack
from lab.parameters import ROOT
from workflow import shards
from workflow.small_book import run

SIZE, N = 7, 40
ON = {"on": "weights", "method": "first-order", "margin": 1e-3}


@pytest.fixture
def files(tmp_path):
    """A network of two layers and 40 images of bytes."""
    rng = np.random.default_rng(0)
    layers = (
        Flatten(),
        Dense(rng.normal(size=(5, 10)), bias=True),
        Activation("tanh"),
        Dense(rng.normal(size=(4, 6)), True),
    )
    net = Network(layers, (3, 3))
    net.save(tmp_path / "net.npz")
    np.save(tmp_path / "x.npy", rng.integers(0, 256, (N, 3, 3), dtype=np.uint8))
    return net, tmp_path


def test_shares_make_the_same_bits_as_the_whole(files):
    """And these are the attacks on all images, to rounding."""
    net, folder = files
    images = shards.mapped(folder / "x.npy")
    shards.run(net, images, 2, folder / "whole", size=SIZE, divide=255.0, **ON)
    for share in (3, 1, 2):
        shards.run(net, images, 2, folder / "shared", share=(share, 3), size=SIZE, divide=255.0, **ON)
    for name in ("whole", "shared"):
        (folder / f"to-{name}").mkdir()
        shards.gather(folder / name, N, SIZE, folder / f"to-{name}")
    for column in shards.COLUMNS:
        one, other = ((folder / f"to-{name}" / f"{column}.npy").read_bytes() for name in ("whole", "shared"))
        assert one == other
    found = attack(net, images / 255, np.full(N, 2), **ON)
    norm, success = (np.load(folder / "to-whole" / f"{column}.npy") for column in ("norm", "success"))
    np.testing.assert_allclose(norm, np.sqrt(found.objective), rtol=1e-12)
    np.testing.assert_array_equal(success, found.success)


def test_blocks_that_are_there_are_not_made_again(files):
    """What was killed goes on; a block that is missing is named."""
    net, folder = files
    images, where = shards.mapped(folder / "x.npy"), folder / "blocks"
    shards.run(net, images, 2, where, share=(1, 2), size=SIZE, divide=255.0, **ON)
    with pytest.raises(FileNotFoundError, match="expected 6 blocks, missing 3, first 1"):
        shards.gather(where, N, SIZE, folder)
    before = {path: path.stat().st_mtime_ns for path in where.iterdir()}
    shards.run(net, images, 2, where, size=SIZE, divide=255.0, **ON)
    assert len(list(where.iterdir())) == 6
    assert all(path.stat().st_mtime_ns == moment for path, moment in before.items())


@pytest.mark.parametrize("which", ["x.npy", "aims.npy"])
@pytest.mark.parametrize("by", ["another file", "new bytes"])
@pytest.mark.parametrize("block", [0, 1, 3])
def test_a_file_that_is_replaced_during_a_run_ends_it(files, monkeypatch, which, by, block):
    """Before the first block, or while one is attacked: nothing is kept that may be of the other file."""
    net, folder = files
    np.save(folder / "aims.npy", np.full(N, 2))
    path, attacked = folder / which, []
    images, aims = shards.mapped(folder / "x.npy"), shards.mapped(folder / "aims.npy")
    there = shards.states(images, aims)

    def replace():
        np.save(folder / "other.npy", np.ones_like(np.load(path)))
        if by == "another file":
            (folder / "other.npy").replace(path)
        else:
            path.write_bytes((folder / "other.npy").read_bytes())

    def attack_block(*_arguments, **_options):
        attacked.append(1)
        if len(attacked) == block:
            replace()
        return {column: np.zeros(SIZE, kind) for column, kind in shards.COLUMNS.items()}

    monkeypatch.setattr(shards, "attack_block", attack_block)
    if block == 0:
        replace()
    said = re.escape(f"{path}: expected the file that was there at first, found another or a changed one")
    with pytest.raises(ValueError, match=f"^{said}$"):
        shards.run(net, images, aims, folder / "blocks", there=there, size=SIZE, divide=255.0, **ON)
    assert len(attacked) == block
    assert len(list((folder / "blocks").iterdir())) == max(block - 1, 0)


def test_a_target_an_image(files):
    """From a file; images that are of this class already need nothing."""
    net, folder = files
    images = shards.mapped(folder / "x.npy")
    aims = net.classify(images / 255)
    shards.run(net, images, aims, folder / "blocks", size=SIZE, divide=255.0, **ON)
    shards.gather(folder / "blocks", N, SIZE, folder)
    assert not np.load(folder / "norm.npy").any()
    assert np.load(folder / "success.npy").all()


def test_other_questions_have_other_blocks(files):
    """So that no number of one is taken for the other's."""
    _, folder = files
    images = shards.mapped(folder / "x.npy")
    asked = [(2, SIZE, 255.0, ON), (1, SIZE, 255.0, ON), (2, 8, 255.0, ON), (2, SIZE, 1.0, ON), (2, SIZE, 255.0, {})]
    keys = {shards.key_of(folder / "net.npz", images, *question) for question in (*asked, (np.array(2), *asked[0][1:]))}
    assert len(keys) == 5


def test_what_is_no_array_is_refused_in_a_line(files):
    """Pickles too."""
    _, folder = files
    np.save(folder / "pickle.npy", np.array([{}], dtype=object), allow_pickle=True)
    (folder / "text.npy").write_text("numbers")
    good = (folder / "x.npy").read_bytes()
    (folder / "header.npy").write_bytes(good.replace(b"}", b" "))  # its end is looked for in vain
    for name in ("pickle", "text", "header", "none"):
        with pytest.raises((FileNotFoundError, ValueError), match=name):
            shards.mapped(folder / f"{name}.npy")
    result = run(ROOT, "workflow.shards", "net.npz", "none.npy", "--target", "2", "--to", "x", "--share", "3/2")
    assert (result.returncode, result.stderr) == (1, "share: expected K/N with K from 1 to N, received '3/2'\n")
