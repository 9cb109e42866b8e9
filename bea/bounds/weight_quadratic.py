"""The smallest lead of one class over another where weights change, from below: steps W3 and W4 of the tight bound.

W3. ΔA_p takes ``√2 α_p ‖h‖ t`` from the lead, t the part of t_p that changes the two rows against each other. With any
   ν > 0 and ε > 0, and primes for differences from the point, ``‖h‖ ≤ (ν² + ‖h‖²)/2ν`` for the factor of t at the
   point, and ``(‖h‖ - ‖ĥ‖) t' ≤ (‖h'‖²/ε + ε t'²)/2``: a quadratic function that is no less, and right at the point.
W4. D2 to D4 carry the quadratic back as for the input, with the vectors t that enter behind a layer as further numbers
   besides its h'. At ``v' = W h' + α H t'`` the t of this layer joins them, and D3 leaves them alone. In the end it is
   a quadratic in (z, t_2, …, t_p), of which D5 bounds the minimum in the ball.

See ``bea.bounds.weight_ball`` for W1 and W2, and book/tight_bound.md for the proof.
"""

import numpy as np

from bea.bounds.ball_quadratic import ball_minimum, diagonal_minimum
from bea.bounds.minorants import BENT, ROUNDING, minorant, sector
from bea.bounds.weight_ball import Reach

# (push, part), as in ``bea.bounds.ball_quadratic``.
BENT_TRIES = ((0.12, 1.0), (0.2, 0.8), (0.15, 0.6), (0.3, 1.0))
SMOOTH_TRIES = ((0.0, 1.0), (0.0, 0.8), (0.0, 0.6))
EPSILON = 2.0  # ε, in units of what h moves by at most for each unit of the radius


def lead_and_gradient(known: Reach, d, point) -> tuple[np.ndarray, np.ndarray]:
    """Return ``d·h - √2 α_p ‖h‖ t`` for several d (n, j, units) at a point (n, numbers), and its gradients.

    h is the last output, and t the last number of the point.
    """
    ball, (*parts, t) = known.ball, known.ball.split(point)
    inputs, outputs = _values(known, parts)
    h, length, t = outputs[-1], _length(known, outputs[-1]), t.sum(axis=1)  # no numbers where the last layer stays
    lead = np.vecdot(h[:, None], d) - (ball.loss * length * t)[:, None]
    found = [np.broadcast_to((-ball.loss * length)[:, None, None], (*d.shape[:2], ball.sizes[-1]))]
    row = d - ((ball.loss * t / np.maximum(length, 1e-300))[:, None] * h)[:, None]
    for number in range(len(ball.stages) - 1, -1, -1):
        stage = ball.stages[number]
        row = row * stage.activation.slope(inputs[number], outputs[number])[:, None]
        if number:
            found.append((row * known.entering(number)[:, None])[:, :, : ball.sizes[number]])
            row = row @ stage.kernel
    found.append(row @ ball.basis * known.scale[:, None])
    return lead, np.concatenate(found[::-1], axis=2)


def descend(known: Reach, d, start, steps=10) -> np.ndarray:
    """Return the point (n, numbers) of the sphere with the least lead that some steps along the gradient found (D6)."""
    r = known.r[:, None]
    point = r * _unit(start)
    best, least = point, np.full(len(r), np.inf)
    for step in range(steps):
        lead, gradient = (a[:, 0] for a in lead_and_gradient(known, d[:, None], point))
        better = lead < least
        best, least = np.where(better[:, None], point, best), np.where(better, lead, least)
        point = point + (-r * _unit(gradient) - point) * (1.0 if step < 3 else 0.5)
        point = r * _unit(point)
    return best


def least_lead(known: Reach, d, constant, point, *, tries=None) -> np.ndarray:
    """Return a lower bound (n,) of ``constant + d·h - √2 α_p ‖h‖ t`` in the ball, after its rounding.

    Parameters as in ``bea.bounds.ball_quadratic.least_lead``; ``point`` (n, numbers) is one of the ball.
    """
    if tries is None:
        tries = BENT_TRIES if any(stage.activation.name in BENT for stage in known.ball.stages) else SMOOTH_TRIES
    best = np.full(len(d), -np.inf)
    for push, part in tries:
        some = np.flatnonzero(~(best > 0.0))
        if len(some):
            bound = _one_bound(known.take(some), d[some], constant[some], part * point[some], push)
            best[some] = np.fmax(best[some], bound)
    return best


def _one_bound(known, d, constant, point, push):
    ball = known.ball
    *parts, t = ball.split(point)
    t = np.maximum(t, 0.0)  # for W3
    point = np.concatenate([*parts, t], axis=1)
    inputs, outputs = _values(known, parts)
    terms, weight, linear, Q = _last_layer(known, d, outputs[-1], t)
    for number in range(len(ball.stages) - 1, -1, -1):
        stage, at, ends = ball.stages[number], inputs[number], (known.inputs[number].low, known.inputs[number].high)
        touching, value, slope, c = minorant(stage.activation, weight, at, *ends, push)
        off, units = at - touching, at.shape[1]
        terms += [-weight * outputs[number], value, slope * off, -c * off * off]
        Q = _through(Q, *sector(stage.activation, at, *ends), ends[1] - ends[0])
        _diagonal(Q)[..., :units] += c
        weight, own, Q = _before(known, number, slope - 2.0 * c * off, Q)
        linear = np.concatenate([own, linear], axis=1)
    linear = np.concatenate([weight, linear], axis=1)
    turned = Q * point if Q.ndim == 2 else np.matvec(Q, point)
    k, size = constant, np.abs(constant)
    for term in (*terms, -linear * point, -turned * point):
        k, size = k + term.sum(axis=1), size + np.abs(term).sum(axis=1)
    minimum = diagonal_minimum if Q.ndim == 2 else ball_minimum
    return minimum(k - ROUNDING * size, linear + 2.0 * turned, Q, known.r)


def _last_layer(known, d, h, t):
    """Return (terms, weight, linear, Q) of W3, h (n, units) and t (n, 1 or 0) at the point.

    The lead is ``Σ terms + weight·h' + linear t' - (h', t')ᵀQ(h', t')`` or more. Q is diagonal, and (n, numbers).
    """
    loss, now, length = known.ball.loss, t.sum(axis=1), _length(known, h)
    epsilon = EPSILON * known.moved / known.r + 1e-9
    about = np.maximum(length, 1e-3 * epsilon * known.r)
    fixed = -loss * now * (about + length**2 / about) / 2.0
    weight = d - (loss * now / about)[:, None] * h
    linear = np.repeat((-loss * length)[:, None], t.shape[1], axis=1)
    squares = np.repeat(loss * (now / about + 1.0 / epsilon)[:, None] / 2.0, h.shape[1], axis=1)
    squares = np.concatenate([squares, np.repeat((loss * epsilon / 2.0)[:, None], t.shape[1], axis=1)], axis=1)
    return [fixed[:, None], d * h], weight, linear, squares


def _values(known, parts):
    """Return the inputs and the outputs of all activations where z, t_2, … are ``parts``."""
    ball = known.ball
    inputs, outputs = [ball.image[0] + (known.scale * parts[0]) @ ball.basis.T], []
    for number, stage in enumerate(ball.stages):
        if number:
            inputs.append(outputs[-1] @ stage.kernel.T + stage.bias)
            if ball.sizes[number]:
                inputs[-1] += known.entering(number) * parts[number]
        outputs.append(stage.activation.forward(inputs[-1]))
    return inputs, outputs


def _length(known, h):
    """Return the length of the last outputs, with a one for the bias."""
    return np.sqrt(np.vecdot(h, h) + known.ball.biased[-1])


def _unit(rows):
    return rows / np.maximum(np.sqrt(np.vecdot(rows, rows)), 1e-300)[:, None]


def _through(N, middle, half, width):
    """Return Q with ``(h', t')ᵀN(h', t') ≤ (v', t')ᵀQ(v', t')``, h' being v' times slopes off the middle by half (D3).

    As in ``bea.bounds.ball_quadratic``, with an ε for the entries of h' alone. Of a diagonal N, (n, numbers), the
    steepest slope counts, and Q is diagonal, too.
    """
    units, size = middle.shape[1], half * width + 1e-300
    if N.ndim == 2:
        return np.concatenate([N[:, :units] * (np.abs(middle) + half) ** 2, N[:, units:]], axis=1)
    own = N[:, :units, :units]
    T = 2.0 * np.matvec(np.abs(own), size) / size + 1e-300
    rest = -own
    _diagonal(rest)[:] += T
    Q = N + N[:, :, :units] @ np.linalg.solve(rest, N[:, :units])
    Q[:, :units] *= middle[:, :, None]
    Q[:, :, :units] *= middle[:, None]
    _diagonal(Q)[:, :units] += T * half * half
    return Q


def _before(known, number, g, Q):
    """Return (weight, own, Q) for the numbers in front of a stage, from g and Q for its inputs v' and those behind.

    ``v' = W h' + α H t'``, weight for h' and own for t' (W4); at the first stage ``v' = basis (scale z')``, weight for
    z', and Q stays diagonal if it is and the basis is that of the inputs.
    """
    ball, units = known.ball, g.shape[1]
    if number == 0 and Q.ndim == 2 and ball.plain:
        return g * known.scale, g[:, :0], np.concatenate([Q[:, :units] * known.scale**2, Q[:, units:]], axis=1)
    matrix, new = known.rows, 0
    if number:
        new, kernel = ball.sizes[number], ball.stages[number].kernel
        own = known.entering(number)[:, :, None] * np.eye(units)[:, :new]
        matrix = np.concatenate([np.broadcast_to(kernel, (len(g), *kernel.shape)), own], axis=2)
    if Q.ndim == 2:
        Q = Q[:, :, None] * np.eye(Q.shape[1])
    weight = np.vecmat(g, matrix)
    inner = matrix.swapaxes(1, 2) @ Q[:, :units]
    across = inner[:, :, units:]
    Q = np.block([[inner[:, :, :units] @ matrix, across], [across.swapaxes(1, 2), Q[:, units:, units:]]])
    return *np.split(weight, [matrix.shape[2] - new], axis=1), Q


def _diagonal(matrices):
    """Return a view of the diagonals of matrices (n, m, m); what holds the diagonals alone, (n, m), itself."""
    return matrices if matrices.ndim == 2 else np.einsum("nii->ni", matrices)
