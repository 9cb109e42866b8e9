"""Attacks on the input. All take ``(net, x, label, *, target=None, …)`` and return an ``InputAttackResult``."""

from bea.lazy import opening

HOMES = {
    "bea.attacks.affine": "SmallestChange WorstChange smallest_change worst_change",
    "bea.attacks.black_box": "SubstituteResult substitute",
    "bea.attacks.by_backward_error": "ShortestChange backward_error_attack",
    "bea.attacks.carlini": "carlini_wagner",
    "bea.attacks.common": "InputAttackResult StepResult",
    "bea.attacks.componentwise": "ComponentwiseResult componentwise_attack",
    "bea.attacks.epsilon_search": "SmallestEpsilon smallest_epsilon",
    "bea.attacks.gradient_signs": "fgsm",
    "bea.attacks.lbfgs": "lbfgs_attack",
    "bea.attacks.mixed_integer": "FewestPixels fewest_pixels",
    "bea.attacks.newton": "NewtonResult newton_attack",
    "bea.attacks.penalty": "PenaltyResult",
    "bea.attacks.projected_gradient": "pgd smallest_pgd",
    "bea.attacks.quantised": "FactorResult difference_step nearest_preimage smallest_factor",
    "bea.attacks.saliency": "saliency_attack",
}
__all__, __getattr__, __dir__ = opening(__name__, HOMES)
