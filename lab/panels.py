"""Figures with a panel for every network."""

from matplotlib.figure import Figure

from lab.figures import new_figure


def panels(titles: list[str], height: float = 2.5, columns: int = 3) -> tuple[Figure, list]:
    """Return a figure with a titled panel for each of some networks, in rows, and its axes; the rest stays empty.

    Parameters
    ----------
    titles : list of str
    height : float
        Of a row, inches.
    columns : int
    """
    rows = -(-len(titles) // columns)
    figure, axes = new_figure(7.2, height * rows, rows, columns)
    for ax in axes.flat[len(titles) :]:
        ax.axis("off")
    for ax, title in zip(axes.flat, titles, strict=False):
        ax.set_title(title, fontsize=9)
        ax.tick_params(labelsize=8)
    return figure, list(axes.flat[: len(titles)])
