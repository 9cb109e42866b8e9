"""Images to work on: ``mnist``, ``cifar10`` (Keras' file format) and ``digits``, which is always there.

A file is looked for in the folder named by the environment variable ``BEA_DATA``, then in Keras' own cache, then
downloaded by Keras into that cache. Whatever is found is checked before it is used.
"""

import hashlib
import io
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bea.files import replacing
from lab.memory import remember

NAMES = ("mnist", "cifar10", "digits")
KEYS = ("x_train", "y_train", "x_test", "y_test")
SHAPES = {
    "mnist": ((60000, 28, 28), (60000,), (10000, 28, 28), (10000,)),
    "cifar10": ((50000, 32, 32, 3), (50000, 1), (10000, 32, 32, 3), (10000, 1)),
}
# SHA-256 of the arrays' bytes; taken from a file whose images agree with the MD5 sums of the official IDX files.
MNIST_SHA256 = {
    "x_train": "741c988805d008ac6e4c904b69001ba184c24b2c540a4ef403f4c71b676cf757",
    "y_train": "1feba77c54802fa5339a11837ea4b2866434b83314ec45192930f1df69120c13",
    "x_test": "6d87418db22cc8025d05968bec9bd5c3932904b23485740db143a061a2c9d161",
    "y_test": "ddeff807876a9661a1110d45c266c86239a3a1b7d37da0c3716a7a683c852ff5",
}
# The first labels of CIFAR-10 in its original order; re-encoded copies come in another order.
CIFAR10_FIRST_LABELS = [6, 9, 9, 4, 1, 1, 2, 7, 8, 3]


class DatasetUnavailableError(RuntimeError):
    """A dataset is in none of the places where it may be; the message says how to supply it by hand."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images in [0, 1] and their labels.

    Attributes
    ----------
    name : str
    note : str
        What a page that uses the images has to say about them.
    x_train, x_test : float32 arrays (n, height, width) or (n, height, width, channels)
        float32, so that Keras and ``bea`` see the same numbers.
    y_train, y_test : int arrays (n,)
    """

    name: str
    note: str
    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray


def load(name: str) -> Dataset:
    """Return the dataset ``name``, downloading it when it is nowhere on this machine.

    Raises
    ------
    ValueError
        If there is no dataset of this name, or the file found is truncated or not what it should be.
    DatasetUnavailableError
        If it is not on this machine and cannot be downloaded.
    """
    check_name(name)
    if name == "digits":
        return _digits()
    path = locate(name) or download(name)
    arrays = remember(decode_jpeg, path) if path.name == "cifar10_jpeg.npz" else _read(path)
    return _check(name, path, arrays)


def load_if_there(name: str) -> dict[str, "Dataset"]:
    """Return name → dataset, or nothing, after saying why, where it cannot be had."""
    try:
        return {name: load(name)}
    except DatasetUnavailableError as error:
        print(error)
        return {}


def check_name(name: str) -> None:
    """Raise ``ValueError`` unless ``name`` is a dataset."""
    if name not in NAMES:
        raise ValueError(f"dataset: expected one of {NAMES}, received {name!r}")


def locate(name: str) -> Path | None:
    """Return the file of dataset ``name`` on this machine, or None.

    Raises
    ------
    ValueError
        If ``BEA_DATA`` names a folder that does not exist.
    """
    folders = [keras_cache()]
    if "BEA_DATA" in os.environ:
        folder = Path(os.environ["BEA_DATA"])
        if not folder.is_dir():
            raise ValueError(
                f"BEA_DATA: expected a folder, received {str(folder)!r}, which is none ({folder.resolve()})"
            )
        folders.insert(0, folder)
    names = [f"{name}.npz"] + (["cifar10_jpeg.npz"] if name == "cifar10" else [])
    return next((folder / file for folder in folders for file in names if (folder / file).is_file()), None)


def keras_cache() -> Path:
    """Return the folder in which Keras keeps datasets."""
    return Path(os.environ.get("KERAS_HOME", Path.home() / ".keras")) / "datasets"


def download(name: str) -> Path:
    """Let Keras download dataset ``name`` into its cache and return the file.

    Raises
    ------
    DatasetUnavailableError
        If that fails.
    """
    from lab.keras_backend import keras

    try:
        splits = getattr(keras.datasets, name).load_data()
    except Exception as error:
        raise DatasetUnavailableError(
            f"{name}: not found on this machine, and Keras could not download it ({error}). To supply it by hand, put "
            f"{name}.npz (arrays {', '.join(KEYS)}, as Keras distributes it) into a folder and set BEA_DATA to that "
            f"folder, or put it into {keras_cache()}."
        ) from error
    path = keras_cache() / f"{name}.npz"
    if not path.is_file():
        # Keras keeps CIFAR-10 as an archive of pickles; from now on the plain arrays are read instead.
        with replacing(path) as partial, open(partial, "wb") as file:
            np.savez_compressed(file, **dict(zip(KEYS, [array for split in splits for array in split], strict=True)))
    return path


def _read(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
        if others := [key for key, array in arrays.items() if not isinstance(array, np.ndarray)]:
            raise ValueError(f"{', '.join(others)}: no array")
        return arrays
    except Exception as error:  # a damaged file may fail in any way
        raise ValueError(
            f"{path}: expected a complete .npz file with the arrays {', '.join(KEYS)}, "
            f"found {path.stat().st_size} bytes that cannot be read ({error})"
        ) from error


def decode_jpeg(path: Path) -> dict[str, np.ndarray]:
    """Decode images that are stored as JPEG files, one after another, with their ends."""
    source, arrays = _read(path), {}
    for split in ("train", "test"):
        try:
            blob, ends = source[f"jpeg_{split}"].tobytes(), source[f"end_{split}"]
            starts = np.concatenate([[0], ends[:-1]])
            images = [_image(blob[a:b]) for a, b in zip(starts, ends, strict=True)]
            arrays |= {f"x_{split}": np.stack(images), f"y_{split}": source[f"y_{split}"].reshape(-1, 1)}
        except Exception as error:  # a damaged file may fail in any way
            raise ValueError(f"{path}: expected JPEG images in jpeg_{split} and end_{split}, found {error}") from error
    return arrays


def _image(content: bytes) -> np.ndarray:
    from PIL import Image

    image, size = Image.open(io.BytesIO(content), formats=["JPEG"]), SHAPES["cifar10"][0][1:3]
    if image.size != size:  # seen before it is decoded, as it may be huge
        raise ValueError(f"an image of {image.size} pixels instead of {size}")
    return np.asarray(image)


def _check(name: str, path: Path, arrays: dict[str, np.ndarray]) -> Dataset:
    for key, shape in zip(KEYS, SHAPES[name], strict=True):
        array = arrays.get(key)
        found = "nothing" if array is None else f"shape {array.shape} of {array.dtype}"
        if array is None or array.size != np.prod(shape) or array.dtype.kind not in "ui":
            raise ValueError(f"{path}: expected {key} of shape {shape} and an integer type, found {found}")
        if key in MNIST_SHA256 and name == "mnist":
            digest = hashlib.sha256(array.astype(np.uint8).tobytes()).hexdigest()
            if digest != MNIST_SHA256[key]:
                raise ValueError(
                    f"{path}: expected {key} of MNIST with SHA-256 {MNIST_SHA256[key]}, found {digest}: other images"
                )
        largest = 255 if key.startswith("x") else 9
        if array.min() < 0 or array.max() > largest:
            raise ValueError(f"{path}: expected 0 to {largest} in {key}, found {array.min()} to {array.max()}")
    arrays = {key: arrays[key].reshape(shape) for key, shape in zip(KEYS, SHAPES[name], strict=True)}
    labels = {key: arrays[key].reshape(-1).astype(np.int64) for key in ("y_train", "y_test")}
    for key, values in labels.items():
        counts = np.bincount(values, minlength=10)
        if len(counts) != 10 or (name == "cifar10" and np.ptp(counts)):
            raise ValueError(f"{path}: expected labels 0 to 9 in {key}, balanced in CIFAR-10, found counts {counts}")
    note = "MNIST, the official images"
    if name == "cifar10":
        original = labels["y_train"][:10].tolist() == CIFAR10_FIRST_LABELS
        note = "CIFAR-10 in its original order" if original else "CIFAR-10, images re-encoded as JPEG"
    shades = (np.arange(256) / 255.0).astype(np.float32)
    images = {key: shades[arrays[key]] for key in ("x_train", "x_test")}
    return Dataset(name, note, images["x_train"], labels["y_train"], images["x_test"], labels["y_test"])


def _digits() -> Dataset:
    from scipy.ndimage import zoom
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    images, labels = load_digits(return_X_y=True)
    images = zoom(images.reshape(-1, 8, 8) / 16.0, (1, 3.5, 3.5), order=1).astype(np.float32)
    x_train, x_test, y_train, y_test = train_test_split(
        np.clip(images, 0.0, 1.0), labels.astype(np.int64), test_size=0.25, random_state=0, stratify=labels
    )
    note = "the UCI digits of scikit-learn, 8×8 pixels resampled to 28×28"
    return Dataset("digits", note, x_train, y_train, x_test, y_test)
