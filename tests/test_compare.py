"""`workflow.compare`: what moved between two books is found, and nothing else."""

import json
import re
import zipfile
from pathlib import Path

import pytest
from stored_runs import Scale

from lab.parameters import EDITIONS, ROOT
from workflow import compare, faults

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


def test_a_page_shows_what_moved_most_and_which_verdicts_changed(tmp_path):
    """Text of results is no markup there."""
    after = {
        "cells": {"a": {"x": 1.5, "list": [1, 2.02], "text": "<script>u</script>"}},
        "claims": {"B1": {"verdict": "contradicted"}},
    }
    shown = compare.page(*books(tmp_path, after))
    cells = re.findall(r"<td>(.*?)</td>", shown)
    assert cells[:4] == ["B1", "chapter", "reproduced", "contradicted"]
    assert cells[4:8] == ["a.text", "&quot;t&quot;", "&quot;&lt;script&gt;u&lt;/script&gt;&quot;", ""]
    assert cells[8:] == ["a.x", "1.0", "1.5", "50.00%", "a.list.1", "2.0", "2.02", "1.00%"]
    (tmp_path / "more").mkdir()
    same = compare.page(*books(tmp_path / "more", BOOK))
    assert "No verdict changed." in same
    assert "Nothing moved." in same


def test_editions_have_names(tmp_path, monkeypatch):
    """Others are folders; what is not there is said."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "_build/editions/smoke/results").mkdir(parents=True)
    assert compare.results_of("smoke") == Path("_build/editions/smoke/results")
    assert compare.results_of(str(tmp_path)) == tmp_path
    with pytest.raises(FileNotFoundError, match="expected one of full, smoke, complete that was made"):
        compare.results_of("full")


def test_a_chapter_is_found_under_its_old_name(tmp_path, monkeypatch):
    """As RENAMED says."""
    monkeypatch.setattr(compare, "RENAMED", {"10_new": "chapter"})
    assert compare.compare(*books(tmp_path, BOOK, "10_new")) == {"10_new": []}


def test_a_chapter_that_had_its_new_name_before_is_found_under_it(tmp_path, monkeypatch):
    """Two books of today are compared, not the names of one with those of long ago."""
    monkeypatch.setattr(compare, "RENAMED", {"10_new": "old"})
    before, after = books(tmp_path, BOOK | {"claims": {}}, name="10_new")
    (before / "chapter.json").rename(before / "10_new.json")
    assert [line.split(":")[0] for line in compare.compare(before, after)["10_new"]] == ["claims.B1"]


def test_files_are_the_same_whenever_they_were_made(tmp_path):
    """What a reader sees is compared to the last bit, and not when and how fast it was made."""
    folders = [tmp_path / "one", tmp_path / "other"]
    for number, folder in enumerate(folders):
        (folder / "figures").mkdir(parents=True)
        (folder / ".done").mkdir()
        provenance = {"seconds": number, "commit": str(number), "edition": "smoke"}
        (folder / "a.json").write_text(json.dumps({"cells": {"x": 0.1}, "provenance": provenance}))
        (folder / "figures/a.svg").write_text("<svg/>")
        (folder / "a.ipynb").write_text(str(number))
        (folder / ".done/a").write_text(str(number))
        with zipfile.ZipFile(folder / "net.keras", "w") as archive:
            archive.writestr("metadata.json", json.dumps({"keras_version": "3", "date_saved": number}))
            archive.writestr("model.weights.h5", b"weights")
    assert compare.different_files(*folders) == {}
    assert len(compare.hashes(folders[0])) == 3
    (folders[1] / "a.json").write_text(json.dumps({"cells": {"x": 0.1 + 1e-16}, "provenance": {"edition": "smoke"}}))
    (folders[1] / "figures/a.svg").unlink()
    with zipfile.ZipFile(folders[1] / "net.keras", "w") as archive:
        archive.writestr("metadata.json", json.dumps({"keras_version": "3"}))
        archive.writestr("model.weights.h5", b"others")
    other = "another content"
    said = {"a.json": other, "figures/a.svg": "only in one of them", "net.keras": other}
    assert compare.different_files(*folders) == said


def two_builds(tmp_path):
    """Two builds of two chapters of one edition: a verdict, a file of a chapter and one of nobody are not the same."""
    folders = [tmp_path / "one", tmp_path / "other"]
    for number, folder in enumerate(folders):
        (folder / "figures").mkdir(parents=True)
        (folder / "figures/a-plot.svg").write_text(str(number))
        (folder / f"only-{number}.txt").write_text("")
        for name, verdict in (("a", "reproduced"), ("b", ("reproduced", "contradicted")[number])):
            made = {"edition": "smoke", "notebook": name, "files": [f"{name}.json", f"figures/{name}-plot.svg"]}
            content = {"claims": {name: {"verdict": verdict}}, "provenance": made | {"commit": f"{name}{number}"}}
            (folder / f"{name}.json").write_text(json.dumps(content))
    return folders


def test_what_two_builds_have_alike_is_kept_by_edition(tmp_path, monkeypatch, capsys):
    """And shown on the page, beside what was kept of the other edition: nothing of it is said whatever was found."""
    monkeypatch.setattr(faults, "ROOT", tmp_path)
    monkeypatch.setattr(faults, "STATUS", tmp_path / "status.json")
    (tmp_path / "_build").mkdir()
    full = {"date": "2026-01-02", "commit": "f", "files": 7, "same": 7, "verdicts": 0, "commits": [["g"], ["h"]]}
    (tmp_path / "status.json").write_text(json.dumps({"jobs": {"calls": 1}, "twice": {"full": full}}))
    before, after = two_builds(tmp_path)
    monkeypatch.setattr("sys.argv", ["compare", str(before), str(after), "--files", "--keep"])
    with pytest.raises(SystemExit) as ended:
        compare.main()
    assert ended.value.code == 1
    assert "figures/a-plot.svg: another content" in capsys.readouterr().out
    status = json.loads((tmp_path / "status.json").read_text())
    found = status["twice"].pop("smoke")
    assert status == {"jobs": {"calls": 1}, "twice": {"full": full}}
    assert found.items() >= {"files": 5, "same": 1, "verdicts": 1}.items()
    assert found["commits"] == [["a0", "b0"], ["a1", "b1"]]
    assert found["others"] == {"b": 1, "a": 1, "only-0.txt": 1, "only-1.txt": 1}
    text = Scale.twice({"full": full, "smoke": found})
    assert "Edition full, built at commit g and again at h, compared on 2026-01-02 at commit f: 7 of 7 files" in text
    assert "built at commit a0, b0 and again at a1, b1" in text
    assert "Verdicts that differ: 1. The other files are those of b (1), a (1), only-0.txt (1), only-1.txt (1)." in text


def test_builds_of_two_editions_are_not_kept(tmp_path):
    """They are not one edition built twice."""
    before, after = two_builds(tmp_path)
    content = json.loads((after / "a.json").read_text())
    content["provenance"]["edition"] = "full"
    (after / "a.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"builds of one edition, found \['smoke'\] and \['full', 'smoke'\]"):
        compare.twice(before, after)


def test_what_is_stored_of_builds_can_be_shown():
    """Each edition with what it was built at, and no more files the same than there are."""
    stored = json.loads((ROOT / "book" / "status.json").read_text())["twice"]
    assert Scale.twice(stored).count("built at commit") == len(stored)
    for edition, entry in stored.items():
        assert edition in EDITIONS
        assert entry["same"] <= entry["files"]
        if "others" in entry:
            assert sum(entry["others"].values()) == entry["files"] - entry["same"]
