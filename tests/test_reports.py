"""What results say of themselves: short texts, tidy frames, pictures; and what is said where a package is missing."""

import sys
from functools import cache

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot
from matplotlib.figure import Figure

import bea.attacks
import bea.bounds
from bea import Activation, Dense, Flatten, Network, attack, backward_error, lower_bound
from bea.attacks import InputAttackResult
from bea.networks.perturbation import Perturbation
from bea.reports.pictures import draw_shares
from bea.reports.results import Report
from bea.reports.texts import abbreviated, spread
from oracles import random_images, random_network

RNG = np.random.default_rng
SHAPES = {"grey": (6, 5), "one channel": (6, 5, 1), "colour": (6, 5, 3), "table": (7,), "many features": (60,)}


def case(shape=(6, 5), n=30):
    """A network on [0, 1], images, and targets, one of them the present class."""
    net = random_network(RNG(0), [(5, "tanh")], 4, shape, input_range=(0, 1))
    x = random_images(RNG(1), net, n)
    return net, x, (net.classify(x) + (np.arange(n) > 0)) % 4


@cache
def results():
    """Name → one result of every kind that is quickly had."""
    net, x, target = case()
    label = net.classify(x)
    found = {
        "weights": attack(net, x, target),
        "both": attack(net, x, target, "both"),
        "converged": attack(net, x, target, "input", method="converged"),
        "backward error": backward_error(net, x, net(x) + 0.1),
        "bound": lower_bound(net, x),
        "printed": lower_bound(net, x, method="peck"),
        "enclosure": bea.bounds.distance_enclosure(net, x),
        "proved": bea.bounds.prove(net, x, nodes=50),
        "step": bea.attacks.fgsm(net, x, label, 0.1),
    }
    for name in (
        "smallest_epsilon",
        "backward_error_attack",
        "carlini_wagner",
        "newton_attack",
        "componentwise_attack",
    ):
        found[name] = getattr(bea.attacks, name)(net, x, label)
    affine = Network((Flatten(), net.layers[1]), net.input_shape, "linear", (0, 1))
    found["smallest_change"] = bea.attacks.smallest_change(affine, x, affine.classify(x))
    found["fewest_pixels"] = bea.attacks.fewest_pixels(affine, x[:2], affine.classify(x[:2]))
    return found


SEARCHES = ("smallest_epsilon", "backward_error_attack", "carlini_wagner", "newton_attack", "componentwise_attack")
BOUNDS = ("bound", "printed", "enclosure", "proved")
NAMES = (
    "weights",
    "both",
    "converged",
    "backward error",
    *BOUNDS,
    "step",
    *SEARCHES,
    "smallest_change",
    "fewest_pixels",
)


def kinds(kind=Report):
    """All classes of results."""
    return {kind}.union(*(kinds(below) for below in kind.__subclasses__()))


@pytest.mark.parametrize("name", NAMES)
def test_a_result_prints_a_few_lines(name):
    """What it is, how many, how large, and the shapes of its arrays; never the numbers."""
    text, result = repr(results()[name]), results()[name]
    assert text.startswith(f"{type(result).__name__}: ")
    assert len(text.splitlines()) <= 6
    assert max(map(len, text.splitlines())) <= 100
    assert f" of {len(result.to_frame())} samples" in text
    assert "(30,)" in text or name == "fewest_pixels"


def test_no_kind_of_result_prints_its_numbers():
    """Whoever adds one need not think of it."""
    assert len(kinds()) >= 12
    assert all(kind.__repr__ is Report.__repr__ for kind in kinds())


STANDINGS = {
    "weights": "linearised",
    "converged": "locally optimal",
    "backward error": "linearised",
    "bound": "proven (lipschitz)",
    "printed": "as printed, not proven",
    "enclosure": "proven",
    "proved": "proven",
    "step": "found by search, an upper bound of the smallest",
    "smallest_epsilon": "proven for 30",
    "backward_error_attack": "locally optimal",
    "smallest_change": "proven",
    "fewest_pixels": "proven for 2",
}


@pytest.mark.parametrize("name", STANDINGS)
def test_a_summary_says_what_is_known(name):
    """Whether linearised, locally optimal or proven, in the first of two lines."""
    first, second = results()[name].summary().splitlines()
    assert first.endswith(f"; {STANDINGS[name]}")
    assert "median" in second


def test_a_summary_counts_and_measures_successes():
    """Against NumPy, sample by sample."""
    result = results()["both"]
    won = np.flatnonzero(result.success)
    norms = np.sqrt(result.perturbation.objective[won])
    first, second = result.summary().splitlines()
    assert f": {len(won)} of 30 samples succeed, 1 without change;" in first
    assert f"median {np.median(norms):.3g}," in second
    assert second.endswith(f"largest {norms.max():.3g}")


def test_the_spread_of_numbers():
    """Against sorting; infinity counts as large, NaN not at all."""
    numbers = np.append(RNG(3).permutation(101), np.nan)
    assert spread(numbers) == "median 50, 5 % to 95 % 5 to 95, largest 100"
    assert spread(np.array([1.0, np.inf, np.inf])) == "median inf, 5 % to 95 % 1 to inf, largest inf"
    assert spread(np.array([np.nan])) == "none to measure"


def test_arrays_have_one_abbreviation():
    """The kind and the shape; up to four numbers are written out."""
    assert abbreviated(np.zeros((100, 28, 28))) == "float (100, 28, 28)"
    assert abbreviated(np.zeros(5, bool)) == "bool (5,)"
    assert abbreviated(np.array([1 / 3, 2.0])) == "[0.3333, 2]"
    assert abbreviated([(np.zeros((9, 2)), np.zeros(5, int)), None]) == "[(float (9, 2), int (5,)), None]"
    assert abbreviated(tuple(range(9))) == "(0, 1, 2, 3, …)"


def test_a_network_prints_its_layers_with_their_shapes():
    """One line a layer, the middle of a deep one left out; a layer or linearisation in few words."""
    net, x, _ = case((28, 28), 3)
    lines = repr(net).splitlines()
    assert len(lines) == 1 + len(net.layers)
    assert lines[0] == "Network: inputs (28, 28) within (0.0, 1.0), 4 classes, 3,949 weights, output linear"
    assert [line.partition(" → ")[2] for line in lines[1:]] == ["(784,)", "(5,)", "(5,)", "(4,)"]
    assert lines[2].strip().startswith(repr(net.layers[1]) + " → ")
    square = Dense(np.eye(4), False)
    deep = Network([square, Activation("tanh")] * 20 + [square], (4,))
    assert len(repr(deep).splitlines()) <= 12
    assert len(repr(net.linearise(x))) < 300


@pytest.mark.parametrize("name", NAMES)
def test_a_frame_has_a_row_a_sample(name):
    """Numbered, and with the numbers of the fields."""
    result = results()[name]
    frame = result.to_frame()
    n = 2 if name == "fewest_pixels" else 30
    assert isinstance(frame, pd.DataFrame)
    assert frame["sample"].tolist() == list(range(n))
    assert frame.columns.is_unique
    for column in frame.columns.drop("sample"):
        own = getattr(result, column, None)
        if own is not None:
            np.testing.assert_array_equal(frame[column], own)


def test_the_columns_of_perturbations_and_bounds():
    """Relative norms by layer, and κ of every layer."""
    result = results()["both"]
    frame = result.to_frame()
    relative = result.perturbation.relative_norms
    np.testing.assert_array_equal(frame[["layer_1", "layer_2", "input"]], relative)
    np.testing.assert_allclose(frame.relative_norm**2, result.objective, rtol=1e-14)
    bound = results()["bound"]
    np.testing.assert_array_equal(bound.to_frame()[["radius", "kappa_2", "kappa_3", "kappa_4"]], bound.layers)


def axes_of(figure):
    """The axes of a figure, without colour bars."""
    return [axes for axes in figure.axes if not hasattr(axes, "_colorbar")]


@pytest.mark.parametrize("name", ["weights", "both", "enclosure", "step"])
def test_a_plot_is_a_figure_with_named_axes(name, tmp_path):
    """Not one of pyplot's; the outer axes say what they show, and colour bars too."""
    figure = results()[name].plot()
    assert isinstance(figure, Figure)
    assert not pyplot.get_fignums()
    figure.savefig(tmp_path / "figure.png", dpi=30)
    shown = axes_of(figure)
    assert any(axes.get_xlabel() for axes in shown)
    assert any(axes.get_ylabel() for axes in shown)
    assert all(axes.get_ylabel() for axes in figure.axes if axes not in shown)


@pytest.mark.parametrize("name", SHAPES)
def test_images_and_vectors_are_drawn_as_they_are(name):
    """Those asked for, in their order: their pixels, the change, and both together."""
    net, x, _ = case(SHAPES[name], 6)
    result = bea.attacks.fgsm(net, x, net.classify(x), 0.2)
    result.dx[4] = np.nan  # one without a change to offer
    figure = result.plot([3, 4])
    shown = axes_of(figure)
    if len(SHAPES[name]) == 1:
        assert len(shown) == 2
        np.testing.assert_array_equal(shown[0].lines[0].get_ydata(), x[3])
        np.testing.assert_array_equal(shown[0].lines[1].get_ydata(), x[3] + result.dx[3])
        return
    assert [axes.get_title().splitlines()[0] for axes in shown[:2]] == ["sample 3", "sample 4"]
    drawn = [axes.images[0].get_array() for axes in shown[::2]]
    if name == "colour":
        low, high = min(x[3:5].min(), result.images[3].min()), max(x[3:5].max(), result.images[3].max())
        np.testing.assert_allclose(drawn[0] * (high - low) + low, x[3], rtol=1e-12)
        np.testing.assert_allclose(drawn[1], np.sqrt((result.dx[3] ** 2).sum(axis=2)), rtol=1e-12)
    else:
        for found, expected in zip(drawn, (x[3], result.dx[3], result.images[3]), strict=True):
            np.testing.assert_array_equal(found, expected.reshape(6, 5))


def test_shares_are_those_of_all_samples():
    """A curve ends at the share of those that have a number."""
    figure = draw_shares({"a": np.array([3.0, 1.0, np.inf, np.nan]), "b": np.array([1e-4, 2.0, 2.0, 1.0])}, "radius")
    (axes,) = figure.axes
    np.testing.assert_array_equal(axes.lines[0].get_xydata(), [[1.0, 0.25], [3.0, 0.5]])
    assert axes.lines[1].get_ydata()[-1] == 1.0
    assert axes.get_xscale() == "log"
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["a", "b"]


@pytest.mark.parametrize(("samples", "received"), [([30], r"\[30\]"), (-1, "-1"), ([0.5], r"\[0.5\]"), ([], r"\[\]")])
def test_samples_that_are_not_there_are_named(samples, received):
    """And a batch without any has no picture."""
    with pytest.raises(ValueError, match=f"^samples: expected numbers .*received {received}"):
        results()["both"].plot(samples)
    net, x, target = case()
    with pytest.raises(ValueError, match=r"^plot: expected a result"):
        attack(net, x[:0], target[:0]).plot()


def test_an_empty_batch_has_words_and_an_empty_frame():
    """Nothing to measure."""
    net, x, target = case()
    for result in (
        attack(net, x[:0], target[:0]),
        lower_bound(net, x[:0]),
        bea.attacks.fgsm(net, x[:0], target[:0], 1.0),
    ):
        assert "0 of 0 samples" in repr(result)
        assert "none to measure" in result.summary()
        assert len(result.to_frame()) == 0


@pytest.mark.parametrize(
    ("package", "extra", "call"),
    [
        ("pandas", "frame", lambda result: result.to_frame()),
        ("matplotlib", "plot", lambda result: result.plot()),
        ("tqdm", "progress", lambda _: lower_bound(*case()[:2], progress=True)),
    ],
)
def test_a_missing_package_is_named_with_the_extra_that_brings_it(package, extra, call, monkeypatch):
    """One error each."""
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=rf"^{package}: expected to be installed.*pip install 'bea\[{extra}\]'"):
        call(results()["weights"])


def test_what_a_package_lacks_itself_is_its_own_error(monkeypatch):
    """It is not taken for a missing package."""
    monkeypatch.setitem(sys.modules, "pandas", None)
    import bea.lazy

    monkeypatch.setattr(bea.lazy, "import_module", lambda name: __import__("pandas"))
    with pytest.raises(ModuleNotFoundError, match="import of pandas halted"):
        bea.lazy.optional("wrapper_of_pandas", "frame")


def test_perturbed_images():
    """x + Δx, or x where only weights change; NaN where there is none."""
    np.testing.assert_array_equal(results()["weights"].images, results()["weights"].perturbation.x)
    perturbation = results()["both"].perturbation
    np.testing.assert_array_equal(results()["both"].images, perturbation.x + perturbation.dx)
    one = Perturbation([None], np.full((1, 2), np.nan), np.ones((1, 2)), np.ones(1), np.zeros(1, bool))
    assert np.isnan(one.images).all()
    step = results()["step"]
    np.testing.assert_array_equal(step.images, step.x + step.dx)
    assert isinstance(step, InputAttackResult)
