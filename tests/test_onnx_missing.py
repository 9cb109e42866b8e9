"""Without the package onnx there is one clear error."""

import sys

import pytest

from bea import Network


def test_a_missing_package_is_named(monkeypatch):
    """With what installs it."""
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r"from_onnx needs the package onnx, .*pip install 'bea\[onnx\]'"):
        Network.from_onnx("model.onnx")
