"""The register of rules: no rule changes without a line, and what a line says is what the page shows."""

import datetime
import subprocess
from pathlib import Path

import pytest
import yaml

from lab.claims import load_claims
from lab.register import changed_in_view, checked, fingerprint, history, load_register, unregistered
from workflow.register import add, main

ROOT = Path(__file__).parents[1]
RULE = {"function": "toy.near", "within": 0.1}
CLAIM = {"id": "B1", "rule": RULE}
SOURCE = '''
"""A module."""

LIMIT = 2


def _size(value):
    return abs(value)


def unused(value):
    return value


def near(values, *, within) -> Outcome:
    """Reproduced when small, within {within}."""
    small = _size(max(values)) < within * LIMIT  # a comment
    told = max(values)
    return Outcome(A if small else B, f"{told:.1f}", "exact", "as it is")
'''
DAY = datetime.date(2026, 11, 20)


def test_every_rule_is_the_one_of_its_last_line():
    """A rule that was changed has a new line in the register."""
    lacking = unregistered(load_claims(ROOT / "book" / "claims.yml"), load_register())
    assert not lacking, (
        f"the rules of {', '.join(lacking)} have changed: add a line for each to book/register.yml, "
        'python -m workflow.register --claim … --change "what and why" --seen (or --unseen)'
    )


def test_the_register_has_every_claim():
    """In their order, from the commit that first wrote their rule."""
    register = load_register()
    assert list(register) == list(load_claims(ROOT / "book" / "claims.yml"))
    first = [lines[0].get("commit") for claim, lines in register.items() if not claim.startswith("N")]
    assert set(first) == {"24e76ea"}  # those of the fifth source came later


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("  # a comment", ""),
        ("Reproduced when small,", "Reproduced when\n    small,"),
        (
            "small = _size(max(values)) < within * LIMIT",
            "small = (\n        _size(max(values)) < within * LIMIT\n    )",
        ),
        ("near(values, *, within) -> Outcome", "near(values: list, *, within)"),
        ('"as it is"', 'f"told otherwise, {LIMIT}"'),
        ("told = max(values)", "told = min(values)"),
        ("    return value\n", "    return 2 * value\n"),
    ],
    ids=[
        "comment",
        "white space of the words",
        "format",
        "type hints",
        "what is told",
        "computed to tell",
        "another function",
    ],
)
def test_what_decides_nothing_changes_no_fingerprint(old, new):
    """It stays, so nobody has to write a line for it."""
    changed = SOURCE.replace(old, new)
    assert changed != SOURCE
    assert fingerprint(CLAIM, changed) == fingerprint(CLAIM, SOURCE)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("< within", "<= within"),
        ("when small", "when tiny"),
        ("return abs(value)", "return value"),
        ("LIMIT = 2", "LIMIT = 3"),
        ("A if small else B", "B if small else A"),
        ('"exact"', '"sampled"'),
    ],
    ids=["comparison", "words", "helper", "constant", "verdict", "label"],
)
def test_what_decides_changes_the_fingerprint(old, new):
    """In the function, in what it uses of its module, and in the words that are printed."""
    changed = SOURCE.replace(old, new)
    assert changed != SOURCE
    assert fingerprint(CLAIM, changed) != fingerprint(CLAIM, SOURCE)


def test_a_threshold_and_the_mark_change_the_fingerprint():
    """But not the order in which thresholds stand, nor how a claim is worded."""
    assert fingerprint(CLAIM | {"by_definition": True}, SOURCE) != fingerprint(CLAIM, SOURCE)
    assert fingerprint(CLAIM | {"statement": "w"}, SOURCE) == fingerprint(CLAIM, SOURCE)
    assert fingerprint({"rule": RULE | {"within": 0.2}}, SOURCE) != fingerprint(CLAIM, SOURCE)
    assert fingerprint({"rule": dict(reversed(RULE.items()))}, SOURCE) == fingerprint(CLAIM, SOURCE)


@pytest.mark.parametrize(
    "lines",
    [
        [],
        [{"date": DAY, "seen": True}],
        [{"date": DAY, "seen": "yes", "change": "w"}],
        [{"date": DAY, "seen": True, "change": ""}],
        [{"date": DAY, "seen": True, "change": "w", "why": "w"}],
        [
            {"date": DAY, "seen": True, "change": "w"},
            {"date": datetime.date(2026, 11, 19), "seen": True, "change": "w"},
        ],
    ],
    ids=["none", "nothing said", "seen in words", "empty", "unknown key", "falling dates"],
)
def test_a_line_that_is_not_one_is_refused(lines):
    """With the claim named."""
    with pytest.raises(ValueError, match="B1: expected"):
        checked({"B1": lines})


def test_a_reader_is_told_when_and_whether_numbers_were_seen():
    """One item a line, its words as they stand."""
    first = {"date": DAY, "seen": False, "change": "First written.", "commit": "abc1234"}
    then = {"date": datetime.date(2026, 12, 2), "seen": True, "change": "Wider, $x < 2$.", "fingerprint": "f"}
    assert history([first, then]) == (
        "- 20 November 2026, before its numbers were seen: First written. (commit abc1234)\n"
        "- 2 December 2026, after its numbers were seen: Wider, $x < 2$."
    )


def test_only_changes_in_view_of_the_numbers_are_counted():
    """Not the first line, which may come with them, and not a change before them."""
    before, after = {"date": DAY, "seen": False, "change": "w"}, {"date": DAY, "seen": True, "change": "w"}
    assert (
        changed_in_view({"B1": [after], "B2": [before, before], "B3": [before, before, after], "B4": [after] * 2}) == 2
    )


@pytest.fixture
def tree(tmp_path):
    """A repository with one claim, its rule, and a register that knows it."""
    for folder in ("book", "lab/rules"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "lab/rules/toy.py").write_text(SOURCE)
    (tmp_path / "book/claims.yml").write_text(yaml.safe_dump([{"id": "B1", "rule": RULE}, {"id": "B2", "judged": "w"}]))
    (tmp_path / "book/published.yml").write_text("{}")
    line = {"date": DAY, "seen": False, "change": "First written.", "fingerprint": fingerprint(CLAIM, SOURCE)}
    (tmp_path / "book/register.yml").write_text("# The head.\n" + yaml.safe_dump({"B1": [line]}))
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "first"]):
        git(tmp_path, *command)
    return tmp_path


def git(tree, *arguments):
    """Run git in the tree and return what it says."""
    who = ["-c", "user.name=a", "-c", "user.email=a@b.example", "-c", "commit.gpgsign=false"]
    return subprocess.run(["git", *who, *arguments], cwd=tree, capture_output=True, text=True, check=True).stdout


def change(tree):
    """Change the rule."""
    (tree / "lab/rules/toy.py").write_text(SOURCE.replace("< within", "<= within"))


def test_a_changed_rule_gets_its_line(tree):
    """With the commit that changed it, not a later one of the same file, and the head stays."""
    assert add({}, tree) == []
    change(tree)
    assert add({}, tree) == ["B1: its rule is not the one of its last line"]
    git(tree, "commit", "-qam", "second")
    commit = git(tree, "log", "-1", "--format=%h").strip()
    (tree / "lab/rules/toy.py").write_text((tree / "lab/rules/toy.py").read_text() + "\n\nLATER = 1\n")
    git(tree, "commit", "-qam", "third")
    assert add({"B1": [{"date": datetime.date(2026, 12, 1), "seen": True, "change": "At most."}]}, tree) == []
    path = tree / "book/register.yml"
    first, second = load_register(path)["B1"]
    assert (first["change"], second["change"], second["commit"]) == ("First written.", "At most.", commit)
    assert path.read_text().startswith("# The head.\nB1:")


def test_a_change_that_is_not_committed_names_no_commit(tree):
    """The line and the change come together."""
    change(tree)
    assert add({"B1": [{"date": datetime.date(2026, 12, 1), "seen": True, "change": "At most."}]}, tree) == []
    assert "commit" not in load_register(tree / "book/register.yml")["B1"][-1]


def test_no_line_without_a_change_and_no_change_without_a_line(tree):
    """The register stays as it was, and what was refused is said."""
    line = [{"date": datetime.date(2026, 12, 1), "seen": True, "change": "Nothing."}]
    before = load_register(tree / "book/register.yml")
    assert add({"B1": line}, tree) == ["B1: expected a changed rule, received the one of its last line"]
    assert add({"B2": line, "X1": line}, tree) == [f"{name}: expected a claim with a rule" for name in ("B2", "X1")]
    change(tree)
    refused, lacking = add({"B1": [line[0] | {"change": ""}]}, tree)
    assert refused.startswith("B1: expected change as str")
    assert lacking == "B1: its rule is not the one of its last line"
    assert load_register(tree / "book/register.yml") == before


@pytest.mark.parametrize("given", ["--claim B1", "--claim B1 --change w", "--claim B1 --seen", "--refresh"])
def test_the_command_asks_for_all_that_a_line_needs(given, monkeypatch):
    """Claim, words, and whether numbers had been seen; a fingerprint alone cannot be renewed."""
    monkeypatch.setattr("sys.argv", ["register", *given.split()])
    with pytest.raises(SystemExit, match="2"):
        main()
