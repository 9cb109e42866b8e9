"""Products with the matrix of a layer that meets many patches: convolutions, in groups or not.

Patches h are (n, positions, columns). With G groups they are (n, positions, G, columns), the rows of the matrix (rows,
columns) are divided into G parts of equal size, and each part meets the patches of its own group: columns that a group
does not see do not exist, so that no change of the matrix can fill them.
"""

import numpy as np


def products(h, matrix) -> np.ndarray:
    """Return ``A h`` at every position, (n, positions, rows); A (rows, columns) or one a sample (n, rows, columns)."""
    if h.ndim == 3:
        return h @ matrix.swapaxes(-1, -2)
    parts = h.swapaxes(1, 2) @ _parts(matrix, h.shape[2]).swapaxes(-1, -2)
    return parts.swapaxes(1, 2).reshape(*h.shape[:2], matrix.shape[-2])


def derivatives(rows, h) -> np.ndarray:
    """Return the derivative by the matrix of ``Σ rows · A h`` over the positions, (n, k, rows, columns).

    ``rows`` (n, k, positions, rows), or with a first axis of one.
    """
    if h.ndim == 3:
        return rows.swapaxes(2, 3) @ h[:, None]
    each = rows.reshape(*rows.shape[:3], h.shape[2], rows.shape[3] // h.shape[2]).transpose(0, 1, 3, 4, 2)
    found = each @ h.swapaxes(1, 2)[:, None]
    return found.reshape(*found.shape[:2], rows.shape[3], h.shape[3])


def pulled_back(rows, kernel, groups: int) -> np.ndarray:
    """Return ``rows`` (n, k, positions, rows) times one kernel a sample (n, rows, inputs), as ``fold`` takes it."""
    if groups == 1:
        return rows @ kernel[:, None]
    each = rows.reshape(*rows.shape[:3], groups, rows.shape[3] // groups).swapaxes(2, 3)
    return (each @ _parts(kernel, groups)[:, None]).swapaxes(2, 3)


def _parts(matrix, groups):
    """Return the matrix (…, rows, columns) as (…, groups, rows of a group, columns)."""
    *before, rows, columns = matrix.shape
    return matrix.reshape(*before, groups, rows // groups, columns)
