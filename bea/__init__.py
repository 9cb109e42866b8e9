"""Backward error analysis of neural networks: the mathematics, in NumPy and SciPy."""

from bea.lazy import opening

HOMES = {
    "bea.backward.closed_form": "backward_error",
    "bea.backward.result": "AttackResult",
    "bea.backward.smallest_attack": "attack",
    "bea.bounds.methods": "LowerBound lower_bound",
    "bea.networks.layers": "Activation Dense Flatten",
    "bea.networks.network": "Network",
    "bea.networks.perturbation": "Perturbation",
    "bea.networks.quantiser": "Quantise",
    "bea.networks.radial": "RadialBasis",
    "bea.networks.windows": "AveragePool Convolution MaxPool",
    "bea.version": "__version__",
}
__all__, __getattr__, __dir__ = opening(__name__, HOMES)
