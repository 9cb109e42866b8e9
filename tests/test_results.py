"""Results, verdicts and the scorecard."""

import json
import re
from types import SimpleNamespace

import numpy as np
import pytest
import yaml

from lab import Chapter, figures
from lab.claims import (
    BY_DEFINITION,
    CONTRADICTED,
    OPEN,
    REPRODUCED,
    UNDECIDED,
    scorecard,
    shown,
    summary,
    summary_table,
)
from lab.results import Results
from lab.rules import Outcome
from lab.wording import tidied

CLAIM = {"paper": "B", "place": "§1", "statement": "s", "shown": "{p:.0%}", "judged": "j"}


@pytest.fixture
def claims(tmp_path):
    """A file with two claims, one of them about MNIST."""
    path = tmp_path / "claims.yml"
    path.write_text(yaml.safe_dump([CLAIM | {"id": "B1", "data": None}, CLAIM | {"id": "B2", "data": "mnist"}]))
    path.with_name("published.yml").write_text(yaml.safe_dump({name: {"p": 0.5} for name in ("B1", "B2")}))
    return path


def judge(results, claim, verdict=REPRODUCED):
    results.record("cell", claim, Outcome(verdict, ours="1", label="exact", because="so"))


def test_numbers_come_back_as_they_were_saved(tmp_path, claims):
    """Scalars, arrays and lists of NumPy survive the way through the file, to the last bit."""
    results = Results("some", tmp_path, claims)
    results.save("cell", a=np.float64(0.1), b=np.arange(3), c=[np.int64(2), "x"], d={"e": 1 / 3})
    content = json.loads((tmp_path / "some.json").read_text())
    assert content["cells"]["cell"] == {"a": 0.1, "b": [0, 1, 2], "c": [2, "x"], "d": {"e": 1 / 3}}


def test_another_chapter_reads_what_a_cell_has_saved(tmp_path, claims):
    """By the names of the chapter and the cell; one that has not run is named."""
    Results("some", tmp_path, claims).save("cell", a=1)
    reader = SimpleNamespace(inputs=tmp_path)
    assert Chapter.found(reader, "some", "cell") == {"a": 1}
    with pytest.raises(FileNotFoundError, match=r"results of 'other': expected other.json in .*; run that chapter"):
        Chapter.found(reader, "other", "cell")


def test_numbers_that_are_not_finite_are_refused(tmp_path, claims):
    """A NaN stops the notebook and leaves the last good file."""
    results = Results("some", tmp_path, claims)
    results.save("cell", a=1)
    with pytest.raises(ValueError, match=r"results of some: expected finite numbers"):
        results.save("cell", a=np.nan)
    assert json.loads((tmp_path / "some.json").read_text())["cells"]["cell"] == {"a": 1}


def test_claims_about_mnist_are_undecided_on_other_data(tmp_path, claims):
    """Whatever the notebook says, and only for claims that depend on the data."""
    results = Results("some", tmp_path, claims, dataset="digits")
    judge(results, "B1")
    judge(results, "B2", CONTRADICTED)
    rows = {row["id"]: row for row in scorecard(results.claims, tmp_path)}
    assert rows["B1"]["verdict"] == REPRODUCED
    assert rows["B2"]["verdict"] == UNDECIDED
    assert "digits" in rows["B2"]["because"]


def test_a_verdict_leads_to_its_row_and_has_tidy_numbers(tmp_path, claims, monkeypatch):
    """Its heading links to the claim in the scorecard; the file keeps the words as the rule said them."""
    texts = []
    monkeypatch.setattr("lab.results.display", lambda item: texts.append(item.data))
    outcome = Outcome(REPRODUCED, ours="2e-05, 100.0% to 100.0%", label="exact", because="within 3e-12")
    Results("some", tmp_path, claims).record("cell", "B1", outcome)
    assert "{ref}`B1 <claim-B1>`" in texts[0]
    assert "*Ours:* 2·10⁻⁵, 100.0% (exact)." in texts[0]
    assert "within 3·10⁻¹²" in texts[0]
    assert json.loads((tmp_path / "some.json").read_text())["claims"]["B1"]["ours"] == "2e-05, 100.0% to 100.0%"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("7.274e-08 on MNIST", "7.274·10⁻⁸ on MNIST"),
        ("91.9% (91.5% to 92.3%)", "91.9% (91.5% to 92.3%)"),
        ("91% (91% to 91%)", "91%"),
        ("5% to 5%.", "5%."),
        ("1 to 1 of 100", "1 of 100"),
        ("1 to 17", "1 to 17"),
        ("10 to 10.5", "10 to 10.5"),
        ("1·10⁻³ to 1·10⁻³²", "1·10⁻³ to 1·10⁻³²"),
        ("-5.9 (-0.1 to -3e-05), [-1]", "−5.9 (−0.1 to −3·10⁻⁵), [−1]"),
        ("1-2, 64-1-0, figure-7, 2026-11-30, 3 - 2", "1-2, 64-1-0, figure-7, 2026-11-30, 3 - 2"),
    ],
)
def test_numbers_in_a_text_are_tidied(text, expected):
    """Exponents and minus signs as on paper, a range of one number as this; a longer number at its end is another."""
    assert tidied(text) == expected


def test_claims_nobody_judged_are_not_yet_examined(tmp_path, claims):
    """The scorecard has every claim of the file, judged or not, and the summary counts them all."""
    results = Results("some", tmp_path, claims, dataset="mnist")
    judge(results, "B2")
    rows = scorecard(results.claims, tmp_path)
    assert [row["verdict"] for row in rows] == [OPEN, REPRODUCED]
    counts = summary(rows)
    assert counts[OPEN] == {"B": 1, "all": 1}
    assert counts[REPRODUCED] == {"B": 1, "all": 1}
    assert "| claims" in summary_table(rows).splitlines()[-1]


@pytest.mark.parametrize(("verdict", "stands"), [(REPRODUCED, BY_DEFINITION), (CONTRADICTED, CONTRADICTED)])
def test_what_holds_by_definition_is_counted_apart(tmp_path, claims, verdict, stands):
    """In the scorecard and in its counts; the mark saves no claim that fails."""
    entries = yaml.safe_load(claims.read_text())
    entries[0]["by_definition"] = True
    claims.write_text(yaml.safe_dump(entries))
    results = Results("some", tmp_path, claims, dataset="mnist")
    judge(results, "B1", verdict)
    judge(results, "B2")
    rows = scorecard(results.claims, tmp_path)
    assert [row["standing"] for row in rows] == [stands, REPRODUCED]
    assert summary(rows)[stands]["all"] == 1
    assert json.loads((tmp_path / "some.json").read_text())["claims"]["B1"]["verdict"] == verdict


def test_two_verdicts_on_one_claim_are_an_error(tmp_path, claims):
    """The message names the claim and both notebooks."""
    for name in ("one", "two"):
        judge(Results(name, tmp_path, claims), "B1")
    with pytest.raises(ValueError, match=r"B1: .* from one and two"):
        scorecard({"B1": CLAIM | {"id": "B1"}}, tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"claim": "B99"}, "claim: .* received 'B99'"),
        ({"verdict": "true"}, "verdict: .* received 'true'"),
        ({"verdict": OPEN}, "verdict: .* received 'not yet examined'"),
        ({"label": "sure"}, "label: .* received 'sure'"),
    ],
)
def test_a_verdict_needs_known_words(tmp_path, claims, change, message):
    """Unknown claims, verdicts and labels are refused."""
    words = {"verdict": REPRODUCED, "ours": "1", "label": "exact", "because": "so"} | change
    claim = words.pop("claim", "B1")
    with pytest.raises(ValueError, match=message):
        Results("some", tmp_path, claims).record("c", claim, Outcome(**words))


def test_published_numbers_fill_their_template():
    """The text in the scorecard is made from the numbers, which are typed once."""
    assert shown(CLAIM | {"published": {"p": 0.5}}) == "50%"


def test_a_caption_and_an_alternative_text_say_different_things(tmp_path, claims, monkeypatch):
    """The caption stands below the figure, the alternative text in it and in the file; one serves for both if alone."""
    page = []
    monkeypatch.setattr("lab.results.display", lambda shown: page.append(shown.data))
    results, (figure, _) = Results("some", tmp_path, claims), figures.new_figure(3, 2)
    results.figure("a", figure, "Two lines.", caption="They cross.")
    results.figure("b", figure, "Two lines.")
    assert [re.search("<figcaption>(.*)</figcaption>", text)[1] for text in page] == ["They cross.", "Two lines."]
    assert all('aria-label="Two lines."' in text for text in page)
    assert "They cross." not in (tmp_path / "figures" / "some-a.svg").read_text()


def test_figures_are_reproducible_and_follow_the_theme(tmp_path, claims):
    """The same figure gives the same bytes; ink is drawn in the colour of the text; the alternative text is there."""

    def draw():
        figure, ((ax,),) = figures.new_figure(4, 3)
        ax.plot([1, 2], [3, 4], label="line")
        ax.set(xlabel="x", ylabel="y")
        ax.legend()
        return figures.to_svg(figure, "name", 'what "it" shows')

    svg = draw()
    assert svg == draw()
    assert figures.INK not in svg
    assert "currentColor" in svg
    assert 'aria-label="what &quot;it&quot; shows"' in svg
    assert 'id="name-figure_1"' in svg


def test_eight_names_share_neither_colour_nor_mark_and_many_no_pair_of_them():
    """As the formats of a chapter; a name looks the same whatever comes after it."""
    found = figures.looks(range(40))
    first = [found[k] for k in range(8)]
    assert len({look["color"] for look in first}) == len({look["marker"] for look in first}) == 8
    assert len({tuple(look.values()) for look in found.values()}) == 40
    assert list(figures.looks(range(8)).values()) == first


def test_a_figure_of_rows_has_them_from_above_and_true_minus_signs():
    """Each with its label, its marks and its bar; a hyphen before a number is no minus in any text of a figure."""
    figure = figures.rows_of(
        ["a", "b at -2"], {"x": [1, 2], "y": [3, 4]}, ([1, 1], [3, 5]), at=-1, xlabel="shift (-1 m)"
    )
    svg = figures.to_svg(figure, "name", "from -5 on")
    (ax,) = figure.axes
    assert [text.get_text() for text in ax.get_yticklabels()] == ["a", "b at −2"]
    assert ax.yaxis_inverted()
    assert [line.get_xdata().tolist() for line in ax.lines[:2]] == [[1, 2], [3, 4]]
    assert len(ax.collections[0].get_segments()) == 2
    assert "shift (−1 m)" in svg
    assert 'aria-label="from −5 on"' in svg


def test_an_image_that_a_figure_shows_twice_has_no_id_twice():
    """Matplotlib names images by their content."""
    figure, axes = figures.new_figure(4, 2, 1, 2)
    for ax in axes.flat:
        figures.show_image(ax, np.eye(3), "a title")
    ids = re.findall(r'\bid="([^"]*)"', figures.to_svg(figure, "name", "what it shows"))
    assert "name-figure_1" in ids
    assert len(ids) == len(set(ids))


def test_a_figure_is_never_narrower_than_its_letters_can_be_read():
    """Its least width keeps the smallest at nine pixels; exponents do not count, a figure without any is free."""
    figure, ((ax,),) = figures.new_figure(4, 2)
    ax.set_axis_off()
    assert "min-width" not in figures.to_svg(figure, "name", "nothing")
    ax.set_title("$10^{-3}$", fontsize=12)
    ax.text(0.5, 0.5, "small", fontsize=8)
    least = float(re.search(r"min-width: ([\d.]+)px", figures.to_svg(figure, "name", "letters")).group(1))
    assert figures.LEGIBLE <= least * 8 / (4 * 72) < figures.LEGIBLE + 0.05
