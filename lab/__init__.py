"""What studies and notebooks share: data, training, results, claims and figures."""

from bea.lazy import opening

HOMES = {"lab.chapter": "Chapter accuracies first_of", "lab.rules": "Outcome"}
__all__, __getattr__, __dir__ = opening(__name__, HOMES)
