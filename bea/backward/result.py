"""What an attack by backward error returns, and the network's own word on whether it succeeded."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from bea.networks.leads import allowed_shortfall, lead
from bea.networks.network import Network
from bea.networks.perturbation import Perturbation
from bea.numerics.blocks import blocks, join, side_by_side
from bea.reports.results import Report, first_few, tally

EACH = ("target", "success", "objective", "margin", "iterations", "kkt_residual")  # fields with an entry a sample


@dataclass(frozen=True, eq=False)
class AttackResult(Report):
    """What came of a batch of n attacks.

    Attributes
    ----------
    perturbation : Perturbation
    target : int array (n,)
    success : bool array (n,)
        Whether the target wins in the perturbed network itself, nothing linearised, by at least ``margin_asked`` up
        to rounding; and where the image has the target's class ``already``, by however little.
    objective : array (n,)
        Eq. (5): the sum of squares of the relative norms.
    margin : array (n,)
        Target's logit, or activated output, less the largest other one, in the perturbed network.
    margin_asked : float
    iterations : int array (n,)
        Changes of the active set (first-order); linearisations of the search that was best, without the range
        (converged), or of a change of the input alone over maxima the steps of its annealing.
    kkt_residual : array (n,)
        Largest violation of the conditions of optimality, of eq. (6) for the first-order method, where constraints
        are relative to the largest right-hand side and complementarity to the objective, and of eq. (5) itself for
        the converged one (see ``bea.numerics.sequential.solve``). With ReLUs or maxima an optimum often lies on a
        kink, where these conditions mean nothing. Where the range of the pixels makes the converged Δx longer, or it
        was annealed, the step that the programme linearised there still goes, relative to Δx.
    """

    perturbation: Perturbation
    target: np.ndarray
    success: np.ndarray
    objective: np.ndarray
    margin: np.ndarray
    margin_asked: float
    iterations: np.ndarray
    kkt_residual: np.ndarray

    @property
    def standing(self) -> str:
        """What is known of the perturbations: "linearised" or "locally optimal"."""
        return self.perturbation.standing

    @property
    def already(self) -> np.ndarray:
        """Whether the image had the target's class before, so that nothing changes, (n,)."""
        return self.success & (self.perturbation.norms == 0.0).all(axis=1)

    @property
    def images(self) -> np.ndarray:
        """The perturbed images x + Δx, (n, *input_shape); NaN where none was found."""
        return self.perturbation.images

    def keras_model(self, model, i: int):
        """Return a copy of the Keras model that was read, with the weights of sample ``i``; see ``Perturbation``."""
        return self.perturbation.keras_model(model, i)

    def torch_model(self, module, i: int):
        """Return a copy of the PyTorch module that was read, with the weights of sample ``i``; see ``Perturbation``."""
        return self.perturbation.torch_model(module, i)

    def columns(self) -> dict[str, np.ndarray]:
        """Return the arrays of the result with an entry a sample, ``already``, and the columns of the perturbation."""
        own = {name: getattr(self, name) for name in ("target", "success", "already", *EACH[2:])}
        return own | self.perturbation.columns()

    def measured(self) -> tuple[str, np.ndarray]:
        """Return √objective of the successes."""
        name, values = self.perturbation.measured()
        return name, np.where(self.success, values, np.nan)

    def tally(self) -> str:
        """Return in words how many attacks succeed."""
        return tally(self.success, self.already)

    def draw(self, samples):
        """Return a figure of the perturbation."""
        titles = [
            f"sample {i}\ntarget {target}, {'reached' if success else 'not reached'}"
            for i, (target, success) in enumerate(zip(self.target, self.success, strict=True))
        ]
        if samples is None and self.perturbation.dx is not None:
            samples = first_few(self.success & ~self.already)
        return self.perturbation.draw(samples, titles)


def judge(net, perturbation, target, margin, outputs, iterations, kkt_residual, activated=False) -> AttackResult:
    """Put the perturbations through the network itself and say what came of them; ``outputs`` are those before."""
    reached = net.perturbed_logits(perturbation)
    if activated:
        reached = net.activate(reached)
    ahead = lead(reached, target)
    return AttackResult(
        perturbation=perturbation,
        target=target,
        success=(ahead >= margin - allowed_shortfall(outputs, margin)) & (ahead > 0),
        objective=perturbation.objective,
        margin=ahead,
        margin_asked=margin,
        iterations=iterations,
        kkt_residual=kkt_residual,
    )


def attack_in_blocks(make: Callable[[slice], AttackResult], x, size: int) -> AttackResult:
    """Put together what ``make`` returns for the blocks, of so many images each, of the batch x."""
    results = list(side_by_side(make, blocks(len(x), size)))
    perturbations, first = [result.perturbation for result in results], results[0]
    parts = {name: [getattr(result, name) for result in results] for name in EACH}
    changes = [(perturbation.dA, perturbation.dx, perturbation.attained) for perturbation in perturbations]
    dA, dx, attained = join(changes)
    whole = replace(first.perturbation, dA=dA, dx=dx, x=x, attained=attained)
    return replace(first, perturbation=whole, **{name: np.concatenate(arrays) for name, arrays in parts.items()})


def among_others(found: AttackResult, rest, net: Network, x, target, activated=False) -> AttackResult:
    """Return the results of the batch x of which ``found`` are those of ``rest``; the others change nothing.

    Parameters
    ----------
    rest : int array (m,)
        Numbers of the images that do not have the target's class already.
    x, target : arrays (n, …) and (n,)
        Of the whole batch.
    """
    others = np.setdiff1d(np.arange(len(x)), rest)
    outputs = net(x[others])

    def put(values, other=0):
        """Return an array for the whole batch."""
        if isinstance(values, tuple):
            return tuple(put(factor) for factor in values)
        whole = np.zeros((len(x), *values.shape[1:]), values.dtype)
        whole[others], whole[rest] = other, values
        return whole

    changes, dx = found.perturbation.dA, found.perturbation.dx
    perturbation = replace(
        found.perturbation,
        dA=[None if change is None else put(change) for change in changes],
        dx=None if dx is None else put(dx),
        x=x,
        attained=put(found.perturbation.attained, True),
    )
    return AttackResult(
        perturbation=perturbation,
        target=target,
        success=put(found.success, True),
        objective=put(found.objective),
        margin=put(found.margin, lead(net.activate(outputs) if activated else outputs, target[others])),
        margin_asked=found.margin_asked,
        iterations=put(found.iterations),
        kkt_residual=put(found.kkt_residual),
    )
