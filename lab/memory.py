"""Studies are remembered by what they were computed from, so that nothing runs twice and a killed run resumes.

The key of a result covers the study's name, its arguments (of a path, the contents of the file), the sources of all
modules of ours that it and the classes of its arguments reach, and the versions of the packages that compute. Where a
source has changed since the process has started, the code that runs may be another than the one on disk: then nothing
is remembered. Results are kept as arrays and JSON, never as pickles, and are moved into place whole.
"""

import hashlib
import importlib
import importlib.metadata
import json
import os
import time
import zipfile
from dataclasses import fields, is_dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from bea.files import replacing
from lab.sources import ROOT, digest_of, sources_of

STARTED = time.time()
PACKAGES = ("numpy", "scipy", "scikit-learn", "keras", "jax")


def folder() -> Path:
    """Return where results are kept: the folder ``BEA_REMEMBERED``, or one in ``_build``."""
    return Path(os.environ.get("BEA_REMEMBERED") or ROOT / "_build" / "remembered")


def remember(study, *arguments, **options):
    """Return ``study(*arguments, **options)``, from disk if the very same was computed before.

    Parameters
    ----------
    study : function
        Of a module, without side effects. Returns numbers, text, arrays, data frames, frozen dataclasses of ours, and
        lists, tuples and dictionaries of these.
    *arguments, **options
        Of the same kinds; a ``Path`` stands for the contents of its file, a function for the sources it reaches.

    Raises
    ------
    TypeError
        For an argument or a result of another kind.
    """
    key, code = _key_and_code(study, arguments, options)
    if any(path.stat().st_mtime > STARTED for one in code for path in sources_of(one)):
        return study(*arguments, **options)
    path = folder() / study.__module__.rpartition(".")[2] / f"{study.__name__}-{key}.npz"
    if path.is_file():
        return _read(path)
    result = study(*arguments, **options)
    _write(path, result)
    return result


def key_of(study, arguments: tuple, options: dict) -> str:
    """Return the key under which a result is kept."""
    return _key_and_code(study, arguments, options)[0]


def _key_and_code(study, arguments, options) -> tuple[str, set]:
    """Return the key, and the functions and classes whose code the result is made of."""
    versions = [f"{name} {importlib.metadata.version(name)}" for name in PACKAGES]
    digest, code = hashlib.sha256(), {study}
    _add(digest, [study.__module__, study.__qualname__, versions, list(arguments), options], code)
    digest.update("".join(sorted(digest_of(one) for one in code)).encode())
    return digest.hexdigest()[:32], code


def _add(digest, value, code: set) -> None:
    """Put a value into a digest, its kind and its bounds with it, so that no two values look the same.

    Functions, and classes of dataclasses, are put into ``code``: a study may call them without importing them.
    """
    kind = type(value).__name__
    match value:
        case None | bool() | int() | float() | complex() | str():
            digest.update(f"{kind} {value!r};".encode())
        case np.ndarray() if value.dtype != object:
            digest.update(f"array {value.dtype.str} {value.shape};".encode())
            digest.update(np.ascontiguousarray(value).data)
        case np.generic():
            _add(digest, np.asarray(value), code)
        case Path():
            digest.update(f"file {contents_of(value)};".encode())
        case list() | tuple():
            digest.update(f"{kind} {len(value)};".encode())
            for item in value:
                _add(digest, item, code)
        case dict():
            _add(digest, [kind, *(list(pair) for pair in value.items())], code)
        case pd.DataFrame():
            _add(digest, ["frame", *([str(name), _plain(column)] for name, column in value.items())], code)
        case _ if is_dataclass(value) and not isinstance(value, type):
            code.add(type(value))
            _add(digest, [kind, *([field.name, getattr(value, field.name)] for field in fields(value))], code)
        case _ if callable(value) and hasattr(value, "__qualname__"):
            code.add(value)
            _add(digest, ["function", value.__module__, value.__qualname__], code)
        case _:
            raise TypeError(f"remember: expected numbers, text, arrays, frames and dataclasses, received {kind}")


def contents_of(path: Path) -> str:
    """Return a hash of a file; of a Keras model without the date on which it was saved."""
    if path.suffix != ".keras":
        return hashlib.sha256(path.read_bytes()).hexdigest()
    with zipfile.ZipFile(path) as model:
        names = sorted(set(model.namelist()) - {"metadata.json"})
        return " ".join(f"{name} {hashlib.sha256(model.read(name)).hexdigest()}" for name in names)


def _write(path: Path, result) -> None:
    arrays = []
    tree = _pack(result, arrays)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as partial, open(partial, "wb") as file:
        np.savez(file, tree=np.array(json.dumps(tree)), **{f"a{i}": array for i, array in enumerate(arrays)})


def _read(path: Path):
    with np.load(path, allow_pickle=False) as file:
        return _unpack(json.loads(str(file["tree"])), file)


def _pack(value, arrays: list):
    """Return a value as JSON, with its arrays put aside."""
    match value:
        case np.generic():
            return {"scalar": _pack(np.asarray(value), arrays)}
        case None | bool() | int() | str():
            return value
        case float():
            return {"float": repr(value)}
        case np.ndarray() if value.dtype != object:
            arrays.append(value)
            return {"array": len(arrays) - 1}
        case list():
            return [_pack(item, arrays) for item in value]
        case tuple():
            return {"tuple": [_pack(item, arrays) for item in value]}
        case dict():
            return {"dict": [[_pack(name, arrays), _pack(item, arrays)] for name, item in value.items()]}
        case pd.DataFrame():
            return {"frame": [[str(name), _pack(_plain(column), arrays)] for name, column in value.items()]}
        case _ if is_dataclass(value) and not isinstance(value, type):
            kind = type(value)
            items = {field.name: _pack(getattr(value, field.name), arrays) for field in fields(value)}
            return {"class": f"{kind.__module__}:{kind.__qualname__}", "fields": items}
    raise TypeError(
        f"remember: expected numbers, text, arrays, frames and dataclasses, received {type(value).__name__}"
    )


def _plain(column: pd.Series) -> np.ndarray:
    """Return a column as an array of numbers or of text."""
    array = column.to_numpy()
    if array.dtype.kind in "biufc":
        return array
    if not all(isinstance(item, str) for item in array):
        raise TypeError(f"remember: expected numbers or text in column {column.name!r}, received other objects")
    return array.astype(str)


def _unpack(tree, arrays):
    match tree:
        case list():
            return [_unpack(item, arrays) for item in tree]
        case {"float": text}:
            return float(text)
        case {"scalar": item}:
            return _unpack(item, arrays)[()]
        case {"array": number}:
            return arrays[f"a{number}"]
        case {"tuple": items}:
            return tuple(_unpack(item, arrays) for item in items)
        case {"dict": pairs}:
            return {_unpack(name, arrays): _unpack(item, arrays) for name, item in pairs}
        case {"frame": columns}:
            return pd.DataFrame({name: _unpack(item, arrays) for name, item in columns})
        case {"class": name, "fields": items}:
            module, _, kind = name.partition(":")
            if module.split(".")[0] not in ("bea", "lab", "studies"):
                raise ValueError(f"remembered: expected a class of ours, found {name}")
            return getattr(importlib.import_module(module), kind)(**{n: _unpack(i, arrays) for n, i in items.items()})
    return tree
