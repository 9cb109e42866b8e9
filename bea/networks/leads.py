"""By how much one class leads the others."""

import numpy as np


def differences(logits, aim) -> np.ndarray:
    """Return the logit of the aim less each one, (n, classes)."""
    return np.take_along_axis(logits, aim[:, None], 1) - logits


def lead(logits, aim) -> np.ndarray:
    """Return the logit of the aim less the largest other one, (n,)."""
    own = np.arange(logits.shape[1]) == aim[:, None]
    return np.where(own, np.inf, differences(logits, aim)).min(axis=1)


def ahead(logits, aim, targeted) -> np.ndarray:
    """Return by how much the target's logit, or the largest one but the label's, exceeds all others, (n,)."""
    return lead(logits, aim) if targeted else -lead(logits, aim)


def other_classes(target, classes: int) -> np.ndarray:
    """Return the classes other than the target, in ascending order, (n, classes - 1)."""
    return np.arange(classes - 1) + (np.arange(classes - 1) >= target[:, None])


def over_others(values, target) -> np.ndarray:
    """Return the target's entry less that of every other class, (n, classes - 1, …).

    Of ``values`` (n, classes, …), or with a first axis of one if they are the same for all samples.
    """
    values = np.broadcast_to(values, (len(target), *values.shape[1:]))
    rows = np.arange(len(target))[:, None]
    return values[rows, target[:, None]] - values[rows, other_classes(target, values.shape[1])]


def allowed_shortfall(logits, margin) -> np.ndarray:
    """Return by how much a margin may be missed because of rounding, (n,)."""
    return np.minimum(1e-9 * np.abs(logits).max(axis=1), 1e-3 * margin)
