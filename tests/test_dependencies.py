"""`workflow.dependencies`: what a chapter needs is what its code says, and code that hides it is refused."""

import pytest

from lab.parameters import ROOT
from workflow.dependencies import all_needs
from workflow.small_book import CLAIMS, write_notebook

OPEN = "from lab import Chapter\n\nchapter = Chapter('name', globals())"
TRAINS = {"parameters": "output = ''", "setup": OPEN, "train": "chapter.keep('toy', nets, models)"}
READS = {
    "parameters": "dataset = 'mnist'\noutput = ''",
    "setup": f"from studies import ray_or_all_directions as bridge\n{OPEN}",
    "load": "nets = chapter.networks('toy', first=2)",
    "judge": "chapter.judge('judge', 'B1', rule, nets)",
}


@pytest.fixture
def tree(tmp_path):
    """A tree with two chapters, the second of which reads what the first trains."""
    (tmp_path / "book").mkdir()
    (tmp_path / "book" / "claims.yml").write_text(CLAIMS)
    (tmp_path / "book" / "published.yml").write_text("B1: {norm: 3}\n")
    for name in ("bea", "lab", "studies"):
        (tmp_path / name).symlink_to(ROOT / name)
    write_notebook(tmp_path / "notebooks" / "trains.ipynb", TRAINS)
    write_notebook(tmp_path / "notebooks" / "reads.ipynb", READS)
    return tmp_path


def edited(tree, **cells):
    """What the second chapter needs with other cells."""
    write_notebook(tree / "notebooks" / "reads.ipynb", READS | cells)
    return all_needs(tree)["reads"]


def test_a_chapter_waits_for_those_that_train_its_networks(tree):
    """For the dataset where it has one; and it depends on modules behind modules."""
    needs = all_needs(tree)
    assert needs["reads"].chapters == ("trains",)
    assert needs["reads"].dataset
    assert needs["trains"].chapters == ()
    assert not needs["trains"].dataset
    assert {"studies/ray_or_all_directions.py", "bea/backward/search.py"} <= set(needs["reads"].files)
    assert "bea/backward/search.py" not in needs["trains"].files
    assert needs["trains"].claims == ""


def test_numbers_that_are_stored_in_a_package_count(tree):
    """Tables, and what is said about them."""
    needs = edited(tree, load="from lab import peers")
    assert {"lab/peers/about.json", "lab/peers/range.csv"} <= set(needs.files)
    assert not [file for file in all_needs(tree)["trains"].files if "peers" in file]


def test_one_that_loads_nothing_waits_for_nothing(tree):
    """Whatever its text says."""
    assert edited(tree, load="'chapter.networks(tanh)'").chapters == ()


def test_a_chapter_waits_for_those_whose_numbers_it_reads(tree):
    """And for the claims whose thresholds it applies."""
    write_notebook(tree / "notebooks" / "other.ipynb", {"parameters": "output = ''", "setup": OPEN})
    needs = edited(tree, load="chapter.found('other', 'cell')")
    assert needs.chapters == ("other",)
    assert edited(tree, judge="chapter.threshold('B1', 'least')").claims == needs.claims


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("chapter.found(name, 'cell')", "chapter.found: expected the name of a chapter as literal text, .*name"),
        ("chapter.found('other', 'cell')", "reads, cell 'load': expected another chapter .*, received 'other'"),
        ("chapter.found('reads', 'cell')", "expected another chapter to read from, received 'reads'"),
        (
            "chapter.networks(family)",
            "reads, cell 'load': chapter.networks: expected families as literal text, .*family",
        ),
        ("chapter.networks(*names)", "cell 'load': chapter.networks: expected families as literal text"),
        ("chapter.networks()", "cell 'load': chapter.networks: expected families as literal text, received nothing"),
        ("chapter.networks('yot')", "reads, cell 'load': no chapter keeps networks 'yot', there are .*toy"),
        (
            "chapter.judge('load', claim, rule)",
            "cell 'load': chapter.judge: expected the id of a claim as literal text",
        ),
        ("chapter.judge('load', 'B9', rule)", "reads: expected a claim of book/claims.yml, received 'B9'"),
        ("load = chapter.networks", "cell 'load': expected a call of chapter.networks, received it as a value"),
        ("everything(chapter)", "cell 'load': chapter is handed on, which hides what the chapter needs"),
        ("open(chapter.inputs / 'trains.json')", "cell 'load': chapter.inputs hides what is read"),
        ("if x", "reads, cell 'load': expected Python"),
        ("chapter.keep('toy', nets)", "networks 'toy': expected one chapter to keep them, reads and trains do"),
    ],
)
def test_what_hides_a_need_is_refused(tree, cell, message):
    """With the name of the cell."""
    with pytest.raises(ValueError, match=message):
        edited(tree, load=cell)


@pytest.mark.parametrize(
    ("old", "new", "counts"),
    [
        ("Weights have a norm.", "Weights are long.", False),  # the statement
        ("chapter: first", "chapter: second", False),
        ("least: 1.0", "least: 2.0", True),  # a threshold
        ("data: null", "data: mnist", True),
        ('place: "§1"', 'place: "§3"', True),
        ("least: 0.5", "least: 0.7", False),  # of another claim
    ],
)
def test_of_a_claim_counts_what_the_chapter_shows_and_applies(tree, old, new, counts):
    """A statement worded anew re-runs no chapter."""
    before = all_needs(tree)["reads"].claims
    path = tree / "book" / "claims.yml"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    assert (all_needs(tree)["reads"].claims != before) == counts


def test_published_numbers_count(tree):
    """Those of the claims that the chapter judges or quotes."""
    before = edited(tree).claims
    (tree / "book" / "published.yml").write_text("B1: {norm: 4}\n")
    assert edited(tree).claims != before
    assert edited(tree, judge="").claims == ""
    assert edited(tree, judge="chapter.published('B1')").claims == edited(tree).claims


def test_the_chapters_of_the_book_wait_for_the_training_they_read():
    """And for no other: one that needs no network for none, and no training for another."""
    needs = all_needs(ROOT)
    assert needs["10_linear_systems"].chapters == ()
    assert not needs["10_linear_systems"].dataset
    assert set(needs["25_ray_or_all_directions"].chapters) == {"20_train_by_hand", "14_train_deeper"}
    assert set(needs["42_bounds_as_published"].chapters) == {"14_train_deeper", "40_train_lenet"}
    for name in ("11_train_one_layer", "14_train_deeper", "20_train_by_hand", "40_train_lenet"):
        assert needs[name].chapters == ()
        assert needs[name].dataset
