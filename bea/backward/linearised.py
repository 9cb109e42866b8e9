"""The attack of paper B linearised at the unperturbed network: eq. (6), a convex programme."""

from dataclasses import replace

import numpy as np

from bea.backward.closed_form import Changing, first_order
from bea.backward.result import AttackResult, judge
from bea.networks.leads import lead_over_others
from bea.networks.linearisation import Linearisation
from bea.networks.network import Network
from bea.numerics.quadratic import smallest_feasible


def linearised_attack(net: Network, x, target, changing: Changing, margin, activated=False) -> AttackResult:
    """Return the smallest perturbations of eq. (6) for one block of images; arguments are those of ``bea.attack``."""
    problem = first_order(net, x, changing, activated=activated)
    outputs = problem.linearisation.logits
    # D, "target minus other", is applied before the Gram matrix is formed: the other way round close classes cancel.
    lin = problem.linearisation
    sensitivities = [None if rows is None else lead_over_others(rows, target) for rows in lin.sensitivities]
    differences = Linearisation(
        lead_over_others(outputs, target), lin.inputs, sensitivities, lead_over_others(lin.jacobian, target)
    )
    programme = replace(problem, linearisation=differences)
    K, c = programme.gram(), margin - programme.linearisation.logits
    multipliers, solved, iterations = smallest_feasible(K, c)
    theta = programme.pull_back(multipliers)
    perturbation = problem.perturbation(*theta, net, x, solved)

    slack = programme.push_forward(*theta) - c
    infeasibility = np.maximum(-slack, 0.0).max(axis=1) / np.abs(c).max(axis=1)
    complementarity = np.abs(multipliers * slack).max(axis=1) / np.sum(c * multipliers, axis=1)

    conditions = iterations, np.maximum(infeasibility, complementarity)
    return judge(net, perturbation, target, margin, outputs, *conditions, activated)
