"""Batches in blocks of samples: for the sake of memory, and so that threads can work side by side."""

import math
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import cache
from itertools import accumulate

import numpy as np
from threadpoolctl import ThreadpoolController

from bea.numerics.progress import counting

BLOCK_NUMBERS = 2**18  # in one array that holds a number for every sample of a block
VERY_WIDE = 2**17  # numbers of one sample between two layers from which on a block has fewer than 16 of them


def block_size(layers, shape, unknowns=0, numbers=BLOCK_NUMBERS) -> int:
    """Return how many samples to take at a time when derivatives in so many unknowns are wanted besides the layers'.

    So many that no array of the block holds much more than so many numbers; 16 or more, unless the layers are very
    wide.
    """
    largest = math.prod(shape)
    for layer in layers:
        largest = max(largest, layer.widest(shape))
        shape = layer.output_shape(shape)
    least = min(16, max(1, VERY_WIDE * 16 // largest))
    return int(np.clip(numbers / max(largest, unknowns), least, numbers // 256))


def blocks(n: int, size: int) -> list[slice]:
    """Return the blocks of n samples; an empty batch is one empty block."""
    return [slice(start, min(start + size, n)) for start in range(0, max(n, 1), size)]


def one_thread() -> AbstractContextManager:
    """Return a context in which linear algebra has one thread. Not for use within threads, which share the setting."""
    return _linear_algebra().limit(limits=1, user_api="blas")


@cache  # to look for the libraries takes longer than a small attack
def _linear_algebra() -> ThreadpoolController:
    import scipy.linalg  # noqa: F401, has a library of its own, which must be there to be found

    return ThreadpoolController()


def side_by_side(function, parts) -> Iterator:
    """Yield what the function returns for every part, in order; threads work on several at a time.

    Parts are slices or index arrays of samples. They are counted (``bea.numerics.progress``) if there are several; a
    function that has them all at once may count for itself.
    """
    with one_thread():  # small matrices gain nothing from threads of their own, and would wait for them
        if len(parts) == 1:
            yield function(parts[0])
            return
        sizes = [part.stop - part.start if isinstance(part, slice) else len(part) for part in parts]
        with counting(sum(sizes)) as tell, ThreadPoolExecutor(os.cpu_count()) as pool:
            for done, result in zip(accumulate(sizes), pool.map(function, parts), strict=True):
                tell(done)
                yield result


def in_blocks(function: Callable, size: int, *arrays):
    """Apply a function of batches to blocks of so many samples, side by side, and join what it returns for them."""
    parts = blocks(len(arrays[0]), size)
    return join(list(side_by_side(lambda part: function(*(array[part] for array in arrays)), parts)))


def join(parts: list):
    """Join what came of blocks of samples: arrays, None, or tuples and lists of such, all alike."""
    first = parts[0]
    if isinstance(first, tuple | list):
        return type(first)(join(items) for items in zip(*parts, strict=True))
    return None if first is None else np.concatenate(parts)
