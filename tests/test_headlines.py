"""What the book says in its headlines holds in the smoke book too: the numbers behind the verdicts."""

import json

import pytest

from lab.claims import LABELS, OPEN, VERDICTS

JUDGING = (
    "11_train_one_layer",
    "10_linear_systems",
    "12_one_layer",
    "13_deep_closed_form",
    "15_table_2",
    "16_pictures_against_fgsm",
)
JUDGING += (
    "20_train_by_hand",
    "21_first_hundred_images",
    "22_smallest_epsilon",
    "23_law_of_epsilon",
    "24_confidence_along_the_ray",
    "26_what_makes_sturdier",
)
JUDGING += (
    "30_gradient_and_hessian",
    "31_shallow_models",
    "32_attacks_side_by_side",
    "33_transfer",
    "34_hidden_gradient",
)
JUDGING += (
    "40_train_lenet",
    "41_four_theorems",
    "42_bounds_as_published",
    "43_bounds_against_attacks",
    "45_robustness_and_accuracy",
)


@pytest.fixture(scope="module")
def read(smoke):
    """A function that reads the result file of a notebook."""
    return lambda notebook: json.loads((smoke / "results" / f"{notebook}.json").read_text())


def test_no_chapter_shows_warnings(smoke):
    """They would stand between text and figures, and name folders of the machine that made the book."""
    told = []
    for path in sorted((smoke / "results").glob("*.ipynb")):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            told += [(path.stem, cell["id"]) for each in cell.get("outputs", []) if each.get("name") == "stderr"]
    assert told == []


def test_all_attacks_of_table_1_succeed_in_keras(read):
    """Four digits, nine targets, on every network; a witness counts only in the original model."""
    table = read("12_one_layer")["cells"]["table-1"]
    networks = len(read("11_train_one_layer")["provenance"]["parameters"]["seeds"])
    assert table["succeed"] == table["attempts"] == 36 * networks
    assert table["kkt"] <= 1e-12


def test_no_optimiser_finds_a_smaller_perturbation(read):
    """Neither than Table 1's norms, nor than the backward error of a linear system, by more than 1e-8."""
    assert read("12_one_layer")["cells"]["optimiser"]["gain"] <= 1e-8
    assert read("10_linear_systems")["cells"]["optimiser"]["gain"] <= 1e-8


def test_the_optimisers_are_no_straw_men(read):
    """They come within a millionth of our value, so they would have found something smaller."""
    assert read("12_one_layer")["cells"]["optimiser"]["loss"] <= 1e-6
    assert read("10_linear_systems")["cells"]["optimiser"]["loss"] <= 1e-6


def test_the_closed_form_agrees_with_the_pseudo_inverse(read):
    """To 1e-10 relative on 100 layers, for weights, input and both."""
    differences = read("12_one_layer")["cells"]["pseudo-inverse"]
    assert set(differences) == {"weights", "input", "both"}
    assert max(differences.values()) <= 1e-10


def test_the_whole_test_set_can_be_attacked(read):
    """Every correctly classified image, nine targets each, without a failure."""
    cell = read("12_one_layer")["cells"]["distribution"]
    assert cell["success"] == cell["attacks"] > 1000


def test_single_precision_stays_below_the_margin(read):
    """What Keras and bea disagree by is small against the lead that an attack gives its target."""
    margin = read("12_one_layer")["provenance"]["parameters"]["margin"]
    assert read("11_train_one_layer")["cells"]["files"]["difference"] < 0.1 * margin


@pytest.mark.parametrize("notebook", JUDGING)
def test_verdicts_are_complete(read, notebook):
    """Each has one of the known verdicts and labels, our number and a reason."""
    claims = read(notebook)["claims"]
    assert claims
    for entry in claims.values():
        assert entry["verdict"] in set(VERDICTS) - {OPEN}
        assert entry["label"] in {*LABELS, None}
        assert entry["ours"]
        assert entry["because"]


def test_mathematical_claims_get_the_same_verdict_with_any_parameters(read):
    """They depend on no training run, so small parameters decide them as well."""
    verdicts = {
        claim: entry["verdict"]
        for name in (
            "10_linear_systems",
            "12_one_layer",
            "13_deep_closed_form",
            "20_train_by_hand",
            "21_first_hundred_images",
        )
        for claim, entry in read(name)["claims"].items()
    }
    expected = dict.fromkeys(("B1", "B2", "B3", "B10", "B22", "D2", "D18"), "reproduced")
    corrected = dict.fromkeys(("B4", "B5", "B6", "B7", "B8", "B9", "D3"), "reproduced with a correction")
    assert {claim: verdicts[claim] for claim in expected | corrected} == expected | corrected


def test_every_converged_attack_of_table_2_succeeds(read):
    """On all networks, both forms; norms on the outputs run away with saturation, the logits' do not."""
    cell = read("15_table_2")["cells"]["saturation"]
    assert cell["converged"] == cell["converged_outputs"] == cell["attempts"] > 0
    assert cell["logits"]["most"] < cell["outputs"]["most"]
    assert cell["logits"]["highest"] < 0.05 < 1 < cell["outputs"]["highest"]
    assert max(cell["logits"]["kkt"], cell["outputs"]["kkt"]) <= 1e-10


def test_the_closed_form_predicts_what_saturation_costs(read):
    """½ sinh 2t exactly for two outputs, and on trained networks from the logits alone."""
    cells = read("15_table_2")["cells"]
    assert cells["two-outputs"]["error"] <= 1e-9
    assert cells["ratio-figure"]["together"] >= 0.9


def test_the_neglected_part_grows_with_the_square_of_the_perturbation(read):
    """The slope in the double logarithmic plot is two."""
    assert abs(read("15_table_2")["cells"]["growth"]["slope"] - 2.0) <= 0.1


def test_gradients_derived_by_hand_are_those_of_keras(read):
    """Weights, biases and images, in double precision; 1e-7 was asked for."""
    assert read("20_train_by_hand")["cells"]["gradients-check"]["keras"] <= 1e-14


def test_the_smallest_epsilon_is_proved_and_three_methods_agree(read):
    """Bisection within the tolerance, the scan within its step, for every image."""
    cells = read("22_smallest_epsilon")["cells"]
    assert cells["methods"]["proved"] == cells["every-seed"]["proved"] == 1.0
    assert cells["methods"]["bisection"] <= cells["methods"]["tolerance"]
    assert cells["methods"]["scan"] <= cells["methods"]["step"]
    assert cells["every-seed"]["apart"] == 0


def test_every_change_of_class_along_a_ray_is_proved(read):
    """No segment is left open, and what returns to its class does so in Keras."""
    cells = read("22_smallest_epsilon")["cells"]
    assert cells["interval"]["unresolved"] == 0
    assert cells["keras"]["confirmed"] == cells["keras"]["asked"]


def test_no_step_along_the_sign_is_shorter_than_the_converged_attack(read):
    """The step is one of the changes that the attack minimises over; its witnesses hold in Keras."""
    cells = read("25_ray_or_all_directions")["cells"]
    assert cells["table"]["below"] == 0
    assert cells["keras"]["agree"] == cells["keras"]["asked"] > 0


def test_every_success_of_the_surveyed_attacks_holds_in_keras(read):
    """Side by side, but for leads lost to single precision; by Newton's method, behind a quantiser, elsewhere."""
    cells = read("32_attacks_side_by_side")["cells"]
    assert cells["verified"]["confirmed"] >= 0.999 * cells["verified"]["successes"] > 0
    assert cells["fixed"]["agree"] == cells["fixed"]["asked"] > 0
    for notebook, cell, agree, asked in (
        ("30_gradient_and_hessian", "keras", "agree", "asked"),
        ("34_hidden_gradient", "keras", "agree", "asked"),
        ("33_transfer", "verified", "confirmed", "claimed"),
    ):
        numbers = read(notebook)["cells"][cell]
        assert numbers[agree] == numbers[asked] > 0


def test_attacks_with_a_range_keep_to_it(read):
    """To the last bit, every batch."""
    verified = read("32_attacks_side_by_side")["cells"]["verified"]
    assert verified["kept"] == verified["ranged"] > 0


def test_the_surveyed_attacks_all_but_always_succeed(read):
    """Except one step along the sign, which has a target to overshoot."""
    tables = read("32_attacks_side_by_side")["cells"]["tables"]
    for network in tables.values():
        for attack, numbers in network.items():
            assert attack == "fgsm" or numbers["success"] >= 0.95, attack


def test_no_solver_is_shorter_than_the_backward_error_attack_in_the_median(read):
    """The same images, targets and range; and greedy is never below the proved number of pixels."""
    cells = read("32_attacks_side_by_side")["cells"]
    for network in cells["tables"].values():
        assert network["be"]["l2"] <= 1.001 * min(network["cw"]["l2"], network["lbfgs"]["l2"])
    assert cells["subset"]["proved"] == cells["subset"]["images"]
    assert cells["subset"]["greedy"] >= cells["subset"]["best"]


def test_the_sign_step_is_the_worst_of_its_box_for_two_classes(read):
    """A linear programme and random points of the box find nothing worse."""
    assert abs(read("31_shallow_models")["cells"]["harm"]["programme"]) <= 1e-12
    assert read("31_shallow_models")["cells"]["harm"]["better"] == 0
    assert read("32_attacks_side_by_side")["cells"]["linear"]["excess"] <= 1e-12


def test_what_is_not_on_this_page_is_not_decided(read):
    """ImageNet is outside the book."""
    assert read("32_attacks_side_by_side")["claims"]["R10"]["verdict"] == "cannot be decided"


def test_no_proven_bound_lies_above_an_attack(read):
    """Every network and image, one constant a layer and tight; every attack succeeds and holds in Keras."""
    cells = read("43_bounds_against_attacks")["cells"]
    assert cells["violations"]["lipschitz"] == cells["violations"]["local"] == 0
    assert cells["measure"]["failed"] == 0
    assert cells["keras"]["unresolved"] == 0


def test_the_printed_theorem_on_convolutions_is_violated_and_the_safe_factor_is_not(read):
    """By three pixels on a line, and by kernels that overlap; what replaces the theorems is never violated."""
    cells = read("41_four_theorems")["cells"]
    assert cells["line"]["line"]["changes"]
    assert cells["line"]["line"]["length"] < cells["line"]["line"]["theorem"]
    assert cells["kernels"]["apart_violated"] == 0
    assert cells["smooth-table"]["violations"] == cells["pooling"]["violations"] == 0
    assert cells["relu"]["safe"] <= 1.0
    assert cells["softmax"]["attained"] == cells["softmax"]["layers"]


def test_nothing_found_goes_below_the_chain_of_bounds(read):
    """FGSM and converged attacks on whole LeNets, attacks on single layers; the printed limit and its formula agree."""
    cells = read("42_bounds_as_published")["cells"]
    assert cells["violations"]["printed"] == cells["violations"]["repaired"] == 0
    assert cells["violations"]["found"] == cells["violations"]["attacked"]
    assert cells["layer-by-layer"]["printed"] == cells["layer-by-layer"]["repaired"] == 0
    assert cells["curvature"]["difference"] <= 1e-12


def test_robustness_is_enclosed_on_every_network(read):
    """No bound above an attack, with depth, width, length and along both paths of regularisation."""
    cells = read("45_robustness_and_accuracy")["cells"]
    names = ("breadth-figure", "depth-figure", "rise", "tight-table")
    assert [cells[name]["crossed"] for name in names] == [0] * len(names)


def test_newtons_step_is_enclosed_without_contradiction(read):
    """The attack is between the ends, the tight bound below the upper one, and every guaranteed change an attack."""
    cells = read("46_kantorovich")["cells"]["contradictions"]
    counts = [cells[f"{form}_{kind}"] for form in ("ball", "ray") for kind in ("outside", "against", "kept")]
    assert counts == [0] * 6
    assert 0 < cells["ball_decided"] < cells["ray_decided"] <= cells["images"]
