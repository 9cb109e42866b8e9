"""`bea.networks.elementwise`: every function against JAX and its derivatives, steepest slopes, and kinks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flint import arb, arb_series, ctx

from bea.bounds.along_ray import slope_bounds
from bea.bounds.lipschitz import lipschitz_constant
from bea.networks.elementwise import ELEMENTWISE
from bea.networks.layers import Activation
from bea.networks.normalisation import PReLU
from bea.networks.smoothing import RoundedOff, round_off_kinks
from oracles import RNG, relative_error

# Parameter and the function in JAX.
FUNCTIONS = {
    "abs": (None, jnp.abs),
    "celu": (0.7, lambda v: jax.nn.celu(v, 0.7)),
    "clip": ((-0.7, 1.2), lambda v: jnp.clip(v, -0.7, 1.2)),
    "clipped_relu": ((0.1, 0.5, 2.0), lambda v: jnp.where(v < 0.5, 0.1 * (v - 0.5), jnp.minimum(v, 2.0))),
    "elu": (1.3, lambda v: jax.nn.elu(v, 1.3)),
    "exponential": (None, jnp.exp),
    "gelu": (None, lambda v: jax.nn.gelu(v, approximate=False)),
    "gelu_tanh": (None, lambda v: jax.nn.gelu(v, approximate=True)),
    "hard_shrink": (0.5, lambda v: jnp.where(jnp.abs(v) > 0.5, v, 0.0)),
    "hard_sigmoid": (None, jax.nn.hard_sigmoid),
    "hard_silu": (None, jax.nn.hard_silu),
    "hard_tanh": (None, jax.nn.hard_tanh),
    "leaky_relu": (0.2, lambda v: jax.nn.leaky_relu(v, 0.2)),
    "linear": (None, lambda v: v),
    "log_sigmoid": (None, jax.nn.log_sigmoid),
    "mish": (None, jax.nn.mish),
    "relu": (None, jax.nn.relu),
    "relu6": (None, jax.nn.relu6),
    "selu": (None, jax.nn.selu),
    "sigmoid": (None, jax.nn.sigmoid),
    "silu": (None, jax.nn.silu),
    "smooth_relu": (0.3, lambda v: jax.nn.squareplus(v, 0.09)),
    "soft_shrink": (0.5, lambda v: jnp.sign(v) * jnp.maximum(jnp.abs(v) - 0.5, 0.0)),
    "softplus": (None, jax.nn.softplus),
    "softsign": (None, jax.nn.soft_sign),
    "sparse_plus": (None, jax.nn.sparse_plus),
    "sparse_sigmoid": (None, jax.nn.sparse_sigmoid),
    "tanh": (None, jnp.tanh),
    "tanh_shrink": (None, lambda v: v - jnp.tanh(v)),
    "threshold": ((0.3, -0.1), lambda v: jnp.where(v > 0.3, v, -0.1)),
}
STEEP = {"gelu": 2**0.5, "gelu_tanh": 1.41850400782, "mish": 1.49057117853, "silu": 2.39935727863}  # and where
GRID = np.linspace(-9.0, 9.0, 2001) + 1e-4  # no kink is on it


@pytest.fixture(autouse=True)
def _double():
    with jax.enable_x64(True):
        yield


def activation(name):
    """The layer with the parameter of ``FUNCTIONS``."""
    return Activation(name, FUNCTIONS[name][0])


def derivatives(layer, v):
    """Value, slope and bend at v."""
    y, one = layer.forward(v), np.ones_like(v)[None, None]
    return y, layer.slope(v, y), np.broadcast_to(layer.bend(one, one[0], v[None], y[None]), one.shape)[0, 0]


def test_every_function_is_compared():
    assert FUNCTIONS.keys() == ELEMENTWISE.keys()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_and_their_derivatives_are_those_of_jax(name):
    """Value, slope and second derivative on a grid, to the digits that JAX's own formulas have far to the left."""
    function = FUNCTIONS[name][1]
    first = jax.grad(function)
    expected = jax.jit(jax.vmap(lambda v: (function(v), first(v), jax.grad(first)(v))))(GRID)
    for found, wanted in zip(derivatives(activation(name), GRID), expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-13, atol=1e-12)


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("name", sorted(FUNCTIONS.keys() - {"exponential"}))
def test_large_numbers_neither_overflow_nor_cancel(name):
    """Far out a function is flat or a straight line: its bend is zero and its slope that of the chord."""
    layer, v = activation(name), np.array([-2e150, -1e150, -800.0, -700.0, 700.0, 800.0, 1e150, 2e150])
    y, slope, bend = derivatives(layer, v)
    np.testing.assert_allclose(bend, 0.0, atol=1e-5)  # softsign ends slowly
    chord = (y[1::2] - y[::2]) / (v[1::2] - v[::2])
    np.testing.assert_allclose(slope[::2], chord, rtol=1e-12, atol=1e-5)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_nothing_is_steeper_than_the_steepest_slope(name):
    """No chord is, and some slope comes close; what jumps or grows without end has no constant."""
    layer, rng = activation(name), RNG(1)
    if name in ("clipped_relu", "exponential", "hard_shrink", "threshold"):
        with pytest.raises(ValueError, match=f"layer: expected one with a Lipschitz constant, received .*{name}"):
            lipschitz_constant(layer, (3,))
        return
    steepest = lipschitz_constant(layer, (3,))
    v, r = 4.0 * rng.standard_normal(20_000), rng.standard_normal(20_000) * 10.0 ** rng.uniform(-4, 1, 20_000)
    rounding = 1e-15 * (1.0 + np.abs(v) + np.abs(r))
    assert (np.abs(layer.forward(v + r) - layer.forward(v)) <= steepest * np.abs(r) + rounding).all()
    dense = np.concatenate([GRID, np.linspace(-1e-3, 1e-3, 201), [-1e9, 1e9, 2.9999]])
    found = np.abs(layer.slope(dense, layer.forward(dense))).max()
    assert (1 - 2e-3) * steepest <= found <= steepest * (1 + 1e-13)


def in_balls(name, low, high):
    """Enclosures of the first three derivatives on an interval, of the formulas in Arb's own series."""
    v = arb_series([arb(low).union(arb(high)), 1], prec=4)
    try:
        if name == "gelu":
            f = v * (1 + (v / arb(2).sqrt()).erf()) / 2
        elif name == "mish":
            w = 1 + v.exp()
            f = v - v * 2 / (w * w + 1)
        else:
            u = v if name == "silu" else 2 * (2 / arb.pi()).sqrt() * (v + arb("0.044715") * v * v * v)
            f = v * u.exp() / (1 + u.exp()) if high <= 0 else v / (1 + (-u).exp())
    except ValueError:  # a division by what may be zero
        return 3 * (arb("nan"),)
    return f[1], 2 * f[2], 6 * f[3]


def parts(low, high, is_proved):
    """Halve an interval until every part is proved; fail where a part gets too narrow for it."""
    waiting = [(low, high)]
    while waiting:
        low, high = waiting.pop()
        if not is_proved(low, high):
            middle = (low + high) / 2
            assert high - low > 1e-9, (low, high)
            waiting += [(low, middle), (middle, high)]


@pytest.mark.parametrize("name", STEEP)
def test_the_steepest_slopes_that_were_computed_are_proved(name):
    """By interval arithmetic: ``|f'|`` is nowhere larger, and somewhere as large but for the 13th digit.

    On [-12, 12] by ``f'(I) ⊂ f'(m) + f''(I) (I - m)``. Beyond, f is v g with ``0 < g < 1`` and
    ``|g'| ≤ 4 (1 + v²) exp(-|v|)``, so that ``|f'| ≤ 1 + 4 |v| (1 + v²) exp(-|v|)``, which falls from 4 on.
    """
    steepest = arb(activation(name).steepest)
    assert 1 + 48 * arb(145) * arb(-12).exp() < steepest

    def is_proved(low, high):
        middle = (low + high) / 2
        at, bend = in_balls(name, middle, middle)[0], in_balls(name, low, high)[1]
        return abs(at + bend * (arb(low).union(arb(high)) - middle)) < steepest

    with ctx.workprec(128):
        parts(-12.0, 12.0, is_proved)
        assert in_balls(name, STEEP[name], STEEP[name])[0] > steepest - arb("2e-13")


@pytest.mark.parametrize("name", STEEP)
def test_slopes_turn_where_they_are_said_to(name):
    """On [-12, 12] f'' vanishes within 1e-12 of these places, once, and nowhere else: by interval arithmetic."""
    places = ELEMENTWISE[name].turns
    with ctx.workprec(128):
        for place in places:
            near = place - 1e-3, place + 1e-3
            before, after = (in_balls(name, each, each)[1] for each in (place - 1e-12, place + 1e-12))
            assert before * after < 0
            parts(*near, lambda low, high: not in_balls(name, low, high)[2].contains(0))
        edges = [-12.0, *(place + side for place in places for side in (-1e-3, 1e-3)), 12.0]
        for low, high in zip(edges[::2], edges[1::2], strict=True):
            parts(low, high, lambda low, high: not in_balls(name, low, high)[1].contains(0))


def test_slopes_along_a_segment_lie_within_bounds_that_they_reach():
    """Of every function that does not jump, between random ends: in none of 400 points beyond, and close to both."""
    rng, width = RNG(2), np.ones(300)
    for name in FUNCTIONS:
        layer = activation(name)
        if layer.jumps:
            continue
        y = 3.0 * rng.standard_normal((300, 1))
        d = 2.0 * rng.standard_normal((300, 1))
        low, high = slope_bounds(layer, y, y + d, layer.forward(y), d, d, width)
        v = y + d * np.linspace(0.0, 1.0, 401)
        slopes = layer.slope(v, layer.forward(v)) * d
        assert (low[:, 0] - slopes.min(axis=1) <= 1e-12).all(), name
        assert (slopes.max(axis=1) - high[:, 0] <= 1e-12).all(), name
        gap = np.maximum(slopes.min(axis=1) - low[:, 0], high[:, 0] - slopes.max(axis=1)) / np.abs(d[:, 0])
        assert np.quantile(gap, 0.9) <= 0.02, name


KINKED = [*(name for name in FUNCTIONS if activation(name).kinks), "clipped at zero"]


def kinked(name):
    """The layer of that name."""
    return Activation("clipped_relu", (0.1, 0.0, 2.0)) if name == "clipped at zero" else activation(name)


@pytest.mark.parametrize("name", [name for name in KINKED if name != "clipped_relu"])
def test_kinks_are_where_the_slope_jumps(name):
    """By as much as is said, and nowhere else."""
    layer = kinked(name)
    v = np.sort(np.concatenate([GRID, *([t - 1e-9, t + 1e-9] for t, _ in layer.kinks)]))
    jumps = np.diff(layer.slope(v, layer.forward(v)))
    expected = sum(jump * ((v[:-1] < t) & (v[1:] > t)) for t, jump in layer.kinks)
    np.testing.assert_allclose(jumps, expected, atol=0.016)  # what a step of 0.009 makes where the function bends
    large = np.abs(expected) > 0
    np.testing.assert_allclose(jumps[large], expected[large], atol=1e-8)


@pytest.mark.parametrize("name", [*(name for name in KINKED if name != "clipped_relu"), "prelu"])
def test_rounded_kinks_are_smooth_and_close(name):
    """Off by half the width times half the jump at most; slope and bend are those of differences, at a kink too."""
    layer = PReLU(np.array([0.1, -0.3])) if name == "prelu" else kinked(name)
    (rounded,), width, step = round_off_kinks([layer], 0.1), 0.1, 1e-6
    kinks = [np.ravel(t)[0] for t, _ in layer.kinks]
    v = np.repeat(np.concatenate([np.linspace(-4, 4, 161) + 1e-4, kinks])[:, None], 2, axis=1)
    assert round_off_kinks([layer], 0.0) == (layer,)
    most = sum(np.abs(jump).max() for _, jump in layer.kinks) * width / 2
    assert 0 < np.abs(rounded.forward(v) - layer.forward(v)).max() <= most * (1 + 1e-12)
    slope = rounded.slope(v, rounded.forward(v))
    central = (rounded.forward(v + step) - rounded.forward(v - step)) / (2 * step)
    np.testing.assert_allclose(slope, central, atol=1e-6)
    assert isinstance(rounded, RoundedOff) or name == "relu"
    ahead, back = (rounded.slope(v + d, rounded.forward(v + d)) for d in (step, -step))
    bend = rounded.bend(np.ones((1, 1, *v.shape)), np.ones((1, *v.shape)), v[None], rounded.forward(v)[None])[0, 0]
    inner = slice(None, 161)  # at the kinks themselves pieces that bend have two second derivatives
    assert relative_error(bend[inner], (ahead - back)[inner] / (2 * step)) <= 1e-7


@pytest.mark.parametrize(
    ("name", "parameter", "message"),
    [
        ("elu", None, "parameter: expected a positive finite number for elu, received None"),
        ("elu", -1.0, "parameter: expected a positive finite number for elu, received -1.0"),
        ("leaky_relu", True, "parameter: expected a finite number for leaky_relu, received True"),
        ("soft_shrink", -0.5, "parameter: expected a finite number from 0 on for soft_shrink, received -0.5"),
        ("clip", 1.0, "parameter: expected 2 numbers for clip, received 1.0"),
        ("clip", (1.0, 0.0), "parameter: expected the last number of clip to be the largest"),
        ("gelu", 1.0, "parameter: expected none for gelu, received 1.0"),
    ],
)
def test_parameters_that_make_no_sense_are_refused(name, parameter, message):
    with pytest.raises(ValueError, match=message):
        Activation(name, parameter)
