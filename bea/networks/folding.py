"""Batch normalisation after training is an affine map of the entries, and folds into a neighbour with weights."""

from bea.networks.normalisation import Scale


def batch_normalisation(mean, variance, epsilon, gain=1.0, offset=0.0) -> Scale:
    """Return what a trained batch normalisation does, ``gain (y - mean)/√(variance + ε) + offset``, as a ``Scale``.

    Parameters
    ----------
    mean, variance : array (channels,)
        The moving ones.
    epsilon : float
        ε: Keras has 1e-3, PyTorch 1e-5.
    gain, offset : array (channels,), optional
        γ and β of Ioffe and Szegedy (2015); Keras' ``gamma``, ``beta``, PyTorch's ``weight``, ``bias``.
    """
    raise NotImplementedError


def fold_scales(layers, input_shape) -> tuple:
    """Return layers of the same function in which every ``Scale`` that can is folded into a neighbour with weights.

    Into the ``Dense`` or ``Convolution`` before it, and else into the one behind it, where a shift may not meet zeros
    of padding. Rows are multiplied and biases moved (a bias is added where there was none), so that nothing is
    neglected but the rounding of the new weights. The insides of ``Residual`` are folded too. What cannot be folded
    stays a ``Scale``.

    Parameters
    ----------
    layers : sequence of layers
    input_shape : tuple of int
        Shape of one input of the first of them.
    """
    raise NotImplementedError
