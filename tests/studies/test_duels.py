"""Who is shorter, counted on lengths that are known."""

import numpy as np
import pandas as pd
import pytest

from studies import duels

LENGTHS = pd.DataFrame({
    "net": ["one", "one", "two", "two", "two"], "be": [1.0, 2.0, 1.0, 1.0, np.nan],
    "lbfgs": [1.0, 2.0, 0.9995, 0.9, 0.1], "fgsm": [np.inf, np.nan, 3.0, np.inf, 0.1],
})  # fmt: skip


def test_only_what_both_reach_is_compared_and_by_more_than_the_threshold():
    """A failed attack of either side does not count; without a pair the least quotient is one."""
    table = duels.by_network(LENGTHS, "be", {"lbfgs": "L-BFGS", "fgsm": "FGSM"}, by=0.001, exact=["one"])
    expected = [
        ["one", "exact", "L-BFGS", 2, 0, 1.0],
        ["one", "exact", "FGSM", 0, 0, 1.0],
        ["two", "converged", "L-BFGS", 2, 1, 0.9],
        ["two", "converged", "FGSM", 1, 0, 1.0],
    ]
    assert table.to_numpy().tolist() == expected
    assert duels.by_network(LENGTHS, "be", {"lbfgs": "L-BFGS"}, by=0.2).smaller.sum() == 0


@pytest.mark.parametrize("rounds", [1, 2])
def test_rows_of_chapters_come_back_with_their_chapter(rounds):
    """As they were saved, in the order of the chapters."""
    rows = duels.by_network(LENGTHS, "be", {"lbfgs": "L-BFGS"}, by=0.001).to_dict("records")
    table = duels.gathered({f"chapter {k}": rows for k in range(rounds)})
    assert list(table.chapter) == [f"chapter {k}" for k in range(rounds) for _ in rows]
    assert table.drop(columns="chapter").to_dict("records") == rows * rounds
