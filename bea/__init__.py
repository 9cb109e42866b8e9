"""Backward error analysis of neural networks."""

from bea.attack import AttackResult, attack
from bea.backward_error import backward_error
from bea.bounds import LowerBound, lower_bound
from bea.layers import Activation, AveragePool, Convolution, Dense, Flatten, MaxPool, Quantise, RadialBasis
from bea.network import Network
from bea.perturbation import Perturbation

__all__ = [
    "Activation",
    "AttackResult",
    "AveragePool",
    "Convolution",
    "Dense",
    "Flatten",
    "LowerBound",
    "MaxPool",
    "Network",
    "Perturbation",
    "Quantise",
    "RadialBasis",
    "attack",
    "backward_error",
    "lower_bound",
]
