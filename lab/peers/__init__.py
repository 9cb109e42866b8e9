"""What the last ``make benchmarks`` has found, from the tables beside this module, which ``benchmarks`` writes."""

import hashlib
import json
from pathlib import Path

import pandas as pd

from bea.networks.network import Network

FOLDER = Path(__file__).parent
KEYS = ("net", "image", "label", "target", "proved", "weights")  # columns of a table of lengths that are no attack


def stored(table: str) -> pd.DataFrame:
    """Return a table: lengths of a problem ("range", "targets", "free"), "runs", sizes of "weights", or "seeds"."""
    return pd.read_csv(FOLDER / f"{table}.csv")


def about(tables: str = "about") -> dict:
    """Return date, processor, cores, versions, and digests of the networks; of the "seeds" the date alone."""
    return json.loads((FOLDER / f"{tables}.json").read_text(encoding="utf-8"))


def attacks_of(lengths: pd.DataFrame) -> list[str]:
    """Return the columns of a table that are attacks."""
    return [name for name in lengths if name not in KEYS]


def digest(net: Network) -> str:
    """Return a digest of the weights of a network, by which the tables know it."""
    return hashlib.sha256(b"".join(layer.matrix.tobytes() for layer in net.weighted)).hexdigest()[:16]
