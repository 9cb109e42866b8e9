"""`progress=True`: a bar that counts samples, one at a time, and the same numbers with it as without."""

import dataclasses
import inspect
import sys

import numpy as np
import pytest
import tqdm

import bea.attacks
import bea.bounds
from bea import Network, attack, lower_bound
from bea.numerics.blocks import block_size, in_blocks
from bea.numerics.progress import counting, showing
from oracles import HIDDEN, random_images, random_network

RNG = np.random.default_rng


@pytest.fixture
def bars(monkeypatch):
    """What is counted: a list of [total, last count, deepest nesting] for each bar."""
    seen, depth = [], [0]

    class Bar:
        def __init__(self, total, **options):
            seen.append([total, 0])
            self.row, self.n = seen[-1], 0

        def __enter__(self):
            depth[0] += 1
            assert depth[0] == 1, "two bars at a time"
            return self

        def __exit__(self, *error):
            depth[0] -= 1

        def update(self, more):
            assert more >= 0
            self.n += more
            self.row[1] = self.n

    monkeypatch.setattr(tqdm, "tqdm", Bar)
    return seen


def case(name="two", n=30):
    """A network, images and classes."""
    net = random_network(RNG(3), HIDDEN[name], 4, (2, 3), input_range=(0, 1))
    x = random_images(RNG(4), net, n)
    return net, x, net.classify(x)


CALLS = {
    "first-order": lambda net, x, y, **more: attack(net, x, (y + 1) % 4, **more),
    "converged": lambda net, x, y, **more: attack(net, x, (y + 1) % 4, "both", method="converged", **more),
    "clipped": lambda net, x, y, **more: attack(net, x, (y + 1) % 4, "input", method="converged", clip=True, **more),
    "local": lambda net, x, y, **more: lower_bound(net, x, method="local", **more),
    "enclosure": lambda net, x, y, **more: bea.bounds.distance_enclosure(net, x, **more),
    "pgd": lambda net, x, y, **more: bea.attacks.pgd(net, x, y, 0.1, **more),
    "fewest": lambda net, x, y, **more: bea.attacks.fewest_pixels(
        Network((net.layers[0], net.weighted[0]), (2, 3), "linear", (0, 1)), x[:5], y[:5], **more
    ),
} | {
    name: lambda net, x, y, name=name, **more: getattr(bea.attacks, name)(net, x, y, **more)
    for name in (
        *("backward_error_attack", "carlini_wagner", "componentwise_attack", "lbfgs_attack", "newton_attack"),
        *("saliency_attack", "smallest_epsilon", "smallest_pgd"),
    )
}


def arrays(result):
    """All numbers of a result, in their order."""
    for field in dataclasses.fields(result):
        value = getattr(result, field.name)
        yield from arrays(value) if dataclasses.is_dataclass(value) else [value]


@pytest.mark.parametrize("name", CALLS)
def test_a_bar_changes_no_number(name, bars, monkeypatch):
    """Bit for bit; never two bars; nothing counted beyond the total, and blocks of samples to its end."""
    monkeypatch.setattr(block_size, "__defaults__", (0, 2**12))  # 16 samples at a time, and about as many elsewhere
    monkeypatch.setattr("bea.attacks.epsilon_search.BLOCK_NUMBERS", 2**12)
    monkeypatch.setattr("bea.attacks.componentwise.NUMBERS", 2**8)
    monkeypatch.setattr("bea.bounds.kantorovich.images_at_once", lambda ball: 16)
    quiet = CALLS[name](*case())
    assert bars == []
    shown = CALLS[name](*case(), progress=True)
    for one, other in zip(arrays(quiet), arrays(shown), strict=True):
        if isinstance(one, np.ndarray):
            np.testing.assert_array_equal(one, other)
    assert bars
    assert all(0 <= done <= total for total, done in bars)


@pytest.mark.parametrize(
    "name", ["converged", "carlini_wagner", "lbfgs_attack", "newton_attack", "fewest", "saliency_attack"]
)
def test_searches_count_the_samples_that_are_done(name, bars):
    """A single block has its bar too: all samples, in the end."""
    CALLS[name](*case("two", 20), progress=True)
    assert bars
    assert bars[0][0] == bars[0][1] > 0


def test_blocks_are_counted_in_samples(bars):
    """Also where the last one is shorter; within them, and where nobody asked, nothing is."""

    def block(x):
        with counting(99) as tell:
            tell(99)
        return x + 1

    with showing(True):
        np.testing.assert_array_equal(in_blocks(block, 4, np.arange(10)), np.arange(1, 11))
    assert bars == [[10, 10]]
    with showing(True), showing(False):
        in_blocks(block, 4, np.arange(10))
    in_blocks(block, 4, np.arange(10))
    assert bars == [[10, 10]]


def test_the_bar_is_drawn(capsys):
    """By tqdm, on the error stream, and wiped out in the end."""
    with showing(True), counting(7) as tell:
        tell(3)
        tell(7)
    written = capsys.readouterr()
    assert "7/7" in written.err or "0/7" in written.err
    assert not written.out


def test_without_tqdm_nothing_is_begun(monkeypatch):
    """The error comes before the work, whichever call it is."""
    monkeypatch.setitem(sys.modules, "tqdm", None)
    monkeypatch.setattr(Network, "linearise", lambda *_: pytest.fail("work was done"))
    for name in ("converged", "carlini_wagner", "lbfgs_attack", "saliency_attack"):
        with pytest.raises(ImportError, match=r"^tqdm: expected to be installed.*bea\[progress\]"):
            CALLS[name](*case("two", 3), progress=True)


def test_whatever_searches_has_a_bar():
    """All attacks but those of one step or a closed form, and the bounds that take time; off unless asked for."""
    quick = {"fgsm", "smallest_change", "worst_change", "nearest_preimage", "substitute"}
    room = {name: getattr(bea.attacks, name) for name in bea.attacks.__all__}
    calls = {name: each for name, each in room.items() if inspect.isfunction(each) and name not in quick}
    assert len(calls) >= 12
    for call in (*calls.values(), attack, lower_bound, bea.bounds.distance_enclosure):
        assert inspect.signature(call).parameters["progress"].default is False, call.__name__
