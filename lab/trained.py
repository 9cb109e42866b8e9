"""What other chapters have left: the networks of a family, in the order of their names there, and numbers."""

import json
import re
from collections.abc import Mapping
from pathlib import Path

from bea.networks.network import Network

KERAS = ".keras"  # what a file of a Keras model ends in
PLAIN = re.compile(r"[\w-][\w.-]{0,99}", re.ASCII)  # a name that stays in its folder


def names_of(results: Path, family: str, dataset: str | None = None) -> list[str]:
    """Return the names of a family's networks, in the order in which they were made.

    Raises
    ------
    FileNotFoundError
        If no chapter whose results are in the folder has made such networks, or one of their files is not there.
    ValueError
        If they were trained on other images than the ``dataset`` that a chapter is about.
    """
    families, trained_on = {}, {}
    for path in sorted(Path(results).glob("*.json")):
        content = _read(path)
        families |= content.get("networks", {})
        trained_on |= dict.fromkeys(content.get("networks", {}), content.get("dataset"))
    if family not in families:
        known = ", ".join(sorted(families)) or "none"
        raise FileNotFoundError(f"networks {family!r}: expected in {results}, which has {known}; train them first")
    if dataset and trained_on[family] not in (None, dataset):
        raise ValueError(
            f"dataset: networks {family!r} in {results} were trained on {trained_on[family]}, received {dataset!r}; "
            f"train them on {dataset} into another folder and name that as inputs"
        )
    for name in families[family]:
        if not (path := Path(results) / "networks" / f"{name}.npz").is_file():
            raise FileNotFoundError(f"networks {family!r}: expected {path}, which is not there; train them again")
    return families[family]


def results_of(results: Path, notebook: str) -> dict:
    """Return what a chapter has left in its result file.

    Raises
    ------
    FileNotFoundError
        If the folder has none of this chapter.
    """
    path = Path(results) / f"{notebook}.json"
    if not path.is_file():
        raise FileNotFoundError(f"results of {notebook!r}: expected {path.name} in {results}; run that chapter first")
    content = _read(path)
    if "cells" not in content:
        raise ValueError(f"{path}: expected the results of a chapter, found no cells")
    return content


def _read(path: Path) -> dict:
    """Return a result file; ValueError, naming it, for another file, and for networks that are not in the folder."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        parts = [content.get(part, {}) for part in ("cells", "networks")]
        names = [name for family in parts[1].values() for name in family]
        whole = all(isinstance(part, dict) for part in parts) and all(map(PLAIN.fullmatch, names))
    except (AttributeError, RecursionError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: expected the results of a chapter, found {type(error).__name__}: {error}") from None
    if not whole:
        raise ValueError(f"{path}: expected the results of a chapter, with names of networks in its folder")
    return content


def of_kind(networks: Mapping[str, Network], kind: str, first: int | None = None) -> dict[str, Network]:
    """Return the networks whose names are a kind and a seed, "scratch-64-1" and 0, the ``first`` few or all."""
    names = [name for name in networks if re.fullmatch(rf"{re.escape(kind)}-\d+", name)]
    return {name: networks[name] for name in names[:first]}


def seed_of(name: str) -> int:
    """Return the seed at the end of a network's name."""
    return int(name.rpartition("-")[2])


def longest_trained(networks: Mapping[str, Network], width: int = 64) -> str:
    """Return the kind, "scratch-64-40", of this width that was trained for most epochs."""
    epochs = {int(match[1]) for name in networks if (match := re.fullmatch(rf"scratch-{width}-(\d+)-\d+", name))}
    return f"scratch-{width}-{max(epochs)}"


def titled(networks: Mapping[str, Network], titles: Mapping[str, str]) -> dict[str, Network]:
    """Return networks under other names: title → network, for title → name."""
    return {title: networks[name] for title, name in titles.items()}
