"""The attacks side by side, at toy size: by their properties, and against programmes solved otherwise."""

import numpy as np
import pandas as pd
import pytest

from bea.attacks.loss import loss_gradient
from lab.attempts import right_for_all
from oracles import RNG, random_images, random_network
from studies import attacks_side_by_side as study


@pytest.fixture(scope="module")
def toy():
    """A deep and an affine network over 2×3 pixels, and images with the class they both see and a target."""
    options = {"input_range": (0.0, 1.0)}
    nets = {
        "deep": random_network(RNG(3), [(5, "tanh")], 4, **options),
        "affine": random_network(RNG(4), [], 4, **options),
    }
    x = random_images(RNG(5), nets["deep"], 60)
    label = nets["deep"].classify(x)
    keep = np.flatnonzero(right_for_all(nets, x, label))[:8]
    return nets, x[keep], label[keep], (label[keep] + 1) % 4


@pytest.fixture(scope="module")
def attacked(toy):
    """All attacks towards the targets."""
    nets, *images = toy
    return study.compare(nets, dict.fromkeys(nets), *images, margin=1e-3)


def test_compare(toy, attacked):
    """Norms are those of the changes, what keeps to the range says so, and no attack beats the optimum by much."""
    nets, x, label, target = toy
    assert len(attacked) == 8 * 2 * len(x)
    assert attacked.won.mean() > 0.8
    assert (attacked.won <= attacked.success).all()
    counts = study.witnesses(attacked)
    assert counts["kept"] == counts["ranged"] == 12
    assert counts["confirmed"] == attacked.l2.notna().sum() <= counts["successes"] <= counts["asked"] == len(attacked)
    changes = study.changes(["be"], nets["deep"], None, x, label, target, margin=1e-3)["be"]
    own = attacked[(attacked.net == "deep") & (attacked.attack == "be")]
    np.testing.assert_allclose(np.linalg.norm(changes.reshape(len(x), -1), axis=1), own.l2, rtol=1e-12)
    free = study.relative_lengths(attacked[attacked.net == "affine"], ["be"], over="be_free")
    assert free["median"].iloc[0] >= 1 - 1e-9


def test_duels_are_between_attacks_with_the_same_range(attacked):
    """Counted one by one; with pixels free, nothing is shorter than the exact attack on the affine network."""
    renamed = attacked.replace({"net": {"affine": "one layer"}})
    table = study.duels({"target": renamed}, by=1e-3).set_index(["net", "rival"])
    assert len(table) == 2 * 6
    assert table.loc[("one layer", "Newton (target)"), ["kind", "smaller"]].tolist() == ["exact", 0]
    length = {name: own.l2.to_numpy() for name, own in attacked[attacked.net == "deep"].groupby("attack")}
    row = table.loc[("deep", "L-BFGS (target, range)")]
    assert row.kind == "converged"
    assert row.both == np.sum(np.isfinite(length["lbfgs"] + length["be"]))
    assert row.smaller == np.sum(length["lbfgs"] < (1 - 1e-3) * length["be"])


def test_summary_and_lengths():
    """Medians over successes, zero for none; quotients image by image."""
    columns = {"net": "a b", "attack": ["cw", "cw", "be", "be"], "won": [True, True, True, False], "ms": 2.0}
    norms = [2.0, 4.0, 1.0, np.nan]
    frame = pd.DataFrame(columns | {"l0": norms, "l2": norms, "linf": norms})
    table = study.quoted(study.summary(frame))["a-b"]
    assert table["cw"] == {"success": 1.0, "l0": 3.0, "l2": 3.0, "linf": 3.0, "ms": 2.0}
    assert table["be"]["success"] == 0.5
    row = study.relative_lengths(frame, ["cw"], over="be").iloc[0]
    assert (row["median"], row.success, row.shorter) == (2.0, 1.0, 0.0)
    assert study.relative_lengths(frame[frame.attack == "cw"].assign(l2=np.nan), ["cw"], over="cw")["median"][0] == 0.0


def test_steps(toy):
    """One step of many is the same as one; the linear programme finds the sign step; the signs turn the target."""
    nets, x, label, target = toy
    table = study.fixed_steps(nets["deep"], None, x, label, target, [0.2, 0.5], many=1)
    slope = loss_gradient(nets["deep"], x, label)
    fooled = nets["deep"].classify(np.clip(x + 0.5 * np.sign(slope), 0, 1)) != label
    assert table.one_any[1] == fooled.mean()
    assert (table.agree == table.asked).all()
    assert np.abs(study.linear_programmes(nets["deep"], x[:3], label[:3], epsilon=0.1)).max() < 1e-9
    sign = study.signs(nets["deep"], x, label, target, size=0.3)
    assert sign["towards"] > sign["away"]


def test_pixels(toy, attacked):
    """The proved optimum is never above greedy, which is never above the random order by the median."""
    nets, x, label, target = toy
    rules = study.pixel_rules(nets, attacked, x, label, target, some=len(x), margin=1e-3, seed=0)
    assert (rules.greedy <= rules.random).all()
    greedy = attacked[(attacked.net == "affine") & (attacked.attack == "saliency")].pixels
    found = study.subsets(nets["affine"], greedy, x, label, target, margin=1e-3)
    assert found.proved.all()
    known = found.dropna()
    assert len(known) > 3
    assert (known.best <= known.greedy).all()
