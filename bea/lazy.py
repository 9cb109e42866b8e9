"""What is imported only when it is asked for: names of our packages (PEP 562), and packages that few uses need."""

from collections.abc import Callable
from importlib import import_module
from types import ModuleType


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


def optional(module: str, extra: str) -> ModuleType:
    """Return a module of another package that few uses need, imported now.

    Parameters
    ----------
    module : str
        Its name, as "matplotlib.pyplot".
    extra : str
        The extra of ``bea`` that brings the package.

    Raises
    ------
    ImportError
        If the package is not installed, naming the extra.
    """
    package = module.partition(".")[0]
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name != package:  # it is there, and something that it needs itself is not
            raise
        message = f"{package}: expected to be installed, found none; pip install 'bea[{extra}]' brings it"
        raise ImportError(message, name=package) from error
