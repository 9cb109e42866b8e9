"""The lead of a class: its logit less another one, or less the largest other one where none is named.

A class wins where its lead is positive. In an attack the *aim* is the target, or the label to get away from, and the
attack is asked for a lead of the target over all other classes, or of any other class over the label.
"""

import numpy as np


def lead(logits, aim) -> np.ndarray:
    """Return the logit of the aim less the largest other one, (n,)."""
    own = np.arange(logits.shape[1]) == aim[:, None]
    return np.where(own, np.inf, lead_over_each(logits, aim)).min(axis=1)


def lead_over_each(logits, aim) -> np.ndarray:
    """Return the logit of the aim less each one, (n, classes): zero for the aim itself."""
    return np.take_along_axis(logits, aim[:, None], 1) - logits


def lead_over_others(values, aim) -> np.ndarray:
    """Return the entry of the aim less that of every other class, in ascending order, (n, classes - 1, …).

    Of ``values`` (n, classes, …), logits or derivatives of them, or with a first axis of one if they are the same for
    all samples.
    """
    values = np.broadcast_to(values, (len(aim), *values.shape[1:]))
    rows = np.arange(len(aim))[:, None]
    return values[rows, aim[:, None]] - values[rows, other_classes(aim, values.shape[1])]


def other_classes(aim, classes: int) -> np.ndarray:
    """Return the classes other than the aim, in ascending order, (n, classes - 1)."""
    return np.arange(classes - 1) + (np.arange(classes - 1) >= aim[:, None])


def attack_lead(logits, aim, targeted) -> np.ndarray:
    """Return the lead that an attack is asked for: of the target, or of the best other class over the label, (n,)."""
    return lead(logits, aim) if targeted else -lead(logits, aim)


def allowed_shortfall(logits, margin) -> np.ndarray:
    """Return by how much a lead may miss the margin because of rounding, (n,)."""
    return np.minimum(1e-9 * np.abs(logits).max(axis=1), 1e-3 * margin)
