"""Packages that open their modules only when a name of theirs is asked for (PEP 562)."""

from collections.abc import Callable
from importlib import import_module


def opening(package: str, homes: dict[str, str]) -> tuple[list[str], Callable, Callable]:
    """Return ``__all__``, ``__getattr__`` and ``__dir__`` of a package.

    Parameters
    ----------
    package : str
        Its name.
    homes : dict of str to str
        Module → the names, separated by blanks, that the package exports from it.
    """
    home = {name: module for module, names in homes.items() for name in names.split()}

    def get(name: str):
        if name not in home:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(home[name]), name)

    return sorted(home), get, lambda: sorted(home)
