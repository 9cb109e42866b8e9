"""Numbers for scripts in pages: JSON, with long arrays as base64 of little-endian float32."""

import base64
import json
from collections.abc import Mapping

import numpy as np


def as_text(array) -> str:
    """Return the numbers of an array, in single precision, as base64."""
    return base64.b64encode(np.ascontiguousarray(array, dtype="<f4").tobytes()).decode("ascii")


def as_script(variable: str, content: Mapping) -> str:
    """Return a script that gives explorables ``<variable>``: the content, its arrays turned into text."""
    data = json.dumps({variable: content}, default=as_text, ensure_ascii=False)
    return f"window.explorables = Object.assign(window.explorables || {{}}, {data});\n"
