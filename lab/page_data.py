"""Numbers for scripts in pages: JSON, with long arrays as base64 of little-endian float32, or of bytes."""

import base64
import json
from collections.abc import Mapping

import numpy as np


def as_text(array) -> str:
    """Return the numbers of an array as base64: bytes as they are, others in single precision."""
    kind = "u1" if np.asarray(array).dtype == np.uint8 else "<f4"
    return base64.b64encode(np.ascontiguousarray(array, dtype=kind).tobytes()).decode("ascii")


def _plain(value):
    if isinstance(value, np.ndarray):
        return as_text(value)
    raise TypeError(f"script: expected numbers, text, arrays, lists and mappings, received {type(value).__name__}")


def read_back(path, variable: str) -> dict:
    """Return the content that ``as_script`` put into a script, arrays still as text."""
    text = path.read_text(encoding="utf-8")
    return json.loads(text[text.index("{", text.index("|| {}") + 5) : text.rindex(")")])[variable]


def as_script(variable: str, content: Mapping) -> str:
    """Return a script that gives explorables ``<variable>``: the content, its arrays turned into text."""
    data = json.dumps({variable: content}, default=_plain, ensure_ascii=False)
    return f"window.explorables = Object.assign(window.explorables || {{}}, {data});\n"
