"""Lower bounds for two blocks of convolution and max pooling in front of one hidden layer of ReLUs (LeNet), sharper.

The problem is that of ``bea.bounds.ball_pooling``, whose bound is the start, and what counts where it is larger. The
bound that is tried beyond is ``bea.bounds.pooling_quadratic``: all blocks and units lose to one change δ.

Of the rivals, the one that is nearest to first order limits the radius first. At this radius all others are tried
together, with one curvature above those of all of them; then, one by one, those that need their own.
"""

import functools
from dataclasses import dataclass

import numpy as np

from bea.bounds.ball_pooling import FARTHEST, State, convolutional_bound, first_order
from bea.bounds.pooling_front import take_apart
from bea.bounds.pooling_patches import Images, Patches
from bea.bounds.pooling_quadratic import all_least_in_ball, least_in_ball, parts_below, room_above
from bea.networks.network import Network
from bea.numerics.blocks import in_blocks

START = 2.2  # of the other bound: first radius that is tried
TRIALS = 6  # at most
ENOUGH = 1.02  # the next radius to be tried, in units of one that seems to hold, is no gain
BACK = (1.0, 0.97, 0.9)  # of the radius that seemed to hold, until a proof succeeds
IMAGES = 2  # bounded at a time
SIZE = 3000  # of the largest matrix: maxima of the first block, or pixels; the time goes with its cube
ROUNDING = 1e-9


def windows_bound(net: Network, x) -> tuple[np.ndarray, np.ndarray]:
    """Return how far every image must move at least before its class can change, and the class that limits it.

    As ``convolutional_bound`` in ``bea.bounds.ball_pooling``, and never less. It is the same for other networks than
    those of two blocks, and for those with more than 3000 pixels or maxima behind the first block.
    """
    front = take_apart(net)
    radius, rival = convolutional_bound(net, x)
    patches = _patches(net) if len(front.blocks) == 2 else None
    if patches is None or max(patches.count, len(patches.first.patch) * len(patches.first.entries)) > SIZE:
        return radius, rival
    return in_blocks(lambda *part: _search(patches, net, *part), IMAGES, net.check_images(x), radius, rival)


@functools.lru_cache(maxsize=4)
def _patches(net):
    return Patches.of(take_apart(net), net.input_shape)


def _search(patches, net, x, least, rival):
    state = State.of(patches.front, net, x)
    order = first_order(net, state, x).argsort(axis=1)[:, :-1]  # all but the own class
    some = np.flatnonzero((least > 0.0) & (least < FARTHEST))
    if not len(some):
        return least, rival
    order, start, tried = order[some], least[some], Tried.of(patches, state.take(some), least[some])
    radius = tried.largest(np.arange(len(some)), order[:, 0], np.full(len(some), FARTHEST))
    limiting, doubtful = order[:, 0].copy(), ~tried.all_hold(order[:, 1:], radius)
    for rank, j in enumerate(order.T[1:]):
        who = np.flatnonzero(doubtful[:, rank] & (radius > start))
        who = who[~tried.hold(who, j[who], radius[who])]
        radius[who] = tried.largest(who, j[who], radius[who])
        limiting[who] = j[who]
    better = some[radius > start]
    radius, limiting = radius[radius > start], limiting[radius > start]
    least, rival = least.copy(), rival.copy()
    least[better], rival[better] = radius * (1.0 - ROUNDING), limiting
    return least, rival


@dataclass(frozen=True, eq=False)
class Tried:
    """Images of a batch, with the radii (n,) that the other bound gives."""

    patches: Patches
    state: State
    start: np.ndarray
    images: Images

    @classmethod
    def of(cls, patches, state, start):
        """Return that of some images."""
        return cls(patches, state, start, Images.of(patches, state, START * start))

    def parts(self, who, rival, r):
        """Return the quadratic functions for pairs of image and rival, and the leads."""
        kernel = self.patches.front.last.kernel
        d = kernel[self.state.own[who]] - kernel[rival]
        return parts_below(self.patches, self.images, who, self.state.v[who], d, r), self.state.lead[who, rival]

    def left(self, who, rival, r, *, proven):
        """Return what is left of the lead at least, as a part of that at the image, or what seems to be left."""
        parts, lead = self.parts(who, rival, r)
        room = room_above(self.patches, self.images, who, parts, proven=proven)
        return least_in_ball(self.patches, self.images, who, parts, room, lead, r) / lead

    def hold(self, who, rival, r):
        """Return for which pairs it is proved that the rival cannot win within r (n,)."""
        if not len(who):
            return np.zeros(0, dtype=bool)
        return self.left(who, rival, r, proven=True) > 0.0

    def all_hold(self, rivals, r):
        """Return the same for all ``rivals`` (n, k) of every image, with one curvature for each image; less often."""
        n, k = rivals.shape
        if not k:
            return np.ones((n, 0), dtype=bool)
        parts, lead = self.parts(np.repeat(np.arange(n), k), rivals.ravel(), np.repeat(r, k))
        return all_least_in_ball(self.patches, self.images, parts, lead.reshape(n, k), r) > 0.0

    def largest(self, who, rival, top):
        """Return the largest radius below ``top`` (n,) at which a rival was proved not to win, or the start."""
        if not len(who):
            return np.zeros(0)
        low, high = np.zeros(len(who)), np.array(top)
        r, going = np.minimum(START * self.start[who], 0.95 * top), np.arange(len(who))
        for _ in range(TRIALS):
            now = r[going]
            left = self.left(who[going], rival[going], now, proven=False)
            low[going], high[going] = np.where(left > 0.0, now, low[going]), np.where(left > 0.0, high[going], now)
            # The loss grows a little faster than r.
            guess = now * np.maximum(1.0 - left, 0.05) ** -0.7 * 0.995
            inside = (guess > low[going]) & (guess < high[going])
            r[going] = np.where(inside, guess, 0.5 * (low[going] + np.minimum(high[going], 3.0 * now)))
            going = going[np.minimum(r[going], high[going]) > ENOUGH * low[going]]
            if not len(going):
                break
        found = self.start[who].copy()
        for part in BACK:
            rest = np.flatnonzero((found <= self.start[who]) & (part * low > self.start[who]))
            if len(rest):
                good = self.hold(who[rest], rival[rest], part * low[rest])
                found[rest[good]] = part * low[rest[good]]
        return found
