"""Models of any kind of file as networks."""

import os
import re
import textwrap
import warnings
import zipfile
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from pickle import UnpicklingError

import numpy as np

from bea.cli.optional import bring
from bea.networks.network import Network
from bea.networks.perturbation import Perturbation


@dataclass(frozen=True, eq=False)
class Model:
    """A network, and what it was read from.

    Attributes
    ----------
    net : Network
    classify : function or None
        From images (n, *input_shape) to their classes (n,) in the model itself and its own precision; None where there
        is none to ask.
    put : function or None
        From a network to nothing: gives the model the weights of this one, of the same layers; None where the weights
        of the model are not, one by one, those of the network.
    """

    net: Network
    classify: Callable | None = None
    put: Callable | None = None

    def classify_changed(self, change: Perturbation) -> np.ndarray:
        """Return the classes (n,) after a change of input or weights, in the model itself; None where unknown."""
        found = np.full(len(change.x), None)
        there = np.flatnonzero(change.attained & np.isfinite(change.norms).all(axis=1))
        if all(part is None for part in change.dA):
            if self.classify and len(there):
                found[there] = self.classify((change.x + change.dx)[there])
        elif self.put:
            try:
                for i in there:  # a model has one set of weights at a time
                    net, image = self.net.perturbed(change, i)
                    self.put(net)
                    found[i] = self.classify(image[None])[0]
            finally:
                self.put(self.net)
        return found


def read_model(path: Path, input_range: tuple[float, float] | None = None) -> Model:
    """Read a model from a file.

    Parameters
    ----------
    path : Path
        A network file (.npz), a Keras model (.keras, .h5), an ONNX model (.onnx) or an exported PyTorch
        programme (.pt2).
    input_range : pair of float, optional
        Smallest and largest pixel value; a network file may have its own.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        For another ending, a damaged file, one that may run code when it is read, layers without counterpart, and a
        package that is needed but not installed.
    """
    reader = READERS.get(path.suffix)
    if path.suffix in PICKLES:
        raise ValueError(
            f"{path}: expected a model that is no pickle, which may do anything when it is read; in Python, "
            'torch.export.save(torch.export.export(module.eval(), (images,)), "model.pt2") writes one'
        )
    if reader is None:
        raise ValueError(f"{path}: expected a model that ends in one of {', '.join(READERS)}")
    if not path.is_file():
        raise FileNotFoundError(f"{path}: expected a model, found no such file")
    return reader(path, input_range)


def _from_network(path, input_range) -> Model:
    net = Network.load(path)
    return Model(net if input_range is None else replace(net, input_range=input_range))


def _from_keras(path, input_range) -> Model:
    os.environ.setdefault("KERAS_BACKEND", "jax")  # the one that the extra brings; read when Keras is imported
    keras = bring("keras", "keras")
    try:
        model = keras.saving.load_model(path, compile=False)
    except Exception as error:  # a damaged file may fail in any way
        raise ValueError(f"{path}: expected a complete Keras model, found {_short(error)}") from None

    def classify(x):
        outputs = np.asarray(model(x.astype(model.compute_dtype)))
        return outputs.argmax(axis=1) if outputs.shape[1] > 1 else (outputs[:, 0] > 0.5).astype(int)

    net = Network.from_keras(model, input_range)
    kept = model.get_weights()
    same = _weights(net, kept)
    if same is None or not all(map(np.array_equal, same, kept)):
        return Model(net, classify)
    return Model(net, classify, lambda other: model.set_weights(_weights(other, kept)))


def _weights(net, like) -> list[np.ndarray] | None:
    """Return kernels and biases of a network in the shapes of those of a Keras model, None where they do not fit."""
    arrays = []
    for layer in net.weighted:
        arrays += [layer.kernel.T, layer.matrix[:, -1]] if layer.bias else [layer.kernel.T]
    if [array.size for array in arrays] != [array.size for array in like]:
        return None
    return [array.reshape(other.shape) for array, other in zip(arrays, like, strict=True)]


def _from_onnx(path, input_range) -> Model:
    bring("onnx", "onnx")
    return Model(Network.from_onnx(path, input_range))


def _from_torch(path, input_range) -> Model:
    export = bring("torch.export", "torch")
    _check_programme(path)
    with _plain_arrays_only(), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of PyTorch about itself
        try:
            program = export.load(path)
        except Exception as error:  # a damaged file may fail in any way
            found = "objects other than arrays" if isinstance(error, UnpicklingError) else _short(error)
            raise ValueError(f"{path}: expected a complete exported programme, found {found}") from None
        return Model(Network.from_torch(program, input_range=input_range))


def _check_programme(path) -> None:
    """Raise ``ValueError`` unless the archive has the parts of an exported programme, and none that holds code."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile as error:
        raise ValueError(f"{path}: expected a complete exported programme, found {error}") from None
    for name in names:
        if not PARTS.fullmatch(name):
            raise ValueError(
                f"{path}: expected a programme written by torch.export.save, of PyTorch 2.8 or newer, found {name!r}, "
                "which may run when it is read"
            )


@contextmanager
def _plain_arrays_only():
    """Let PyTorch read arrays and nothing else, where it would unpickle: the inputs of an example, say."""
    name = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def _short(error) -> str:
    """Return what went wrong, of which Keras says much."""
    return textwrap.shorten(str(error).rpartition("Exception encountered: ")[2], 300, placeholder=" …")


# Of the archive of an exported programme, behind the name of the archive: no objects of one's own, no libraries.
PARTS = re.compile(
    r"[^/]+/(archive_format|archive_version|byteorder|\.data/[^/]+|models/[^/]+\.json|data/weights/weight_\d+"
    r"|data/constants/tensor_\d+|data/(weights|constants)/[^/]+_config\.json|data/sample_inputs/[^/]+\.pt|extra/.+)"
)
PICKLES = (".ckpt", ".joblib", ".pickle", ".pkl", ".pt", ".pth")
READERS = {".npz": _from_network, ".keras": _from_keras, ".h5": _from_keras, ".onnx": _from_onnx, ".pt2": _from_torch}
