"""proto"""
from dataclasses import dataclass
import numpy as np
from bea.bounds.ball_dense import Pairs, descend, local_bound, images_at_once
from bea.bounds.ball_ranges import Ball, hidden_stages, inputs_in_ball
from bea.bounds.ball_quadratic import least_lead
from bea.bounds.branch_nodes import Nodes, bounded
from bea.bounds.minorants import BENT

CHUNK = 256


def evaluate(pairs, i, j, nodes, goal, tries):
    out = []
    for a in range(0, len(nodes.pair), CHUNK):
        part = nodes.take(slice(a, a + CHUNK))
        im, ri = i[part.pair], j[part.pair]
        out.append(bounded(pairs.ball, part, pairs.v[im], pairs.d[im, ri], pairs.constant[im, ri], goal[im], tries))
    whole = out[0]
    for o in out[1:]:
        whole = whole.joined(o)
    return whole


def tightened(ball, v, known, r):
    """Return the ranges of the inputs of all activations, tightened by the quadratics."""
    rng = np.random.default_rng(0)
    lows, highs = [known[0].low], [known[0].high]
    for number in range(1, len(ball.stages)):
        stage = ball.stages[number]
        sub = Ball(ball.stages[:number], ball.rows)
        n, w = len(v), len(stage.kernel)
        rep = np.repeat(np.arange(n), w)
        ends = []
        for sign, old in ((1.0, known[number].low), (-1.0, -known[number].high)):
            new = old.ravel().copy()
            # only where the range holds zero / could matter
            todo = np.arange(n * w)
            for a in range(0, len(todo), CHUNK):
                some = todo[a : a + CHUNK]
                im, unit = rep[some], some % w
                d, const = sign * stage.kernel[unit], sign * stage.bias[unit]
                start = np.broadcast_to(ball.rows.sum(0), (len(some), ball.rows.shape[1]))
                pt = descend(sub, v[im], d, r[im], start)
                new[some] = np.fmax(new[some], least_lead(sub, v[im], d, const, r[im], pt, tries=RANGE_TRIES))
            ends.append(sign * new.reshape(n, w))
        lows.append(ends[0])
        highs.append(ends[1])
    return np.concatenate(lows, axis=1), np.concatenate(highs, axis=1)


RANGE_TRIES = ((0.15, 1.0),)


def prove_block(net, x, upper, lower, gap, budget, width=8, rounds=((.15, 1.), (.15, 1.)), log=None):
    ball = Ball.of(hidden_stages(net))
    basis = np.linalg.qr(ball.stages[0].kernel.T)[0]
    pairs = Pairs.of(ball, net, x)
    goal = upper * (1 - gap)
    upper, lower = upper.copy(), lower.copy()
    n = len(x)
    todo = lower < goal
    ok = ~pairs.clear(goal) & todo[:, None]
    ok[np.arange(n), pairs.own] = False
    i, j = np.nonzero(ok)
    r = goal[i]
    busy = np.flatnonzero(ok.any(axis=1))
    known = inputs_in_ball(ball, pairs.v[busy], goal[busy])
    low, high = tightened(ball, pairs.v[busy], known, goal[busy])
    where = np.searchsorted(busy, i)
    low, high = low[where], high[where]
    grad = -pairs.gradients()[i, j]
    point = descend(ball, pairs.v[i], pairs.d[i, j], r, grad)
    m = len(i)
    nodes = Nodes(np.arange(m), low, high, np.zeros((m, 2, low.shape[1]), bool), np.zeros(m), point, np.zeros(m, int), np.zeros(m))
    bent = any(s.activation.name in BENT for s in ball.stages)
    nodes = evaluate(pairs, i, j, nodes, goal, ((.15, 1.), (.3, 1.)) if bent else ((0., 1.), (0., .6)))
    used = np.bincount(i, minlength=n)
    for step in range(10000):
        image = i[nodes.pair]
        # witnesses
        cand = np.flatnonzero(nodes.reach < goal[image])
        if len(cand):
            im, ri = image[cand], j[nodes.pair[cand]]
            dx = nodes.point[cand] @ basis.T
            length = np.linalg.norm(dx, axis=1)
            hit = (net.classify(x[im] + dx.reshape(-1, *x.shape[1:])) != pairs.own[im]) & (length < upper[im])
            for q in np.flatnonzero(hit):
                if length[q] < upper[im[q]]:
                    upper[im[q]] = length[q]
            goal = upper * (1 - gap)
        nodes = nodes.take(nodes.reach < goal[image])
        image = i[nodes.pair]
        if log: log(step, nodes, image, goal, used, upper)
        go = used[image] < budget
        if not go.any():
            break
        order = np.lexsort((nodes.reach, image))
        order = order[go[order]]
        im = image[order]
        first = np.searchsorted(im, im)
        take = order[np.arange(len(order)) - first < width]
        chosen = nodes.take(take)
        rest = np.ones(len(nodes.pair), bool)
        rest[take] = False
        kids = evaluate(pairs, i, j, chosen.children(), goal, rounds)
        used += np.bincount(i[kids.pair], minlength=n)
        nodes = nodes.take(rest).joined(kids)
    least = goal.copy()
    np.minimum.at(least, i[nodes.pair], nodes.reach)
    return np.maximum(least, lower), upper, used
