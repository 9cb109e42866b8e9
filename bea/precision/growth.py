"""Backward error bounds of inner products, layers and networks: what share of the weights all roundings are together.

An inner product is computed as ``Σ_k w_k h_k Π_i (1 + δ_i)`` with ``|δ_i| ≤ u``, one factor for each rounding that the
term takes part in. What n such factors amount to is the relative change of w_k that explains the result:

- at most ``γ_n = n u/(1 - n u)``, if ``n u < 1`` (Higham 2002, lemma 3.1); for an inner product of n terms as a whole,
  rounded to nearest, also ``n u`` for every n (Jeannerod and Rump 2013);
- at most ``γ̃_n(λ) = exp((λ √n u + n u²)/(1 - u)) - 1`` with a probability of ``1 - 2 exp(-λ² (1 - u)²/2)`` or more, if
  the δ_i are random, independent and of mean zero (Higham and Mary 2019). With factors of several u, n u² is Σ u_i².

Stochastic rounding has ``|δ_i| ≤ 2u``, and mean zero by its making (Connolly, Higham and Mary 2021).

The theorem for a network of dense layers (Beuzeville, Buttari, Gratton and Mary 2024 have it in other terms): **the
computed logits are exactly those of the same network for the same image in real arithmetic, with weights** ``A_i +
ΔA_i, |ΔA_i| ≤ β_i |A_i|`` **entry by entry**, so that ``‖ΔA_i‖ ≤ β_i ‖A_i‖``. For layer i let ``v̂ = fl(A ŷ)`` be
computed from what the layer before has stored, ``ŷ``. Each entry is ``Σ_k a_jk ŷ_k (1 + θ_jk)``, θ from the rounding of
the weight, of the products and sums, and of the result that is stored. An activation gives ``f(v̂_j) (1 + δ_j)``, and
``1 + δ_j`` multiplies column j of the next matrix: it is counted there, as that of the image is in the first layer.
Nothing is to be added where f is relu or another that rounds nothing; one that rounds must not follow what was rounded,
the image or another one, as that would be a change inside f. Assumed is that nothing overflows or is
subnormal, and that activations are rounded from their exact values. The ΔA_i depend on the image.

A convolution uses its weights once a position, and the roundings differ there: what changes by β_i is the matrix of the
whole layer, in which each position has weights of its own; for shared weights this is no backward error.
"""

import math
from dataclasses import dataclass

import numpy as np

from bea.networks.global_pooling import GlobalMaxPool
from bea.networks.layers import Activation, Dense, Flatten, Weighted
from bea.networks.network import Network
from bea.networks.reshaping import Crop, Pad, Permute, Reshape
from bea.networks.sequence import shapes_of
from bea.networks.windows import MaxPool
from bea.precision.products import Arithmetic
from bea.precision.quantisation import machine_for

FORMS = ("gamma", "linear")
ROUNDS_NOTHING = ("abs", "hard_tanh", "linear", "relu", "relu6")  # activations


def worst_growth(terms, unit) -> np.ndarray:
    """Return γ_n = n u/(1 - n u): what n factors 1 + δ, |δ| ≤ u, differ from one by at most; infinite unless n u < 1.

    Higham (2002), lemma 3.1.

    Parameters
    ----------
    terms : int or array
        n.
    unit : float
        u.
    """
    product = np.asarray(terms, dtype=float) * unit
    with np.errstate(divide="ignore"):
        return np.where(product < 1.0, product / np.where(product < 1.0, 1.0 - product, 1.0), np.inf)


def likely_growth(terms, unit, multiplier) -> np.ndarray:
    """Return ``exp((λ √n u + n u²)/(1 - u)) - 1``: what n random factors 1 + δ, |δ| ≤ u, differ from one by as a rule.

    With a probability of ``1 - 2 exp(-λ² (1 - u)²/2)`` or more, if they are independent and of mean zero (Higham and
    Mary 2019).

    Parameters
    ----------
    terms : int or array
        n.
    unit : float
        u.
    multiplier : float
        λ.
    """
    terms = np.asarray(terms, dtype=float)
    return np.expm1((multiplier * np.sqrt(terms) * unit + terms * unit**2) / (1.0 - unit))


def multiplier_of(confidence, events, unit) -> float:
    """Return λ with which ``events`` bounds γ̃(λ) hold at once with a probability of at least ``confidence``.

    ``1 - 2 N exp(-λ² (1 - u)²/2) = confidence``, N the number of events: no independence of them is needed.

    Raises
    ------
    ValueError
        Unless 0 < confidence < 1.
    """
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence: expected a number between 0 and 1, received {confidence!r}")
    return math.sqrt(2.0 * math.log(2.0 * events / (1.0 - confidence))) / (1.0 - unit)


@dataclass(frozen=True, eq=False)
class WeightBound:
    """How much of the weights the roundings of a pass are at most, layer by layer; see ``bea.precision.growth``.

    Attributes
    ----------
    terms : int array (p,)
        n of each layer with weights: in how many roundings of products and sums a term takes part, bias included.
    componentwise : array (p,)
        ``max |ΔA_i| / |A_i|`` at most; infinite where there is no bound.
    normwise : array (p,)
        ``‖ΔA_i‖ / ‖A_i‖`` (Frobenius) at most; the same but for weights in 8 bits.
    total : float
        ``√(Σ ‖ΔA_i‖²/‖A_i‖²)`` at most, the norm of eq. (5) of paper B.
    confidence : float
        Probability with which all of this holds for an image; 1 for a deterministic bound.
    multiplier : float
        λ; NaN for a deterministic bound.
    """

    terms: np.ndarray
    componentwise: np.ndarray
    normwise: np.ndarray
    total: float
    confidence: float = 1.0
    multiplier: float = math.nan


def deterministic_bound(
    net: Network,
    format,
    accumulator=None,
    rounding="nearest",
    order="sequential",
    form="gamma",
    int8="per_channel",
    activations="float32",
) -> WeightBound:
    """Bound the backward error of ``low_precision`` on the weights, whatever the roundings.

    The logits that are computed are exactly those of the same network for the same image with weights ``A_i + ΔA_i``,
    ``|ΔA_i| ≤ β_i |A_i|`` entry by entry: a product of n factors 1 + δ, |δ| ≤ u, is 1 + θ with ``|θ| ≤ γ_n`` (Higham
    2002, lemma 3.1; Beuzeville et al. 2024 for networks). n counts the products and sums of a term, its weight, the
    image or the activation that it multiplies, and the result that is stored. Assumed is that nothing overflows or is
    subnormal, and that activations are rounded from exact values. For a convolution it is the matrix of the whole layer
    that changes so, in which every position has weights of its own.

    Parameters
    ----------
    net : Network
        Of dense layers, convolutions, activations, max pooling and reshapes, one after the other.
    format, accumulator, rounding, order, int8, activations
        As in ``bea.precision.low_precision``.
    form : {"gamma", "linear"}
        γ_n, as usual in the literature, or n u, which is smaller, holds for every n, and is about rounding to nearest
        in any order only.

    Raises
    ------
    ValueError
        For a layer whose roundings are no change of weights, as those of a second activation without weights before it,
        "linear" with stochastic rounding, and what ``low_precision`` refuses.
    """
    if form not in FORMS:
        raise ValueError(f"form: expected one of {FORMS}, received {form!r}")
    if form == "linear" and rounding != "nearest":
        raise ValueError(f'form: expected "gamma" with the rounding {rounding!r}, received "linear"')
    lowered, machine = machine_for(net, format, accumulator, rounding, order, int8, activations)
    counts = _counts(lowered, machine)
    return _bound(net, lowered, counts, _worst(lowered, machine, counts, form))


def probabilistic_bound(
    net: Network,
    format,
    accumulator=None,
    rounding="nearest",
    order="sequential",
    confidence=0.95,
    int8="per_channel",
    activations="float32",
) -> WeightBound:
    """Bound the backward error of ``low_precision`` on the weights, if rounding errors are random with mean zero.

    Of mean zero and independent, as Higham and Mary (2019) assume; with stochastic rounding they are of mean zero. In
    place of γ_n stands ``exp((λ √n u + n u²)/(1 - u)) - 1``, which holds for one product of factors with a probability
    of ``1 - 2 exp(-λ² (1 - u)²/2)``. λ is such that all terms of all inner products of an image keep to it at once with
    the given probability: it grows like √(log N) with their number N. Where few roundings make the deterministic bound
    smaller, it is that.

    Parameters
    ----------
    net, format, accumulator, rounding, order, int8, activations
        As in ``bea.precision.deterministic_bound``.
    confidence : float
        Between 0 and 1.

    Raises
    ------
    ValueError
        As there, and for another confidence.
    """
    lowered, machine = machine_for(net, format, accumulator, rounding, order, int8, activations)
    counts = _counts(lowered, machine)
    largest = max(machine.unit, machine.sum_unit)
    events = sum(terms_of(lowered))
    multiplier = multiplier_of(confidence, events, largest)
    squares = [sums * machine.sum_unit**2 + stored * machine.unit**2 for sums, stored in counts]
    likely = [np.expm1((multiplier * math.sqrt(each) + each) / (1.0 - largest)) for each in squares]
    worst = _worst(lowered, machine, counts, "linear" if rounding == "nearest" else "gamma")
    return _bound(net, lowered, counts, np.minimum(likely, worst), confidence, multiplier)


def _worst(net, machine, counts, form) -> list:
    """Return what all roundings of each layer amount to at most."""
    if form == "linear":
        size = [layer.matrix.shape[1] * machine.sum_unit for layer in net.weighted]
        return [
            (1.0 + one) * (1.0 + machine.unit) ** stored - 1.0 for one, (_, stored) in zip(size, counts, strict=True)
        ]
    if machine.format == machine.accumulator:
        return [worst_growth(sums + stored, machine.unit) for sums, stored in counts]
    both = [(worst_growth(sums, machine.sum_unit), worst_growth(stored, machine.unit)) for sums, stored in counts]
    return [(1.0 + of_sums) * (1.0 + of_stored) - 1.0 for of_sums, of_stored in both]


def proven_total(net: Network, format, accumulator, rounding, order, int8, activations) -> float:
    """Return ``deterministic_bound(…).total`` with what subnormal numbers may add, if nothing overflows.

    An absolute error η of a weight is a change of it; one of an input, a product or a result changes the bias. Infinite
    unless all layers with weights are dense, and have one.
    """
    lowered, machine = machine_for(net, format, accumulator, rounding, order, int8, activations)
    if not all(isinstance(layer, Dense) and layer.bias for layer in lowered.weighted):
        return math.inf
    form = "linear" if rounding == "nearest" else "gamma"
    bound = deterministic_bound(net, format, accumulator, rounding, order, form, int8, activations)
    stored, summed, lost = machine.format.spacing, machine.accumulator.spacing, []
    for layer in lowered.weighted:
        rows, columns = layer.matrix.shape
        of_inputs = np.linalg.norm(np.abs(layer.matrix).sum(axis=1) + columns * stored)
        lost.append(
            stored * (math.sqrt(rows * columns) + of_inputs + math.sqrt(rows)) + summed * columns * math.sqrt(rows)
        )
    # Roundings that come after the lost digits let them grow, as they do all else.
    total = bound.normwise + (1.0 + bound.normwise) * np.array(lost) / net.weight_norms
    return float(np.linalg.norm(total)) * (1.0 + 1e-9)


def _bound(net, lowered, counts, share, *likely) -> WeightBound:
    """Return the bound from the share of each layer, the change to 8 bits included."""
    share, before, after = np.array(share, dtype=float), net.weighted, lowered.weighted
    pairs = list(zip(before, after, strict=True))
    entry = np.array([_largest_share(one.matrix, other.matrix) for one, other in pairs])
    norm = np.array([np.linalg.norm(other.matrix - one.matrix) for one, other in pairs]) / net.weight_norms
    componentwise, normwise = ((1.0 + each) * (1.0 + share) - 1.0 for each in (entry, norm))
    terms = np.array([sums for sums, _ in counts])
    return WeightBound(terms, componentwise, normwise, float(np.linalg.norm(normwise)), *likely)


def _largest_share(matrix, other):
    return np.divide(np.abs(other - matrix), np.abs(matrix), out=np.zeros(matrix.shape), where=matrix != 0.0).max()


def terms_of(net: Network) -> list[int]:
    """Return how many terms the inner products of each layer with weights have together, for an image."""
    shapes = shapes_of(net.layers, net.input_shape)
    return [math.prod(shape) * layer.matrix.shape[1] for layer, _, shape in shapes if isinstance(layer, Weighted)]


def _counts(net, machine: Arithmetic) -> list[tuple[int, int]]:
    """Return the numbers of roundings of each layer with weights: to the accumulator's format, and to the format."""
    found, carried = [], 1  # the image is rounded
    for layer in net.layers:
        match layer:
            case Weighted():
                sums = machine.roundings(layer.kernel.shape[1], layer.bias)
                # The weight, the input, and the result if it is not in its format already.
                found.append((sums, 1 + carried + (machine.accumulator != machine.format)))
                carried = 0
            case Activation() if layer.name in ROUNDS_NOTHING:
                pass
            case Activation() if carried:
                raise ValueError(
                    "net: expected weights between the image or an activation that rounds and the next one that does, "
                    f"received {layer.name} without"
                )
            case Activation():
                carried = 1
            case Flatten() | Reshape() | Permute() | Pad() | Crop() | MaxPool() | GlobalMaxPool():
                pass
            case _:
                raise ValueError(
                    "net: expected layers whose roundings are changes of weights (dense, convolution, activation, "
                    f"max pooling, reshapes), received a {type(layer).__name__}"
                )
    return found
