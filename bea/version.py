"""The version of the installed package, whose home is ``pyproject.toml``."""

from importlib.metadata import version

__version__ = version("bea")
