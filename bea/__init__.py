"""Backward error analysis of neural networks."""

from bea.attack import AttackResult, attack
from bea.backward_error import backward_error
from bea.layers import Activation, Dense, Flatten
from bea.network import Network
from bea.perturbation import Perturbation

__all__ = [
    "Activation",
    "AttackResult",
    "Dense",
    "Flatten",
    "Network",
    "Perturbation",
    "attack",
    "backward_error",
]
