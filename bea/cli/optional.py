"""Packages that only some commands need, imported when they are needed."""

from importlib import import_module
from types import ModuleType


def bring(module: str, extra: str) -> ModuleType:
    """Return a module, or raise ``ValueError`` that says which extra of ``bea`` brings what is missing."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise ValueError(f'{error.name} is needed and not installed: pip install "bea[{extra}]"') from None
