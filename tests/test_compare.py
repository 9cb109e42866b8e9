"""`workflow.compare`: what moved between two books is found, and nothing else."""

import json

import pytest

from workflow import compare

BOOK = {"cells": {"a": {"x": 1.0, "list": [1, 2.0], "text": "t"}}, "claims": {"B1": {"verdict": "reproduced"}}}


def books(tmp_path, after, name="chapter"):
    """Two folders of results with one chapter each."""
    folders = [tmp_path / "before", tmp_path / "after"]
    for folder, stem, content in zip(folders, ("chapter", name), (BOOK, after), strict=True):
        folder.mkdir()
        (folder / f"{stem}.json").write_text(json.dumps(content))
    return folders


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({}, []),
        ({"x": 1.0 + 1e-10}, []),
        ({"new": 3}, []),
        ({"x": 1.0 + 1e-8}, ["cells.a.x: 1.0 became 1.00000001"]),
        ({"list": [1, 3.0]}, ["cells.a.list.1: 2.0 became 3.0"]),
        ({"list": [1]}, ["cells.a.list: [1, 2.0] became [1]"]),
        ({"text": "u"}, ['cells.a.text: "t" became "u"']),
    ],
)
def test_what_moved(tmp_path, change, found):
    """Numbers by more than 1e-9 of themselves, lists, text; what is new does not count."""
    before, after = books(tmp_path, BOOK | {"cells": {"a": BOOK["cells"]["a"] | change}})
    assert compare.compare(before, after) == {"chapter": found}


def test_what_is_gone(tmp_path):
    """A cell, a verdict, a whole chapter."""
    before, after = books(tmp_path, {"cells": {}, "claims": {}})
    lines = compare.compare(before, after)["chapter"]
    assert [line.split(":")[0] for line in lines] == ["cells.a", "claims.B1"]
    (before / "chapter.json").unlink()
    assert compare.compare(before, after)["chapter"][0].startswith("new")


def test_a_chapter_is_found_under_its_old_name(tmp_path, monkeypatch):
    """As RENAMED says."""
    monkeypatch.setattr(compare, "RENAMED", {"10_new": "chapter"})
    assert compare.compare(*books(tmp_path, BOOK, "10_new")) == {"10_new": []}
