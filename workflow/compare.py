"""Compare two books: every number, verdict and published value that both have, and what only one of them has.

``python -m workflow.compare BEFORE AFTER [CHAPTER ...]`` takes two folders of results. A chapter with another name now
is found under its old one by ``RENAMED``. It exits with 1 if a number moved by more than 1e-9 of itself.
"""

import argparse
import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path

TOLERANCE = 1e-9  # relative
RENAMED = {  # new name of a chapter → old one
    "10_linear_systems": "primer",
    "11_train_one_layer": "training",
    "12_one_layer": "one_layer",
    "13_deep_closed_form": "backward_error",
    "14_train_deeper": "deep_training",
    "15_table_2": "tables",
    "16_pictures_against_fgsm": "pictures",
    "17_weights_or_input": "beyond",
    "18_data_of_the_attacker": "attacker",
    "20_train_by_hand": "scratch",
    "21_first_hundred_images": "hundred",
    "22_smallest_epsilon": "epsilon",
    "23_law_of_epsilon": "distribution",
    "24_confidence_along_the_ray": "ray",
    "25_ray_or_all_directions": "bridge",
    "26_what_makes_sturdier": "sturdier",
    "30_gradient_and_hessian": "derivatives",
    "31_shallow_models": "logistic",
    "32_attacks_side_by_side": "attacks",
    "33_transfer": "transfer",
    "34_hidden_gradient": "hidden",
    "40_train_lenet": "lenet",
    "41_four_theorems": "audit",
    "42_bounds_as_published": "lower_bounds",
    "43_bounds_against_attacks": "sandwich",
    "44_inside_the_ball": "ball",
    "45_robustness_and_accuracy": "robustness",
}


def differences(before, after, place: str = "") -> Iterator[str]:
    """Yield a line for every value of ``before`` that ``after`` lacks or has otherwise."""
    if isinstance(before, dict):
        for key, value in before.items():
            here = f"{place}.{key}" if place else key
            if not isinstance(after, dict) or key not in after:
                yield f"{here}: gone, was {_short(value)}"
            else:
                yield from differences(value, after[key], here)
    elif isinstance(before, list):
        if not isinstance(after, list) or len(after) != len(before):
            yield f"{place}: {_short(before)} became {_short(after)}"
        else:
            for number, pair in enumerate(zip(before, after, strict=True)):
                yield from differences(*pair, f"{place}.{number}")
    elif _is_number(before) and _is_number(after):
        if not math.isclose(before, after, rel_tol=TOLERANCE, abs_tol=0.0):
            yield f"{place}: {before!r} became {after!r}"
    elif before != after:
        yield f"{place}: {_short(before)} became {_short(after)}"


def compare(before: Path, after: Path, chapters=()) -> dict[str, list[str]]:
    """Return chapter → what differs, for all chapters of ``after`` or these."""
    found = {}
    for path in sorted(after.glob("*.json")):
        if path.stem == "dataset" or (chapters and path.stem not in chapters):
            continue
        old = before / f"{RENAMED.get(path.stem, path.stem)}.json"
        if not old.is_file():
            found[path.stem] = [f"new: {old} is not there"]
            continue
        one, other = (json.loads(file.read_text(encoding="utf-8")) for file in (old, path))
        found[path.stem] = [
            line
            for part in ("cells", "claims", "dataset")
            for line in differences(one.get(part), other.get(part), part)
        ]
    return found


def _is_number(value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _short(value) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 160 else f"{text[:160]} …"


def main() -> None:
    """Print what differs, chapter by chapter."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("chapters", nargs="*")
    arguments = parser.parse_args()
    found = compare(arguments.before, arguments.after, arguments.chapters)
    for chapter, lines in found.items():
        print(f"{chapter}: {len(lines)} differences", *lines, sep="\n  ")
    sys.exit(any(found.values()))


if __name__ == "__main__":
    main()
