"""The rule about the announced comparison: made-up counts reach every verdict."""

import pandas as pd
import pytest
from judged import judge

from lab.claims import CONTRADICTED, CORRECTED, REPRODUCED, UNDECIDED

WON, LOST, EVEN = (90, 5, 0.001), (5, 90, 0.001), (50, 45, 0.9)


def duels(*pairs, images=200) -> pd.DataFrame:
    """Return a row a pair; the first two are of network a, the next of b, and so on."""
    rows = [("abc"[k // 2], f"peer {k % 2}", images, *pair) for k, pair in enumerate(pairs)]
    return pd.DataFrame(rows, columns=["net", "attack", "images", "ours", "peer", "holm"])


@pytest.mark.parametrize(
    ("pairs", "verdict"),
    [
        ([WON] * 6, REPRODUCED),
        ([WON, WON, WON, EVEN, LOST, WON], CORRECTED),
        ([LOST, WON, LOST, LOST, EVEN, LOST], CONTRADICTED),
        ([LOST, WON, LOST, LOST, EVEN, WON], UNDECIDED),
        ([EVEN] * 6, UNDECIDED),
        ([WON] * 4, UNDECIDED),
        ([], UNDECIDED),
    ],
)
def test_announced_study(pairs, verdict):
    """Best everywhere, on some networks, nowhere; nothing decided, too few networks, and no table at all."""
    assert judge("B20", duels(*pairs)).verdict == verdict


def test_too_few_images():
    """However clear the counts."""
    assert judge("B20", duels(*[WON] * 6, images=99)).verdict == UNDECIDED
