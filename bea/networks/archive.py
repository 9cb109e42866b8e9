"""Network files: one ``.npz`` with the arrays of the layers and a header in JSON, never pickle.

The header has the ``format``, the fields of the network, and the layers in their order, each with its ``kind`` and its
fields. A layer with arrays has their ``shape`` in place of them, and they stand beside the header as ``A1``, ``A2``, …,
a letter for each field, numbered in the order of the layers; a layer made of layers, as ``Residual`` is, lists these in
the same way. A file is either what ``write`` has written or refused: members are not compressed, so that nothing can
be larger than the file is, nothing may be missing, left over or of another type, and all is read to its checksum.
"""

import json
import math
import zipfile
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from types import UnionType
from typing import get_args, get_origin, get_type_hints

import numpy as np

from bea.files import replacing
from bea.networks.global_pooling import GlobalAveragePool, GlobalMaxPool
from bea.networks.layers import Activation, Dense, Flatten, Layer, Readout
from bea.networks.normalisation import LayerNormalization, PReLU, Scale
from bea.networks.quantiser import Quantise
from bea.networks.radial import RadialBasis
from bea.networks.reshaping import Crop, Pad, Permute, Reshape
from bea.networks.residual import Residual
from bea.networks.windows import AveragePool, Convolution, MaxPool

FORMAT = "bea network 1"
HEADER = {
    "format": str,
    "layers": list,
    "input_shape": tuple[int, ...],
    "output_activation": str,
    "input_range": tuple[float, float] | None,
}
LARGEST_HEADER = 2**24  # bytes; thousands of layers take less
KINDS = {
    kind.__name__: kind
    for kind in (
        *(Activation, AveragePool, Convolution, Crop, Dense, Flatten, GlobalAveragePool, GlobalMaxPool),
        *(LayerNormalization, MaxPool, Pad, Permute, PReLU, Quantise, RadialBasis, Readout, Reshape, Residual, Scale),
    )
}
# Fields of layers that are arrays, and the letter before their number in the file. All those of a layer have one shape,
# but for the sharpness, which is one number a row.
ARRAYS = {"matrix": "A", "centres": "C", "sharpness": "S", "factor": "F", "shift": "B", "slopes": "L"}
# Fields that are sequences of layers.
NESTED = ("branch", "shortcut")
# Fields that older files do not have; their defaults are what these files mean.
LATER = {
    "Activation": ("parameter",),
    "AveragePool": ("padding", "count_padding"),
    "Convolution": ("dilation", "groups"),
    "MaxPool": ("padding",),
}


class _LayerError(ValueError):
    """Something is wrong with a layer, in words that say which."""


def write(net, path) -> None:
    """Write the network to ``path`` (.npz, without pickle).

    Raises
    ------
    TypeError
        For a layer of a kind that files do not know.
    """
    arrays = {}
    header = {
        "format": FORMAT,
        "layers": [_describe(layer, arrays) for layer in net.layers],
        "input_shape": net.input_shape,
        "output_activation": net.output_activation,
        "input_range": net.input_range,
    }
    with replacing(path) as partial, open(partial, "wb") as file:
        np.savez(file, header=np.array(json.dumps(header)), **arrays)


def read(path) -> tuple:
    """Return the arguments of the ``Network`` that ``write`` has written.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is truncated, damaged, not a network, or holds anything that ``write`` would not have written there.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: expected a network file, found none")
    size = path.stat().st_size
    try:
        with zipfile.ZipFile(path) as archive:
            members = _members(archive, size)
            header = _read_header(archive, members)
            layers = _restore_all(header["layers"], _taking(archive, members))
            if members:
                raise ValueError(f"expected nothing but the arrays of its layers, found {sorted(members)} too")
    except _LayerError as error:
        raise ValueError(f"{path}: {error}") from None
    except Exception as error:  # a damaged file may fail in any way
        raise ValueError(
            f"{path}: expected a complete network file ({FORMAT}), found {size} bytes "
            f"that are not one ({type(error).__name__}: {error})"
        ) from None
    return layers, header["input_shape"], header["output_activation"], header["input_range"]


def _describe(layer: Layer, arrays: dict) -> dict:
    """Return the entry of a layer in the header, and add its arrays to those that are there."""
    kind = type(layer).__name__
    if KINDS.get(kind) is not type(layer):
        raise TypeError(f"layers: expected kinds out of {sorted(KINDS)}, received {kind}")
    entry = {"kind": kind}
    for name in (field.name for field in fields(layer)):
        value = getattr(layer, name)
        if name in ARRAYS:
            entry.setdefault("shape", value.shape)
            arrays[f"{ARRAYS[name]}{1 + sum(other[0] == ARRAYS[name] for other in arrays)}"] = value
        else:
            entry[name] = [_describe(inner, arrays) for inner in value] if name in NESTED else value
    return entry


def _members(archive, size: int) -> dict[str, zipfile.ZipInfo]:
    """Return name → member, or raise ``ValueError`` where together they would be larger than the file."""
    found = {}
    for info in archive.infolist():
        name = info.filename.removesuffix(".npy")
        if name in found or name == info.filename:
            raise ValueError(f"expected members with names of their own that end in .npy, found {info.filename!r}")
        if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
            raise ValueError(f"expected members that are not compressed, found {info.filename!r}")
        found[name] = info
    if (total := sum(info.file_size for info in found.values())) > size:
        raise ValueError(f"expected members that together are smaller than the file, found {total} bytes")
    return found


def _read_header(archive, members: dict) -> dict:
    """Take the header out of the members and return it, all its entries of the types they should have."""
    info = members.pop("header")
    with archive.open(info) as file:
        shape, _, dtype = _array_header(file)
        if shape != () or dtype.str[:2] != "<U" or dtype.itemsize > LARGEST_HEADER:
            raise ValueError(f"header: expected a text, found shape {shape} of {dtype.str}")
        text = str(np.frombuffer(_rest(file, info, dtype.itemsize), dtype)[0])
    header = json.loads(text, object_pairs_hook=_unique)
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise ValueError(f"format {header.get('format')!r}" if isinstance(header, dict) else "header is no dictionary")
    header = _typed(header, HEADER)
    if not all(length > 0 for length in header["input_shape"]):
        raise ValueError(f"input_shape: expected positive numbers, found {header['input_shape']}")
    return header


def _taking(archive, members: dict) -> Callable:
    """Return a function of a field and a shape that takes the next array of this field out of the members."""
    numbers = dict.fromkeys(ARRAYS, 0)

    def take(field: str, shape: tuple) -> np.ndarray:
        numbers[field] += 1
        name = f"{ARRAYS[field]}{numbers[field]}"
        if name not in members:
            raise ValueError(f"expected {name} of shape {list(shape)}, found none")
        info = members.pop(name)
        with archive.open(info) as file:
            found, by_columns, dtype = _array_header(file)
            if found != shape:
                raise ValueError(f"expected {name} of shape {list(shape)}, found {list(found)}")
            if dtype.str != "<f8":
                raise ValueError(f"expected {name} of float64, found {dtype.str}")
            content = _rest(file, info, math.prod(shape) * dtype.itemsize)
        return np.frombuffer(content, dtype).reshape(shape, order="F" if by_columns else "C")

    return take


def _array_header(file) -> tuple:
    """Return shape, order and type of the array of a member."""
    version = np.lib.format.read_magic(file)
    if version != (1, 0):
        raise ValueError(f"expected an array of version (1, 0), found {version}")
    return np.lib.format.read_array_header_1_0(file)


def _rest(file, info, expected: int) -> bytes:
    """Return what is left of a member, to its checksum; nothing is read if that is not as much as expected."""
    if (found := info.file_size - file.tell()) != expected:
        raise ValueError(f"expected {expected} bytes of {info.filename}, found {found}")
    return file.read()


def _restore_all(entries: list, take: Callable) -> tuple[Layer, ...]:
    """Return the layers that ``_describe`` described."""
    layers = []
    for number, entry in enumerate(entries):
        try:
            layers.append(_restore(entry, take))
        except (TypeError, ValueError) as error:
            raise _LayerError(f"layer {number}: {error}") from None
    return tuple(layers)


def _restore(entry, take: Callable) -> Layer:
    kind = KINDS.get(entry.get("kind")) if isinstance(entry, dict) else None
    if kind is None:
        raise ValueError(f"expected a known kind of layer, found {entry}")
    hints = get_type_hints(kind)
    names = [field.name for field in fields(kind)]
    arrays, nested = ([name for name in names if name in special] for special in (ARRAYS, NESTED))
    types = {name: hints[name] for name in names if name not in arrays} | dict.fromkeys(nested, list)
    if arrays:
        types["shape"] = tuple[int, ...]
    for name in LATER.get(kind.__name__, ()):
        if name not in entry:
            del types[name]
    options = _typed({name: value for name, value in entry.items() if name != "kind"}, types, f" of a {kind.__name__}")
    for name in nested:
        options[name] = _restore_all(options[name], take)
    if arrays:
        shape = options.pop("shape")
        options |= {name: take(name, shape[:1] if name == "sharpness" else shape) for name in arrays}
    return kind(**options)


def _typed(entry: dict, types: dict, of="") -> dict:
    """Return an entry with tuples for lists, or raise ``ValueError`` unless it has these fields of these types."""
    if entry.keys() != types.keys():
        raise ValueError(f"expected {sorted(types)}{of}, found {entry}")
    for name, value in entry.items():
        if not _fits(value, types[name]):
            raise ValueError(f"{name}: expected {_word(types[name])}, found {value!r}")
    return {name: value if types[name] is list else _tuples(value) for name, value in entry.items()}


def _fits(value, hint) -> bool:
    """Return whether a JSON value has a type, nothing converted but a list to a tuple: no number is a truth value."""
    parts = get_args(hint)
    if get_origin(hint) is UnionType:
        return any(_fits(value, part) for part in parts)
    if get_origin(hint) is not tuple:
        return type(value) is hint
    if not isinstance(value, list):
        return False
    if parts[-1] is ...:
        return all(_fits(item, parts[0]) for item in value)
    return len(value) == len(parts) and all(map(_fits, value, parts))


def _word(hint) -> str:
    return hint.__name__ if isinstance(hint, type) and not get_args(hint) else str(hint)


def _tuples(value):
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def _unique(pairs) -> dict:
    """Return a JSON object as a dictionary, or raise ``ValueError`` for a name that is there twice."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError(f"expected each name once, found {[name for name, _ in pairs]}")
    return found
