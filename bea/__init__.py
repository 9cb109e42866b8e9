"""Backward error analysis of neural networks."""

from bea.attack import AttackResult, attack
from bea.backward_error import backward_error
from bea.network import Activation, Dense, Flatten, Network
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
