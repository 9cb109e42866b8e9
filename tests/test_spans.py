"""How ranges over networks are written, and entries of tables."""

import re

import numpy as np
import pandas as pd

from lab.chapter import Chapter
from lab.shares import shares_up_to
from lab.wording import counted, spans, tidy_span


def test_ends_are_written_once_where_alike_and_exponents_as_on_paper():
    """Of nothing it says so."""
    assert tidy_span([3e-7, 2e-6], ".0e") == "3·10⁻⁷ to 2·10⁻⁶"
    assert tidy_span(np.array([0.501, 0.502]), ".2f") == "0.50"
    assert tidy_span([], ".2f") == "not computed"


def test_one_of_a_thing_has_no_plural():
    """None and several have."""
    assert [counted(n, "seed") for n in (0, 1, 2)] == ["0 seeds", "1 seed", "2 seeds"]
    assert [counted(n, "seed") for n in np.arange(3)] == ["0 seeds", "1 seed", "2 seeds"]


def test_spans_of_groups_take_columns_that_go_on_with_a_blank():
    """ "short" means "short mean" too, but not "shorter"."""
    rows = {"set": ["a", "a", "b"], "short mean": [1, 2, 9], "short median": [3, 4, 9], "shorter": [7, 7, 7]}
    assert spans(pd.DataFrame(rows), "set", ("a", "c"), short=".0f") == {
        "a": {"short": "1 to 4"},
        "c": {"short": "not computed"},
    }
    forms = {"a": ".1f", "b": ".0f"}
    assert spans(pd.DataFrame(rows), "set", "ab", shorter=forms) == {"a": {"shorter": "7.0"}, "b": {"shorter": "7"}}


def test_tables_leave_out_what_is_no_number(tmp_path, monkeypatch):
    """An exponent and a minus sign as on paper, nothing for NaN; the file keeps all digits, and hyphens."""
    shown = []
    monkeypatch.setattr("lab.chapter.display", lambda item: shown.append(item.data))
    chapter = Chapter.__new__(Chapter)
    chapter.notebook, chapter.folder = "toy", tmp_path
    chapter.table("cell", [[-1.25e-7, np.nan, "-3 to 2"]], ["a", "b", "c"], formats={"a": ".1e", "b": ".1f"})
    assert "| −1.2·10⁻⁷ |" in shown[0]
    assert "| −3 to 2 |" in shown[0]
    assert "nan" not in shown[0]
    assert "-1.25e-07,,-3 to 2" in (tmp_path / "tables" / "toy-cell.csv").read_text()


def test_bars_in_a_table_end_no_cell(tmp_path, monkeypatch):
    """Neither in a heading nor in an entry; what is escaped already stays as it is."""
    shown = []
    monkeypatch.setattr("lab.chapter.display", lambda item: shown.append(item.data))
    chapter = Chapter.__new__(Chapter)
    chapter.notebook, chapter.folder = "toy", tmp_path
    chapter.table("cell", [["$|x|$", r"$\|x\|$"]], ["median $|z|$", "norm"])
    heading, _, row, *_ = shown[0].splitlines()
    assert r"median $\|z\|$" in heading
    assert r"| $\|x\|$" in row
    assert len(re.findall(r"(?<!\\)\|", heading)) == len(re.findall(r"(?<!\\)\|", row)) == 3


def test_the_share_up_to_a_point_counts_the_point_itself():
    """And never what is infinite or no number."""
    samples = [[3.0, 1.0, 2.0, np.inf], [1.0, np.nan]]
    np.testing.assert_array_equal(
        shares_up_to(samples, [0.5, 1.0, 2.5, 9.0]), [[0, 0.25, 0.5, 0.75], [0, 0.5, 0.5, 0.5]]
    )
