"""General optimisers on toy networks, and an attacker in a process of its own."""

import numpy as np
import pytest

from lab.attempts import to_every_target
from oracles import RNG, random_images, random_network
from studies import pictures_against_fgsm as pictures
from studies import rivals
from studies.table_2 import attacks

MARGIN = 1e-3


@pytest.fixture(scope="module")
def toy():
    """Networks 6-5-4 and 6-4, and images that are of one class for both."""
    two, one = random_network(RNG(5), [(5, "tanh")], 4, output_activation="tanh"), random_network(RNG(5), [], 4)
    images = random_images(RNG(6), two, 200)
    return two, one, images[two.classify(images) == one.classify(images)]


def test_optimisers_find_nothing_smaller(toy):
    """On one affine layer eq. (8) comes close to the exact attack from above; SLSQP stays where we converged."""
    two, one, images = toy
    x, source, target = to_every_target(images[:2], two.classify(images[:2]), 4)
    converged = attacks({"two": two}, x, target, margin=MARGIN, on="input", method="converged")
    exact = attacks({"one": one}, x, target, margin=MARGIN, on="input")
    near = rivals.nearest_of_target(x, target, images, np.arange(len(images)) % 4)
    found = rivals.compete({"two": two}, converged, {"one": one}, x, near, pairs=4, margin=MARGIN)
    assert len(found) == 4
    ours, layer = (r.perturbation.relative_norms[found.row, -1] for r in (converged["two"], exact["one"]))
    assert (found.one_penalty >= (1 - 1e-6) * layer).all()
    assert (found.one_penalty <= 1.2 * layer).all()
    np.testing.assert_allclose(found.stay, ours, rtol=1e-4)
    assert (found.penalty >= 0.999 * ours).all()

    table = pictures.pairs({"two": two}, attacks({"two": two}, x, target, margin=MARGIN, on="input"), converged, source,
                           margin=MARGIN)  # fmt: skip
    ones = pictures.one_layer({"one": one}, exact, source)
    blank = np.zeros((2, 3), dtype=bool)
    stats = pictures.statistics({"two": two}, x[::3], source[::3], blank, images=2, margin=MARGIN)
    duels = rivals.duels(table, ones, stats, found)
    np.testing.assert_allclose(duels.ratio[duels.of == "stay"], found.stay / ours)
    summary = rivals.summary(duels, by=0.001).set_index(["of", "rival"])
    assert summary.smaller["one"].sum() == summary.smaller["converged"].sum() == 0
    assert summary.both["stay", "SLSQP from our solution"] == 4


def test_nearest_of_target(toy):
    """Among the first so many images of the target's class, compared one by one."""
    two, _, images = toy
    labels = two.classify(images)
    goal = np.bincount(labels).argmax()
    near = rivals.nearest_of_target(images[:3], np.full(3, goal), images, labels, most=5)
    some = images[labels == goal][:5]
    for image, found in zip(images, near, strict=False):
        assert np.linalg.norm(found - image) == min(np.linalg.norm(other - image) for other in some)


def test_alone(toy):
    """The same bits from two files, nothing else opened, no data, no loss."""
    two, _, images = toy
    report = rivals.alone("net", two, images[0], margin=MARGIN)
    assert report == {"same": True, "opened": ["net.npz", "image.npy"], "modules": [], "attacks": 6}


def test_alone_notices(toy, monkeypatch):
    """Who opens another file, or asks for another margin, is found out."""
    two, _, images = toy
    script = rivals.ATTACKER.replace("float(sys.argv[3])", "0.5")
    monkeypatch.setattr(rivals, "ATTACKER", script.replace("data = [", "open('/proc/cpuinfo').close()\ndata = ["))
    report = rivals.alone("net", two, images[0], margin=MARGIN)
    assert not report["same"]
    assert report["opened"] == ["net.npz", "image.npy", "cpuinfo"]
