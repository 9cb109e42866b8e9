"""Numbers on their way into a page: bytes stay bytes, others are in single precision, and both are read back."""

import base64

import numpy as np

from lab.page_data import as_script, as_text, read_back


def test_bytes_stay_bytes_and_other_numbers_are_single_precision():
    """As a page decodes them, one byte or four a number."""
    levels, values = np.array([0, 7, 255], dtype=np.uint8), np.array([0.1, -2.0])
    assert list(base64.b64decode(as_text(levels))) == [0, 7, 255]
    np.testing.assert_array_equal(np.frombuffer(base64.b64decode(as_text(values)), "<f4"), values.astype("<f4"))


def test_a_script_is_read_back(tmp_path):
    """What a test reads from a script is what the notebook put in, arrays still as text."""
    content = {"labels": [1, 2], "pixels": np.zeros(3, dtype=np.uint8), "name": "ε {a}"}
    path = tmp_path / "data.js"
    path.write_text(as_script("someData", content), encoding="utf-8")
    assert read_back(path, "someData") == content | {"pixels": as_text(content["pixels"])}
