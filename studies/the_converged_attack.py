"""How a converged attack searches, on networks with two pixels, where every change of the image can be drawn.

The unknown is τ = Δx / ‖x‖, and g(τ) ≥ 0 says that the target leads every other class by the margin.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

from bea import Activation, Dense, Network, attack
from bea.backward.closed_form import changing
from bea.backward.reduction import reduce
from bea.backward.search import MAX_ITERATIONS, TOLERANCE, LeadConstraints
from bea.networks.leads import allowed_shortfall, lead, lead_over_others
from bea.numerics.quadratic import smallest_feasible
from bea.numerics.sequential import HEAVIEST, everything, solve
from bea.numerics.small_matrices import gram

IMAGE = np.array([[1.0, 0.0]])
TARGET = np.array([1])
HIDDEN = np.array([[1.0, 1.3, -0.6], [1.0, -0.8, -0.8], [-0.8, -0.6, -1.3]])  # in Δx, last column the constant
OUTPUT = np.array([[0.0, 0.0, 0.0, 0.0], [1.0, 1.0, 1.5, 0.7], [-0.5, 0.9, -0.5, -0.9]])
SAME = 1e-3  # distance up to which two ends are one
SEEN = 1e-6  # KKT residual from which a failure is seen
SHORTER = 0.99  # share of its length below which another change counts as shorter


def toy(sharpness: float = 1.0) -> Network:
    """Return a network of two pixels, three tanh units and three classes; ``IMAGE`` is in class 0.

    The class ``TARGET`` has a tongue that points at the image; ``sharpness`` multiplies what two of the units see, and
    the tip is the sharper the larger it is.
    """
    seen = HIDDEN * np.array([[sharpness], [sharpness], [1.0]])
    shifted = np.column_stack([seen[:, :2], seen[:, 2] - seen[:, :2] @ IMAGE[0]])
    return Network((Dense(shifted, bias=True), Activation("tanh"), Dense(OUTPUT, bias=True)), (2,))


def constraints(net: Network, x, target, margin: float) -> LeadConstraints:
    """Return g of the images (n, 2), as ``bea.attack`` with ``on="input"`` has it."""
    tail = reduce(net, x, changing(net, "input"), len(x)).tail
    return LeadConstraints(tail, margin, lead_over_others(np.eye(net.classes)[None], target))


def linearised(lead_of: LeadConstraints, tau) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return g at τ (n, 2), the multipliers of the programme linearised there, and its solution Gᵀλ."""
    g, memory = lead_of.value(tau)
    G = lead_of.jacobian(memory, everything(g))
    multipliers, _, _ = smallest_feasible(gram(G), np.matvec(G, tau) - g)
    return g, multipliers, np.vecmat(multipliers, G)


def path(net: Network, margin: float, *, steps: int = 60) -> pd.DataFrame:
    """Follow the search of ``bea.numerics.sequential`` from zero, step by step, until it stops.

    Returns
    -------
    DataFrame, one row an iterate: ``step``, ``u``, ``v`` (τ), ``length`` (‖τ‖), ``violation`` (largest), ``penalty``,
    ``merit`` (½‖τ‖² + penalty · violation), ``residual`` (KKT).
    """
    lead_of, allowed = _of_the_toy(net, margin)
    rows, penalty, start = [], 0.0, np.zeros((1, 2))
    for step in range(steps + 1):
        found = solve(lead_of, start, allowed, tolerance=TOLERANCE, max_iterations=step, block=1)
        if found.iterations[0] < step:
            break
        g, multipliers, _ = linearised(lead_of, found.tau)
        enough = 1.5 * np.nan_to_num(multipliers).sum()
        penalty = float(np.clip(penalty, enough, HEAVIEST * enough)) if enough else penalty
        length, violation = np.linalg.norm(found.tau), max(-g.min(), 0.0)
        rows.append({
            "step": step, "u": found.tau[0, 0], "v": found.tau[0, 1], "length": length, "violation": violation,
            "penalty": penalty, "merit": 0.5 * length**2 + penalty * violation, "residual": found.kkt_residual[0],
        })  # fmt: skip
    return pd.DataFrame(rows)


def repeated(net: Network, margin: float, *, steps: int) -> pd.DataFrame:
    """Linearise at zero, go to the solution of the programme, linearise there, and so on: no curvature, no merit.

    One row an iterate: ``step``, ``u``, ``v``, ``length``, ``violation``.
    """
    lead_of, _ = _of_the_toy(net, margin)
    tau, rows = np.zeros((1, 2)), []
    for step in range(steps + 1):
        g, _, following = linearised(lead_of, tau)
        rows.append([step, *tau[0], np.linalg.norm(tau), max(-g.min(), 0.0)])
        tau = following
    return pd.DataFrame(rows, columns=["step", "u", "v", "length", "violation"])


def _of_the_toy(net, margin):
    return constraints(net, IMAGE, TARGET, margin), allowed_shortfall(net(IMAGE), margin)


@dataclass(frozen=True, eq=False)
class Plane:
    """The lead of the target on a square of changes: ``u`` and ``v`` (side, side), and ``heights`` in logits."""

    u: np.ndarray
    v: np.ndarray
    heights: np.ndarray


def plane(net: Network, *, reach: float, side: int) -> Plane:
    """Look at the lead of ``TARGET`` over the best other class for all changes with entries up to ``reach``."""
    u, v, points = _square(reach, side)
    logits = net(IMAGE + points)
    return Plane(u, v, lead(logits, np.repeat(TARGET, len(logits))).reshape(u.shape))


def _square(reach: float, side: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return a square grid, two arrays (side, side) from -reach to reach, and its points, (side², 2)."""
    u, v = np.meshgrid(*2 * [np.linspace(-reach, reach, side)])
    return u, v, np.stack([u, v], axis=-1).reshape(-1, 2)


def merit_along(net: Network, margin: float, *, points: int = 121) -> pd.DataFrame:
    """Follow the merit function along the first step from zero, and beyond it.

    One row a point: ``part`` of the step (from 0 to 1.2), ``half_square`` (½‖τ‖²), ``violation``, ``merit``, and
    ``model``: the merit with its slope at the start, which the search demands a small share of.
    """
    lead_of, _ = _of_the_toy(net, margin)
    g, multipliers, step = linearised(lead_of, np.zeros((1, 2)))
    part = np.linspace(0, 1.2, points)
    tau = part[:, None] * step
    values = lead_of.take(np.zeros(points, int)).value(tau)[0]
    violation, half = np.maximum(-values.min(axis=1), 0.0), 0.5 * np.sum(tau**2, axis=1)
    penalty = 1.5 * multipliers.sum()
    model = penalty * -g.min() * (1 - part)
    merit = half + penalty * violation
    return pd.DataFrame({"part": part, "half_square": half, "violation": violation, "merit": merit, "model": model})


def bending(net: Network, margin: float, tau) -> float:
    """Return the distance to the border times its curvature at an optimum τ (2,) where one constraint is active.

    That is the eigenvalue of P W P: above one τ would be no optimum, and its size is by what factor repeated
    linearisation comes nearer in a step. By second differences.
    """
    lead_of, _ = _of_the_toy(net, margin)
    _, multipliers, _ = linearised(lead_of, tau[None])
    h = 1e-4
    along = h * np.array([-tau[1], tau[0]]) / np.linalg.norm(tau)
    three = lead_of.take(np.zeros(3, int)).value(tau + np.array([[-1.0], [0.0], [1.0]]) * along)[0] @ multipliers[0]
    return float((three[0] - 2 * three[1] + three[2]) / h**2)


def sharper_tips(values, margin: float, *, steps: int = 60) -> pd.DataFrame:
    """Compare repeated linearisation with the search, for tongues of several sharpnesses.

    Returns
    -------
    DataFrame, one row a sharpness: ``sharpness``, ``length`` of the optimum, ``bending``, ``rate`` (factor between the
    distances to the optimum of the last two iterates of repeated linearisation), ``left`` (the last distance),
    ``steps`` of the search, ``residual`` at its end.
    """
    rows = []
    for sharpness in values:
        net = toy(sharpness)
        found, plain = path(net, margin), repeated(net, margin, steps=steps)
        end = found[["u", "v"]].to_numpy()[-1]
        away = np.linalg.norm(plain[["u", "v"]].to_numpy() - end, axis=1)
        rows.append({
            "sharpness": sharpness, "length": found.length.iloc[-1], "bending": bending(net, margin, end),
            "rate": away[-1] / away[-2], "left": away[-1], "steps": found.step.iloc[-1],
            "residual": found.residual.iloc[-1],
        })  # fmt: skip
    return pd.DataFrame(rows)


def tongues(values, margin: float) -> dict:
    """Return what a page needs to linearise again and again: ``image``, ``target``, ``margin``, and ``tongues``.

    Each of these has its ``sharpness``, the ``matrices`` of its two layers, biases last, and ``nearest``, the change
    (2,) at which the search ends.
    """
    found = []
    for sharpness in values:
        net = toy(sharpness)
        end = path(net, margin)[["u", "v"]].to_numpy()[-1]
        matrices = [layer.matrix.tolist() for layer in net.weighted]
        found.append({"sharpness": sharpness, "matrices": matrices, "nearest": end.tolist()})
    return {"image": IMAGE[0].tolist(), "target": int(TARGET[0]), "margin": margin, "tongues": found}


@dataclass(frozen=True, eq=False)
class Ends:
    """Where searches from a square of starts end.

    Attributes
    ----------
    u, v : arrays (side, side)
        The starts.
    which : int array (side, side)
        Number of the optimum, from 0 for the shortest; -1 where the conditions of optimality do not hold at the end.
    optima : array (k, 2)
    """

    u: np.ndarray
    v: np.ndarray
    which: np.ndarray
    optima: np.ndarray

    @property
    def lengths(self) -> np.ndarray:
        """‖τ‖ of the optima, ascending, (k,)."""
        return np.linalg.norm(self.optima, axis=1)

    @property
    def shares(self) -> np.ndarray:
        """Share of the starts that end nowhere, at the first optimum, at the second, …, (k + 1,)."""
        return np.bincount(self.which.ravel() + 1, minlength=len(self.optima) + 1) / self.which.size


def ends(net: Network, margin: float, *, reach: float, side: int) -> Ends:
    """Search from every point of a square of changes with entries up to ``reach``."""
    u, v, starts = _square(reach, side)
    lead_of, allowed = _of_the_toy(net, margin)
    every = np.zeros(len(starts), int)
    found = solve(
        lead_of.take(every), starts, allowed[every], tolerance=TOLERANCE, max_iterations=MAX_ITERATIONS,
        block=len(starts),
    )  # fmt: skip
    which, optima = np.full(len(starts), -1), []
    order = np.argsort(np.linalg.norm(found.tau, axis=1))
    for i in order[found.kkt_residual[order] <= TOLERANCE]:
        if which[i] < 0:
            near = np.linalg.norm(found.tau - found.tau[i], axis=1) <= SAME
            which[near & (found.kkt_residual <= TOLERANCE)] = len(optima)
            optima.append(found.tau[i])
    return Ends(u, v, which.reshape(u.shape), np.array(optima).reshape(-1, 2))


# ---- the theorem, tried -------------------------------------------------------


def random_network(rng, hidden: tuple[int, ...], activation: str, *, inputs: int = 2, classes: int = 3) -> Network:
    """Return a network with random weights: normal, of variance one over what comes in, biases of variance a half."""
    widths, layers = (inputs, *hidden, classes), []
    for before, after in pairwise(widths):
        kernel = 1.5 * rng.standard_normal((after, before)) / np.sqrt(before)
        layers += [Dense(np.column_stack([kernel, rng.standard_normal(after) / np.sqrt(2)]), bias=True)]
        layers += [Activation(activation)]
    return Network(tuple(layers[:-1]), (inputs,))


def compressed(net: Network, x, changes, dx) -> tuple[list[np.ndarray], np.ndarray]:
    """Replace a change of everything by one of rank one a layer with the same effect, as the theorem says.

    Parameters
    ----------
    net : Network
        Of dense layers.
    x : array (n, inputs)
    changes : list of array (rows, columns)
        ΔA_i, the same for all samples, of any rank.
    dx : array (n, inputs)

    Returns
    -------
    replaced : list of array (n, rows, columns)
        ``ΔA_i h hᵀ / ‖h‖²``, h what reaches layer i of the perturbed network.
    logits : array (n, classes)
        Of the network with the replaced changes.
    """
    y, changes, replaced = x + dx, list(changes), []
    own = y
    for layer in net.layers:
        if not isinstance(layer, Dense):
            y, own = layer.forward(y), layer.forward(own)
            continue
        h, change = layer.augment(y), changes.pop(0)
        replaced.append((h @ change.T)[:, :, None] * (h / np.sum(h * h, axis=1, keepdims=True))[:, None, :])
        own = layer.forward(own) + np.matvec(replaced[-1], layer.augment(own))
        y = layer.with_matrix(layer.matrix + change).forward(y)
    return replaced, own


def theorem_tried(hidden: Mapping[str, tuple[int, ...]], *, trials: int, seed: int, inputs: int = 6) -> pd.DataFrame:
    """Compress random changes of full rank, of one network each and many images, and compare logits and objectives.

    Returns
    -------
    DataFrame, one row a kind of ``hidden`` widths: ``net``, ``difference`` (largest, of the logits), ``median`` and
    ``most`` of the weights' share of the objective (5), after over before.
    """
    rows, rng = [], np.random.default_rng(seed)
    for name, widths in hidden.items():
        net = random_network(rng, widths, "tanh", inputs=inputs)
        x, dx = rng.standard_normal((2, trials, inputs))
        changes = [rng.standard_normal(layer.matrix.shape) / layer.matrix.size**0.5 for layer in net.weighted]
        whole = [layer.with_matrix(layer.matrix + change) for layer, change in zip(net.weighted, changes, strict=True)]
        expected = x + dx
        for layer in net.layers:
            expected = (whole.pop(0) if isinstance(layer, Dense) else layer).forward(expected)
        replaced, logits = compressed(net, x, changes, dx)
        before, after = (
            sum(
                (np.linalg.norm(change, axis=(-2, -1)) / size) ** 2
                for change, size in zip(every, net.weight_norms, strict=True)
            )
            for every in (changes, replaced)
        )
        rows.append([name, np.abs(logits - expected).max(), np.median(after / before), np.max(after / before)])
    return pd.DataFrame(rows, columns=["net", "difference", "median", "most"])


def unknowns(inputs: int, hidden: int, classes: int) -> pd.DataFrame:
    """Count what may change and what is left unknown, for a network of one hidden layer.

    One row a choice of what may change: ``on``, ``entries`` (of matrices and image), ``unknowns`` (entries of τ).
    """
    net = random_network(np.random.default_rng(0), (hidden,), "tanh", inputs=inputs, classes=classes)
    weights, rows = sum(layer.matrix.size for layer in net.weighted), []
    for on, entries in (("weights", weights), ("input", inputs), ("both", weights + inputs)):
        tail = reduce(net, np.ones((1, inputs)), changing(net, on), 1).tail
        rows.append([on, entries, sum(tail.sizes)])
    return pd.DataFrame(rows, columns=["on", "entries", "unknowns"])


# ---- how often it fails -------------------------------------------------------


def census(
    kinds: Mapping[str, tuple], *, seed: int, networks: int, images: int, margin: float, reach: float, side: int,
    starts: int, known: int,
) -> pd.DataFrame:  # fmt: skip
    """Attack random networks of two pixels, and look on a grid for shorter changes.

    Every image is attacked towards a class that some point of the grid has. A point of the grid where the target leads
    by the margin and that is nearer than 0.99 of the attack's length proves that the attack is not the shortest; where
    there is none nothing is proved.

    Parameters
    ----------
    kinds : mapping
        Name → hidden widths and activation.
    networks, images : int
        Networks of a kind, and images of each.
    reach, side : float, int
        The grid has ``side``² points with pixels from -reach to reach; images have pixels from -1 to 1.
    starts, known : int
        Besides the default, ``starts`` searches for each attack are tried, and one more from the nearest of ``known``
        random images.

    Returns
    -------
    DataFrame, one row a kind and way of starting: ``net``, ``start``, ``attacks``, ``missed`` (no change found,
    although there is one), ``longer`` (a shorter one is on the grid), ``unseen`` (of these, where the KKT residual is
    below 1e-6), ``worst`` (of the unseen, the largest length over the shorter one's).
    """
    rng = np.random.default_rng(seed)
    *_, points = _square(reach, side)
    options = {
        "default": {}, f"{starts} starts": {"starts": starts},
        f"{known} known images": {"examples": rng.uniform(-reach, reach, (known, 2))},
    }  # fmt: skip
    rows = []
    for kind, (hidden, activation) in kinds.items():
        found = {name: [] for name in options}
        for _ in range(networks):
            net = random_network(rng, hidden, activation)
            x, target, nearest = _attackable(rng, net, points, images, margin)
            for name, chosen in options.items() if len(x) else ():
                result = attack(net, x, target, "input", method="converged", margin=margin, **chosen)
                length = np.linalg.norm(result.perturbation.dx, axis=1)
                found[name].append([length / nearest, result.kkt_residual, result.success])
        for name, parts in found.items():
            ratio, residual, success = np.concatenate([np.empty((3, 0)), *parts], axis=1)
            longer = (success > 0) & (ratio * SHORTER > 1)
            unseen = longer & (residual < SEEN)
            rows.append({
                "net": kind, "start": name, "attacks": len(ratio), "missed": int(np.sum(success == 0)),
                "longer": int(longer.sum()), "unseen": int(unseen.sum()), "worst": ratio[unseen].max(initial=1.0),
            })  # fmt: skip
    return pd.DataFrame(rows)


def _attackable(rng, net, points, images, margin):
    """Return images, for each a class that it is not in, and how far the nearest point is where that class wins."""
    logits = net(points)
    classes = [k for k in range(net.classes) if (lead(logits, np.full(len(points), k)) >= margin).any()]
    x = rng.uniform(-1, 1, (images, 2))
    own = net.classify(x)
    target = np.array(classes)[rng.integers(len(classes), size=images)]
    x, target = x[own != target], target[own != target]
    nearest = np.full(len(x), np.inf)
    for k in classes:
        wins = points[lead(logits, np.full(len(points), k)) >= margin]
        nearest[target == k] = cKDTree(wins).query(x[target == k])[0]
    return x, target, nearest
