"""Which of the bounds that hold in a ball around an image covers a network."""

from collections.abc import Callable

from bea.bounds.ball_dense import local_bound
from bea.bounds.ball_pieces import pieces_bound
from bea.bounds.ball_ranges import hidden_stages
from bea.bounds.ball_windows import windows_bound
from bea.bounds.pieces import linear_pieces
from bea.bounds.pooling_front import take_apart
from bea.networks.network import Network


def within_ball(net: Network) -> Callable:
    """Return the sharpest of the bounds within a ball that covers the network, a function of network and images.

    Raises
    ------
    ValueError
        If none does; it says what is covered.
    """
    for within, check in ((local_bound, hidden_stages), (windows_bound, take_apart)):
        try:
            check(net)
        except ValueError:
            continue
        return within
    linear_pieces(net)
    return pieces_bound
