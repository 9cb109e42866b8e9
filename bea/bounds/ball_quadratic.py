"""The smallest lead of one class over another in a ball, from below: quadratics and duality.

Steps D3 to D5 of the tight bound; see ``bea.bounds.ball_dense``, and book/tight_bound.md for the proof.
"""

import math

import numpy as np
from scipy.linalg.lapack import dpotrf, dtrtrs

from bea.bounds.ball_ranges import Ball, inputs_in_ball
from bea.bounds.minorants import BENT, ROUNDING, minorant, sector

SOLVED = 1e-7
GAP = 1e-5  # (μ - λ) / μ is no smaller
STEPS = 30  # of Newton's method at most, where each factorises a matrix
# (push, part): see ``least_lead``. With a kink, or nearly one, and without.
BENT_TRIES = ((0.15, 1.0), (0.3, 1.0))
SMOOTH_TRIES = ((0.0, 1.0), (0.0, 0.6))


def least_lead(ball: Ball, v, d, constant, r, point, *, tries=None):
    """Return a lower bound of ``constant + d·h`` where ‖δ‖ ≤ r (n,), after its rounding; h is the last hidden output.

    Parameters
    ----------
    v : array (n, rows)
        Inputs of the first activation at the image.
    d : array (n, inputs of the last layer)
    constant, r : arrays (n,)
    point : array (n, k)
        Where the bound shall be tight, in the basis of ``ball``.
    tries : sequence of (push, part), optional
        Each is a bound: ``push`` as in ``minorant``, and tight at so large a part of ``point``, as less may bend less.
        The next try is for those whose bound is not positive yet, and the best one counts.
    """
    if tries is None:
        tries = BENT_TRIES if any(stage.activation.name in BENT for stage in ball.stages) else SMOOTH_TRIES
    best = np.full(len(v), -np.inf)
    for push, part in tries:
        some = np.flatnonzero(~(best > 0.0))
        bound = _one_bound(ball, v[some], d[some], constant[some], r[some], part * point[some], push)
        best[some] = np.fmax(best[some], bound)
    return best


def _one_bound(ball, v, d, constant, r, point, push):
    known = inputs_in_ball(ball, v, r)
    quadratic = quadratic_below(ball, known, *inputs_and_outputs(ball, v + point @ ball.rows.T), d, push)
    return ball_minimum(*about_image(constant, *quadratic, ball, point), r)


def inputs_and_outputs(ball, first):
    """Return the inputs of all activations and the outputs of all but the last, from the first inputs (n, rows)."""
    reached, outputs = [first], []
    for before, stage in zip(ball.stages, ball.stages[1:], strict=False):
        outputs.append(before.activation.forward(reached[-1]))
        reached.append(outputs[-1] @ stage.kernel.T + stage.bias)
    return reached, outputs


def about_image(constant, terms, g, Q, ball, point):
    """Return (k, lin, H) with ``k + linᵀz - zᵀHz ≤ constant + Σ terms + gᵀv' - v'ᵀQv'``, k after its rounding.

    v' are the first inputs less those at the point.
    """
    lin, H = g @ ball.rows, ball.rows.T @ Q @ ball.rows
    turned = (H @ point[:, :, None])[:, :, 0]
    k, size = constant, np.abs(constant)
    for term in (*terms, -lin * point, -turned * point):
        k, size = k + term.sum(axis=1), size + np.abs(term).sum(axis=1)
    return k - ROUNDING * size, lin + 2.0 * turned, H


def quadratic_below(ball, known, reached, outputs, d, push, convex=False, chords=None):
    """Return (terms, g, Q) with ``d·h ≥ Σ terms + gᵀv' - v'ᵀQv'``, v' as in ``about_image`` (D4, with D2 and D3).

    With ``convex`` Q may have negative entries for the first layer. ``chords`` are numbers from 0 to 1 for each layer,
    arrays (n, units): by so much less a parabola bends downwards, as a multiple of (v - low)(v - high) is added, which
    is not positive on the range. With 1 it is the chord of its range.
    """
    terms, weight, above = [], d, None
    for number in range(len(ball.stages) - 1, -1, -1):
        stage, here, at = ball.stages[number], known[number], reached[number]
        t, value, slope, c = minorant(stage.activation, weight, at, here.low, here.high, push, convex and number == 0)
        # In v' = v - at: value + slope (v' + off) - c (v' + off)².
        off = at - t
        terms += [value, slope * off, -c * off * off]
        g = slope - 2.0 * c * off
        if chords is not None:
            flat = chords[number] * np.maximum(c, 0.0)
            terms.append(flat * (at - here.low) * (at - here.high))
            g, c = g + flat * (2.0 * at - here.low - here.high), c - flat
        Q = np.zeros((*at.shape, at.shape[1]))
        if above is not None:
            Q = _through(above, *sector(stage.activation, at, here.low, here.high), here.high - here.low)
        _diagonal(Q)[:] += c
        if number > 0:
            weight = g @ stage.kernel
            terms.append(-weight * outputs[number - 1])
            above = stage.kernel.T @ Q @ stage.kernel
    return terms, g, Q


def _through(N, middle, half, width):
    """Return Q with ``h'ᵀN h' ≤ v'ᵀQv'`` where every h' is v' times a number off the middle by half at most (D3).

    ``h' = S v' + ε`` with |ε| ≤ half |v'|. For every diagonal T ≻ N, the quadratic in ε is completed to
    ``(S v' + ε)ᵀN(S v' + ε) ≤ (S v')ᵀ(N + N (T - N)⁻¹ N)(S v') + εᵀTε``. T is twice a diagonal matrix above N after
    Gershgorin, in which the ε count by how large they may become.
    """
    size = half * width + 1e-300
    T = 2.0 * (np.abs(N) @ size[:, :, None])[:, :, 0] / size + 1e-300
    rest = -N
    _diagonal(rest)[:] += T
    Q = middle[:, :, None] * (N + N @ np.linalg.solve(rest, N)) * middle[:, None]
    _diagonal(Q)[:] += T * half * half
    return Q


def _diagonal(matrices):
    """Return a view of the diagonals of matrices (n, m, m)."""
    return np.einsum("nii->ni", matrices)


def ball_minimum(k, lin, H, r):
    """Return a lower bound of ``k + linᵀz - zᵀHz`` where ‖z‖ ≤ r, H positive semidefinite, for a batch (D5)."""
    eigenvalues, vectors = np.linalg.eigh(H)
    return diagonal_minimum(k, (lin[:, None] @ vectors)[:, 0], eigenvalues, r)


def large_ball_minimum(k, lin, H, r, largest):
    """Return the same, in a third of the time, for matrices (n, m, m) of some hundred rows.

    ``largest`` (n,) are about their largest eigenvalues, not above. Every step of Newton's method factorises ``μ - H``,
    which proves that it is positive definite; where it is not, the next μ is further off. Up to rounding: the factors
    are those of a matrix that is no more than ``SOLVED μ`` off, and so prove the bound with a μ larger by that.
    """
    found, length = np.full(len(k), -np.inf), np.linalg.norm(lin, axis=1)
    least = np.maximum(largest * (1.0 + GAP), largest + GAP * length / (2.0 * r)) + 1e-300
    start = largest + length / (2.0 * r) + least * GAP
    factor = np.empty(H.shape[1:])
    for i, matrix in enumerate(H):
        mu = start[i]
        for _ in range(STEPS):
            np.negative(matrix, out=factor)
            np.einsum("ii->i", factor)[:] += mu
            if dpotrf(factor.T, lower=True, clean=False, overwrite_a=True)[1]:
                least[i] = mu = largest[i] + 3.0 * (mu - largest[i])
                continue
            half = dtrtrs(factor.T, lin[i], lower=True)[0]
            whole = dtrtrs(factor.T, half, lower=True, trans=1)[0]
            found[i] = max(found[i], k[i] - (mu * r[i] ** 2 + half @ half / 4.0) * (1.0 + SOLVED))
            square, before = whole @ whole, mu
            third = dtrtrs(factor.T, whole, lower=True)[0]
            mu += (math.sqrt(square) / (2.0 * r[i]) - 1.0) * square / max(third @ third, 1e-300)
            mu = max(mu, least[i])
            if abs(mu - before) <= 1e-8 * mu:
                break
    return found


def diagonal_minimum(k, lin, eigenvalues, r):
    """Return the same where H is diagonal.

    The best μ is that with ``‖(μ - H)⁻¹ lin‖ = 2 r``, by Newton's method on the reciprocal of the norm.
    """
    w = lin**2
    length = np.sqrt(np.sum(w, axis=1))
    largest = np.maximum(eigenvalues.max(axis=1), 0.0)
    least = np.maximum(largest * (1.0 + GAP), largest + GAP * length / (2.0 * r)) + 1e-300
    mu = largest + length / (2.0 * r) + least * GAP
    best = np.full(len(k), -np.inf)
    for _ in range(8):
        mu = np.maximum(mu, least)
        inverse = 1.0 / (mu[:, None] - eigenvalues)
        terms = w * inverse
        last = terms.sum(axis=1) / 4
        best = np.maximum(best, k - mu * r * r * (1.0 + SOLVED) - last * (1.0 + SOLVED))
        terms = terms * inverse
        square = terms.sum(axis=1)
        cube = np.vecdot(terms, inverse)
        mu = mu + (np.sqrt(square) / (2.0 * r) - 1.0) * square / np.maximum(cube, 1e-300)
    return best
