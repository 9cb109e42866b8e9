"""What may change: the weights of which layers, and whether the input."""

from dataclasses import dataclass

import numpy as np

from bea.networks.network import Network


@dataclass(frozen=True)
class Changing:
    """What may change: which of the weighted layers, and whether the input."""

    layers: tuple[bool, ...]
    input: bool


def changing(net: Network, on) -> Changing:
    """Read ``on``: "weights", "input", "both", or a tuple of layer numbers from 1 to p and "input"."""
    p = len(net.weighted)
    everything = tuple(range(1, p + 1))
    words = {"weights": everything, "input": ("input",), "both": (*everything, "input")}
    parts = words.get(on) if isinstance(on, str) else on
    known = (
        isinstance(parts, tuple | list)
        and len(parts) > 0
        and all(
            part == "input" or (isinstance(part, int | np.integer) and not isinstance(part, bool) and 1 <= part <= p)
            for part in parts
        )
    )
    if not known or len(set(parts)) < len(parts):
        raise ValueError(
            f'on: expected one of {tuple(words)} or a tuple of distinct layer numbers from 1 to {p} and "input", '
            f"received {on!r}"
        )
    return Changing(tuple(number in parts for number in everything), "input" in parts)
