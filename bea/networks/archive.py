"""Network files: one ``.npz`` with the arrays of the layers and a header in JSON, never pickle."""

import itertools
import json
from dataclasses import fields
from pathlib import Path

import numpy as np

from bea.files import replacing
from bea.networks.global_pooling import GlobalAveragePool, GlobalMaxPool
from bea.networks.layers import Activation, Dense, Flatten, Layer, Readout
from bea.networks.normalisation import LayerNormalization, PReLU, Scale
from bea.networks.quantiser import Quantise
from bea.networks.radial import RadialBasis
from bea.networks.reshaping import Crop, Pad, Permute, Reshape
from bea.networks.residual import Residual
from bea.networks.sequence import leaves
from bea.networks.windows import AveragePool, Convolution, MaxPool

FORMAT = "bea network 1"
KINDS = {
    kind.__name__: kind
    for kind in (
        *(Activation, AveragePool, Convolution, Crop, Dense, Flatten, GlobalAveragePool, GlobalMaxPool),
        *(LayerNormalization, MaxPool, Pad, Permute, PReLU, Quantise, RadialBasis, Readout, Reshape, Residual, Scale),
    )
}
# Fields of layers that are arrays, and the letter before their number in the file.
ARRAYS = {"matrix": "A", "centres": "C", "sharpness": "S", "factor": "F", "shift": "B", "slopes": "L"}
# Fields that older files do not have: they get their defaults.
ADDED = {
    "Activation": ("parameter",),
    "AveragePool": ("padding", "count_padding"),
    "Convolution": ("dilation", "groups"),
    "MaxPool": ("padding",),
}


def write(net, path) -> None:
    """Write the network to ``path`` (.npz, without pickle)."""
    header = {
        "format": FORMAT,
        "layers": [_describe(layer) for layer in net.layers],
        "input_shape": net.input_shape,
        "output_activation": net.output_activation,
        "input_range": net.input_range,
    }
    arrays = {}
    for name, letter in ARRAYS.items():
        found = [getattr(layer, name) for layer in leaves(net.layers) if hasattr(layer, name)]
        arrays |= {f"{letter}{i}": array for i, array in enumerate(found, start=1)}
    with replacing(path) as partial, open(partial, "wb") as file:
        np.savez(file, header=np.array(json.dumps(header)), **arrays)


def read(path) -> tuple:
    """Return the arguments of the ``Network`` that ``write`` has written.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is truncated, damaged, not a network, or holds weights that are not finite or of the wrong shape.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: expected a network file, found none")
    try:
        with np.load(path, allow_pickle=False) as file:
            # An array that a damaged header makes end early is not read to where its checksum is compared.
            if damaged := file.zip.testzip():
                raise ValueError(f"{damaged} fails its checksum")
            arrays = {name: file[name] for name in file.files}
        header = json.loads(str(arrays["header"]))
        if header["format"] != FORMAT:
            raise ValueError(f"format {header['format']!r}")
        entries = [dict(entry) for entry in header["layers"]]
        input_range = header["input_range"] and tuple(header["input_range"])
        arguments = tuple(header["input_shape"]), header["output_activation"], input_range
    except Exception as error:  # a damaged file may fail in any way
        raise ValueError(
            f"{path}: expected a complete network file ({FORMAT}), found {path.stat().st_size} bytes "
            f"that are not one ({type(error).__name__}: {error})"
        ) from None
    layers, numbers = [], {name: itertools.count(1) for name in ARRAYS}
    for number, entry in enumerate(entries):
        try:
            layers.append(_restore(entry, arrays, numbers))
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path}: layer {number}: {error}") from None
    return tuple(layers), *arguments


def _describe(layer) -> dict:
    entry = {field.name: getattr(layer, field.name) for field in fields(layer) if field.name not in ARRAYS}
    if layer.paths:
        entry = {name: [_describe(part) for part in path] for name, path in entry.items()}
    arrays = [getattr(layer, field.name) for field in fields(layer) if field.name in ARRAYS]
    if arrays:
        entry["shape"] = arrays[0].shape
    return {"kind": type(layer).__name__} | entry


def _restore(entry: dict, arrays: dict, numbers: dict) -> Layer:
    """Return the layer that ``_describe`` described; the arrays of a field are numbered in their order."""
    options = dict(entry)
    kind = KINDS.get(options.pop("kind"))
    if kind is None:
        raise ValueError(f"expected a known kind of layer, found {entry}")
    for field in fields(kind):
        if field.name in ADDED.get(kind.__name__, ()):
            options.setdefault(field.name, field.default)
    if kind is Residual:
        options = {name: [_restore(part, arrays, numbers) for part in path] for name, path in options.items()}
    names = {field.name for field in fields(kind)}
    if names & ARRAYS.keys():
        shape = options.pop("shape")
        for field in (name for name in ARRAYS if name in names):
            name = f"{ARRAYS[field]}{next(numbers[field])}"
            expected = shape[:1] if field == "sharpness" else shape
            found = list(arrays[name].shape) if name in arrays else None
            if found != expected:
                raise ValueError(f"expected {name} of shape {expected}, found {found}")
            options[field] = arrays[name]
    if options.keys() != names:
        raise ValueError(f"expected {sorted(names - ARRAYS.keys())} of a {kind.__name__}, found {entry}")
    return kind(**options)
