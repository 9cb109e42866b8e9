"""Two ways through a network that meet again in a sum."""

from dataclasses import dataclass

from bea.networks.layers import Layer


@dataclass(frozen=True, eq=False)
class Residual(Layer):
    """The sum of two sequences of layers of one input, ``branch(y) + shortcut(y)``.

    Layers with weights inside count among ``net.weighted``, those of the branch first, then those of the shortcut.
    A branch may hold a ``Residual`` itself. An activation behind the sum is a layer of its own.

    Parameters
    ----------
    branch : sequence of layers
        At least one.
    shortcut : sequence of layers
        None for the identity.
    """

    branch: tuple
    shortcut: tuple = ()
