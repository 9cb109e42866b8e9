"""The rule about the enclosed robustness: made-up lengths reach every verdict."""

import numpy as np
import pandas as pd
import pytest

from lab.claims import CONTRADICTED, REPRODUCED, UNDECIDED
from lab.rules import bounds_against_attacks as rules

NETS = pd.DataFrame({"net": ["a"], "low": [1.0], "high": [2.0], "high_error": [0.1]})


@pytest.mark.parametrize(
    ("tight", "upper", "verdict"),
    [
        ([1.0, 2.0], [1.5, 2.0], REPRODUCED),
        ([1.0, 2.1], [1.5, 2.0], CONTRADICTED),
        ([1.0, 2.1], [np.inf, 2.0], CONTRADICTED),
        ([1.0, 2.0], [np.inf, 2.0], UNDECIDED),
    ],
)
def test_enclosed(tight, upper, verdict):
    """A bound above a witness, and an image without one."""
    assert rules.enclosed(pd.DataFrame({"tight": tight, "upper": upper}), NETS).verdict == verdict
