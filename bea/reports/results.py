"""What can be asked of every result for n samples: a short text, a tidy frame, a picture."""

from typing import TYPE_CHECKING

import numpy as np

from bea.lazy import optional
from bea.reports.texts import outlined, spread, wrapped

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame

PICTURES = 4  # samples in a picture, unless others are asked for


class Report:
    """A result for a batch of n samples; a dataclass with arrays of one entry a sample.

    It says ``columns``, ``measured``, ``tally`` and ``standing`` of itself, and draws itself in ``draw``.
    """

    standing = "found by search, an upper bound of the smallest"

    def __init_subclass__(cls, **options):
        super().__init_subclass__(**options)
        cls.__repr__ = Report.__repr__  # a dataclass would write out all numbers otherwise

    def columns(self) -> dict[str, np.ndarray]:
        """Return the columns of ``to_frame``, arrays (n,), by their names."""
        raise NotImplementedError

    def measured(self) -> tuple[str, np.ndarray]:
        """Return what is measured of every sample, its name with its unit and the numbers (n,), NaN for none."""
        raise NotImplementedError

    def tally(self) -> str:
        """Return in words for how many samples there is a result."""
        raise NotImplementedError

    def summary(self) -> str:
        """Return in two lines how many samples and successes there are, how large, and what is known of that.

        What is known: "linearised" for a solution of a problem linearised at the unperturbed network; "locally optimal"
        where the conditions of optimality of the problem itself were aimed at; "proven" for what is no estimate;
        otherwise an upper bound of the smallest.
        """
        name, values = self.measured()
        head = f"{type(self).__name__}: {self.tally()}; {self.standing}"
        return f"{wrapped(head)}\n{wrapped(f'{name}: {spread(values)}')}"

    def __repr__(self) -> str:
        _, _, arrays = outlined(self).partition("(")
        return f"{self.summary()}\n{wrapped(arrays.removesuffix(')'))}"

    def to_frame(self) -> "DataFrame":
        """Return a tidy frame, a row a sample, its number in the column ``sample``; the units are those of the fields.

        Raises
        ------
        ImportError
            If pandas is not installed; the extra ``frame`` brings it.
        """
        pandas = optional("pandas", "frame")
        columns = self.columns()
        n = len(next(iter(columns.values())))
        return pandas.DataFrame({"sample": np.arange(n)} | columns)

    def plot(self, samples=None) -> "Figure":
        """Return a picture: of images the change and the changed image, of other numbers how they are distributed.

        Parameters
        ----------
        samples : int or sequence of int, optional
            Which samples; images and vectors of the first four unless given, distributions of all.

        Returns
        -------
        matplotlib.figure.Figure
            Not known to ``pyplot``: ``figure.savefig(path)`` writes it, and a notebook shows it.

        Raises
        ------
        ValueError
            For numbers of samples that are not there, and a result without samples.
        ImportError
            If matplotlib is not installed; the extra ``plot`` brings it.
        """
        optional("matplotlib", "plot")
        n = len(next(iter(self.columns().values())))
        if not n:
            raise ValueError("plot: expected a result with samples, received one without any")
        if samples is None:
            return self.draw(None)
        chosen = np.atleast_1d(samples)
        if chosen.ndim != 1 or not chosen.size or not np.issubdtype(chosen.dtype, np.integer):
            raise ValueError(f"samples: expected numbers of samples, received {samples!r}")
        if chosen.min() < 0 or chosen.max() >= n:
            raise ValueError(f"samples: expected numbers from 0 to {n - 1}, received {samples!r}")
        return self.draw(chosen)

    def draw(self, samples) -> "Figure":
        """Return the picture of these samples, an index array; None for those that are shown by default."""
        raise NotImplementedError


def first_few(there) -> np.ndarray:
    """Return the numbers of the first samples for which ``there`` (n,) is true, of all if there are none."""
    return (np.flatnonzero(there) if there.any() else np.arange(len(there)))[:PICTURES]


def tally(success, already) -> str:
    """Return in words how many attacks succeed, and how many of them without any change, from masks (n,)."""
    none = np.count_nonzero(already)
    return f"{np.count_nonzero(success)} of {len(success)} samples succeed" + (
        f", {none} without change" if none else ""
    )
