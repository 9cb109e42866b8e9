"""Where trained networks are: the chapter that made a family of them has recorded their names, in order."""

import json
from pathlib import Path

KERAS = ".keras"  # what a file of a Keras model ends in


def names_of(results: Path, family: str) -> list[str]:
    """Return the names of a family's networks, in the order in which they were made.

    Raises
    ------
    FileNotFoundError
        If no chapter whose results are in the folder has made such networks.
    """
    families = {}
    for path in sorted(Path(results).glob("*.json")):
        families |= json.loads(path.read_text(encoding="utf-8")).get("networks", {})
    if family not in families:
        known = ", ".join(sorted(families)) or "none"
        raise FileNotFoundError(f"networks {family!r}: expected in {results}, which has {known}; train them first")
    return families[family]
