"""The equality version of the attack: the smallest change after which the logits *are* the wanted ones.

Minimises ``Σ_i ‖ΔA_i‖²/‖A_i‖² + ‖Δx‖²/‖x‖²`` subject to ``logits(A + ΔA, x + Δx) = y_hat``, in the unknowns τ of
``bea.backward.reduction``, by repeated linearisation (``bea.numerics.equality``). What section 2 of paper B gives is
its first step. For a layer that changes with nothing else behind it, that step is all there is.
"""

from dataclasses import dataclass, replace

import numpy as np

from bea.backward.choice import Changing
from bea.backward.reduction import Tail, reduce
from bea.networks.network import Network
from bea.networks.perturbation import Perturbation
from bea.numerics.blocks import block_size, blocks, join, one_thread
from bea.numerics.equality import solve_equations

MISSED = 1e-6  # share of the wanted change of the logits that may be missing
TOLERANCE = 1e-10  # of the residual: where a search ends
MAX_ITERATIONS = 60


@dataclass(frozen=True, eq=False)
class Equations:
    """``logits(τ) - y_hat`` of a batch and their derivatives, as ``bea.numerics.equality`` wants them."""

    tail: Tail
    wanted: np.ndarray

    def value(self, tau) -> tuple[np.ndarray, list]:
        """Return what is missing at τ, (n, classes), and what the derivatives need."""
        outputs, memory = self.tail.forward(tau)
        return outputs - self.wanted, memory

    def jacobian(self, memory) -> np.ndarray:
        """Return the derivatives (n, classes, unknowns)."""
        n, classes = self.wanted.shape
        return self.tail.pull_back(np.broadcast_to(np.eye(classes), (n, classes, classes)), memory)

    def gradient(self, tau, multipliers) -> np.ndarray:
        """Return the derivative of ``multipliers · logits`` at τ, (n, unknowns)."""
        return self.tail.pull_back(multipliers[:, None], self.tail.forward(tau)[1])[:, 0]

    def take(self, samples) -> "Equations":
        """Return the equations of some of the samples."""
        return Equations(self.tail.take(samples), self.wanted[samples])


def explained(net: Network, x, y_hat, change: Changing, relative=True, activated=False) -> Perturbation:
    """Return what ``backward_error`` does with ``method="converged"``, for checked arguments.

    ``attained`` says where the logits are the wanted ones, up to 10⁻⁶ of the whole change. ``residual`` says how well
    the first-order conditions of optimality hold as well; at a kink of a ReLU they need not, and then the perturbation
    explains the outputs, but a smaller one may, too.
    """
    block = block_size(net.layers, net.input_shape)
    with one_thread():
        reduction = reduce(net, x, change, block, activated=activated, relative=relative)
        unknowns = sum(reduction.tail.sizes)
        size = block_size(reduction.tail.layers, reduction.tail.x.shape[1:], unknowns)
        found = solve_equations(
            Equations(reduction.tail, y_hat), len(x), unknowns,
            tolerance=TOLERANCE, max_iterations=MAX_ITERATIONS, block=size,
        )  # fmt: skip
        attained = found.missing <= MISSED
        parts = blocks(len(x), block)
        each = [reduction.take(part).perturbation(found.tau[part], attained[part]) for part in parts]
    dA, dx = join([(one.dA, one.dx) for one in each])
    conditions = {"iterations": found.iterations, "residual": found.residual}
    return replace(each[0], dA=dA, dx=dx, x=x, attained=attained, standing="locally optimal", **conditions)
