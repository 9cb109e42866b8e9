"""Where along a ray the class of an image changes (paper D, section 5.2.1): all such places, without a grid.

Along ``x(ε) = x + ε s``, clipped to the range of the pixels if asked for, the *lead* of a class is its logit less the
largest other one: positive where the network gives this class, negative where it gives another. The class is lost or
won where the lead changes its sign. Segments of the ray are halved until each is proved to hold one such change, or no
change at all:

- For a segment, bounds of the derivative with respect to ε go through the network layer by layer: the affine maps take
  centre and radius of an interval, an activation the least and largest slope that it has where its input may lie.
- Values at both ends and bounds of the slope between them enclose a function on the segment. If all differences of
  logits are positive there, or one is negative, nothing changes; if those that may vanish never fall, or never rise,
  there is one change where the lead has different signs at the ends, else none.
- A change that is alone in its segment is located by a root finder that keeps it enclosed (Chandrupatla's, of SciPy).

A tie is no lead: there the class counts as not given, whatever ``argmax`` says. The proof holds in exact arithmetic;
bounds of the lead smaller than 1e-12 of the logits are not trusted.
"""

import math
from dataclasses import dataclass, field
from itertools import takewhile

import numpy as np
from scipy.optimize import elementwise

from bea.bounds.along_ray import AFFINE, slope_bounds, value_bounds
from bea.networks.leads import lead, lead_over_each
from bea.networks.network import Network
from bea.numerics.arrays import column
from bea.numerics.blocks import blocks

SLACK = 1e-12  # of the size of the logits: what rounding may do to a bound
NARROWEST = 2.0**-40  # of the ray: shorter segments are not halved but called unresolved
MOST = 1000  # segments of one ray waiting to be halved; where there are more, a tie up to rounding, all are unresolved
BLOCK_NUMBERS = 2**21  # in an array that a thread holds: few and large blocks spare the root finder
CHUNK_NUMBERS = 2**17  # in an array between two layers, so that it stays in the processor's cache


@dataclass(frozen=True, eq=False)
class Rays:
    """The images ``x + ε s`` of a batch, and how far one class leads along each.

    Parameters
    ----------
    net : Network
    x, direction : arrays (n, *input_shape)
        Images and s, in units of the pixels; for ``clip`` within ``net.input_range``.
    aim : int array (n,)
        The class whose lead is followed.
    clip : bool
        Whether the images are clipped to ``net.input_range``.

    Attributes
    ----------
    layers : tuple
        The layers behind the affine head.
    start, slope : arrays (n, …)
        What they receive at ε = 0, and its derivative.
    chunk : int
        How many samples are run through the layers at a time.
    """

    net: Network
    x: np.ndarray
    direction: np.ndarray
    aim: np.ndarray
    clip: bool = False
    layers: tuple = field(init=False)
    start: np.ndarray = field(init=False)
    slope: np.ndarray = field(init=False)
    chunk: int = field(init=False)

    def __post_init__(self):
        head = [] if self.clip else list(takewhile(lambda layer: isinstance(layer, AFFINE), self.net.layers[:-1]))
        start, slope = self.x, self.direction
        for layer in head:
            output = layer.forward(start)
            start, slope = output, layer.push_forward(slope, start, output)
        chunk = max(CHUNK_NUMBERS // math.prod(start.shape[1:]), 32)
        layers = self.net.layers[len(head) :]
        for name, value in (("layers", layers), ("start", start), ("slope", slope), ("chunk", chunk)):
            object.__setattr__(self, name, value)

    def at(self, samples, epsilon) -> np.ndarray:
        """Return what the first of ``layers`` receives at ε (m,) of some samples (m,)."""
        y = self.start[samples] + column(epsilon, self.start) * self.slope[samples]
        return np.clip(y, *self.net.input_range) if self.clip else y

    def logits(self, samples, epsilon) -> np.ndarray:
        """Return the logits (m, classes) at ε (m,) of some samples (m,)."""
        y = self.at(samples, epsilon)
        for layer in self.layers:
            y = layer.forward(y)
        return y

    def lead(self, samples, epsilon) -> np.ndarray:
        """Return the logit of the aim less the largest other one, (m,), at ε (m,) of some samples (m,)."""
        parts = blocks(len(samples), self.chunk)
        return np.concatenate([lead(self.logits(samples[p], epsilon[p]), self.aim[samples[p]]) for p in parts])

    def prove(self, samples, left, right) -> np.ndarray:
        """Return for segments (m,) whether it is proved that the lead changes its sign at most once, (m,).

        Parameters
        ----------
        samples : int array (m,)
        left, right : arrays (m,)
            Ends of the segments.
        """
        aim = self.aim[samples]
        y, z = self.at(samples, left), self.at(samples, right)  # at the left and at the right end, layer by layer
        low, high = self._first_slopes(samples, left, right)
        for layer in self.layers[:-1]:
            v, w = layer.forward(y), layer.forward(z)
            low, high = slope_bounds(layer, y, z, v, low, high, right - left)
            y, z = v, w
        last = self.layers[-1]
        v, w = last.forward(y), last.forward(z)
        # The same for the differences between the aim's logit and each other one.
        middle, spread = 0.5 * (low + high) @ last.kernel.T, np.empty_like(v)
        middle = np.take_along_axis(middle, aim[:, None], 1) - middle
        for k in np.unique(aim):
            spread[aim == k] = 0.5 * (high - low)[aim == k] @ np.abs(last.kernel[k] - last.kernel).T
        low, high = middle - spread, middle + spread
        least, most = value_bounds(lead_over_each(v, aim), lead_over_each(w, aim), low, high, right - left)
        slack = SLACK * np.maximum(np.abs(v), np.abs(w)).max(axis=1, keepdims=True)
        others = aim[:, None] != np.arange(self.net.classes)
        may_vanish = others & ~(least > slack)  # so that NaN counts as unknown
        always_leads = ~may_vanish.any(axis=1)
        never_leads = (others & (most < -slack)).any(axis=1)
        # The lead is the least difference: where all that matter only fall, or only rise, it changes sign once at most.
        falls, rises = (~may_vanish | (high <= 0.0)).all(axis=1), (~may_vanish | (low >= 0.0)).all(axis=1)
        return always_leads | never_leads | falls | rises

    def _first_slopes(self, samples, left, right):
        """Return the least and the largest slope of ``at`` on segments."""
        slope = self.slope[samples]
        if not self.clip:
            return slope, slope
        # A pixel moves until it meets the end of the range that it moves towards.
        room = np.where(slope > 0.0, self.net.input_range[1], self.net.input_range[0]) - self.start[samples]
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            stop = np.where(slope == 0.0, np.inf, room / slope)
        starts = np.where(column(left, slope) < stop, slope, 0.0)
        ends = np.where(column(right, slope) <= stop, slope, 0.0)
        return np.minimum(starts, ends), np.maximum(starts, ends)


def isolate(rays: Rays, samples, left, right, before, after, narrowest) -> tuple[tuple, np.ndarray]:
    """Halve segments of rays until each holds at most one change.

    Parameters
    ----------
    rays : Rays
    samples : int array (m,)
    left, right : arrays (m,)
        Ends of the segments.
    before, after : bool arrays (m,)
        Whether the aim leads there. Who leads at a point is decided once, here for the middles: rounding may see it
        differently the next time, and a change would be found twice, or not at all.
    narrowest : float
        Length below which a segment is not halved any more.

    Returns
    -------
    samples, left, right, after : arrays (k,)
        Segments that hold exactly one change, and whether the aim leads behind it.
    unresolved : int array
        Samples of the segments that were not halved any further.
    """
    found, unresolved = [[], [], [], []], []
    while len(samples):
        parts = blocks(len(samples), rays.chunk)
        proved = np.concatenate([rays.prove(samples[part], left[part], right[part]) for part in parts])
        single = proved & (before != after)
        for known, values in zip(found, (samples, left, right, after), strict=True):
            known.append(values[single])
        hopeless = np.bincount(samples[~proved], minlength=len(rays.x))[samples] > MOST
        hopeless |= right - left <= narrowest
        unresolved.append(samples[~proved & hopeless])
        samples, left, right, before, after = (
            values[~proved & ~hopeless] for values in (samples, left, right, before, after)
        )
        middle = 0.5 * (left + right)
        between = rays.lead(samples, middle) > 0.0
        left, right = np.concatenate([left, middle]), np.concatenate([middle, right])
        before, after = np.concatenate([before, between]), np.concatenate([between, after])
        samples = np.tile(samples, 2)
    nothing = samples, left, right, after
    found = tuple(np.concatenate([*known, none]) for known, none in zip(found, nothing, strict=True))
    return found, np.concatenate([*unresolved, samples])


def locate(rays: Rays, samples, left, right, won, tolerance) -> tuple[np.ndarray, np.ndarray]:
    """Narrow segments that hold one change each.

    Parameters
    ----------
    rays : Rays
    samples : int array (k,)
    left, right : arrays (k,)
        Ends of the segments.
    won : bool array (k,)
        Whether the aim leads behind the change.
    tolerance : float

    Returns
    -------
    last, first : arrays (k,)
        ε before and behind the change, no further apart than the tolerance.
    """
    if not len(samples):
        return left, right

    def lead(epsilon, sample):
        value = rays.lead(sample, epsilon)
        return np.where(value == 0.0, -np.finfo(float).tiny, value)  # a tie is no lead, and no root to stop at

    root = elementwise.find_root(
        lead,
        (left, right),
        args=(samples,),
        tolerances={"xatol": 0.25 * tolerance, "xrtol": 0.0, "fatol": 0.0, "frtol": 0.0},
    )
    place, last, first = root.x, np.minimum(*root.bracket), np.maximum(*root.bracket)
    # Where rounding sees the same sign at both ends, the change is at the end that is nearer to a tie.
    odd = np.flatnonzero(root.status == -1)
    nearer = np.abs(lead(left[odd], samples[odd])) < np.abs(lead(right[odd], samples[odd]))
    place[odd] = last[odd] = first[odd] = np.where(nearer, left[odd], right[odd])
    # The two may be closer than rounding can tell apart. Half a tolerance off, it can.
    earlier, later = np.maximum(place - 0.5 * tolerance, left), np.minimum(place + 0.5 * tolerance, right)
    last = np.where((rays.lead(samples, earlier) > 0.0) != won, earlier, last)
    first = np.where((rays.lead(samples, later) > 0.0) == won, later, first)
    return last, first
