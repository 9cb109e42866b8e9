"""Images, or rows of a table, and other arrays from files."""

from pathlib import Path

import numpy as np

from bea.cli.optional import bring
from bea.networks.network import Network


def read_images(
    path: Path, net: Network, array: str | None = None, divide: float = 1.0, first: int | None = None
) -> tuple[list[str], np.ndarray]:
    """Return names of images, their numbers where they have none, and the images themselves, (n, *input_shape).

    Parameters
    ----------
    path : Path
        An array (.npy) or an archive of some (.npz) with the image as first axis, a table (.csv) with a row an image,
        its pixels separated by commas, below a line of names or not, or a folder of .png files, read in the order of
        their names; their pixels are between 0 and 1.
    net : Network
    array : str, optional
        Which array of an archive; needed if there are several.
    divide : float
        What all pixels are divided by.
    first : int, optional
        How many images are read; all unless given.

    Raises
    ------
    FileNotFoundError
        If there is nothing at this path.
    ValueError
        For another ending, a damaged file, and images of wrong shape or out of the range.
    """
    names = None
    if path.is_dir():
        names, x = _pictures(path, first)
    elif path.suffix == ".csv":
        x = _table(path)
    else:
        x = read_array(path, array)
    if x.dtype.kind not in "biuf":
        raise ValueError(f"{path}: expected numbers, found {x.dtype}")
    if x.ndim and x.shape[1:] != net.input_shape and (path.suffix == ".csv" or _but_for_ones(x.shape[1:], net)):
        if x[:1].size != np.prod(net.input_shape):
            raise ValueError(f"{path}: expected {np.prod(net.input_shape)} numbers a row, found {x[:1].size}")
        x = x.reshape(len(x), *net.input_shape)
    x = net.check_images(x[:first] / divide, str(path))
    if not len(x):
        raise ValueError(f"{path}: expected at least one image, found none")
    return names or [str(number) for number in range(len(x))], x


def read_array(path: Path, array: str | None = None) -> np.ndarray:
    """Return the array of a ``.npy`` file, or one of a ``.npz`` file, or raise as ``read_images`` says."""
    if path.suffix not in (".npy", ".npz"):
        raise ValueError(f"{path}: expected a folder of .png files or a file that ends in .npy, .npz or .csv")
    if not path.is_file():
        raise FileNotFoundError(f"{path}: expected arrays, found no such file")
    try:
        found = np.load(path, allow_pickle=False)
        if isinstance(found, np.ndarray):
            return found
        with found as file:
            names = file.files if array is None else [array]
            if len(names) == 1 and names[0] in file.files:
                return file[names[0]]
            known = file.files
    except Exception as error:  # a damaged file may fail in any way
        raise ValueError(f"{path}: expected arrays without pickle, found {error}") from None
    raise ValueError(f"{path}: expected the name of one of its arrays {known} (--array), received {array}")


def read_classes(text: str, n: int, name: str) -> np.ndarray:
    """Return n classes from a single number or the path of a ``.npy`` file with one an image."""
    if text.isdecimal():
        return np.full(n, int(text))
    if not text.endswith(".npy"):
        raise ValueError(f"{name}: expected a class from 0 on, or a .npy file with one an image, received {text!r}")
    return read_array(Path(text))[:n]


def _but_for_ones(shape, net) -> bool:
    """Return whether a shape is that of an input but for axes of length one, as of a single channel."""
    return [size for size in shape if size != 1] == [size for size in net.input_shape if size != 1]


def _table(path) -> np.ndarray:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: expected a table, found no such file")
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
        named = bool(lines) and not _is_number(lines[0].split(",")[0])
        return np.loadtxt(lines[named:], delimiter=",", ndmin=2)
    except ValueError as error:
        raise ValueError(f"{path}: expected a row of numbers separated by commas for every image: {error}") from None


def _is_number(text) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _pictures(path, first) -> tuple[list[str], np.ndarray]:
    imread = bring("matplotlib.image", "plot").imread
    files = sorted(path.glob("*.png"))[:first]
    if not files:
        raise ValueError(f"{path}: expected .png files in this folder, found none")
    images = []
    for file in files:
        try:
            image = imread(file)
        except Exception as error:  # a damaged file may fail in any way
            raise ValueError(f"{file}: expected a picture, found {error}") from None
        if image.ndim == 3 and image.shape[2] == 4 and (image[..., 3] == 1.0).all():
            image = image[..., :3]  # nothing is transparent
        images.append(image)
    shapes = {image.shape for image in images}
    if len(shapes) > 1:
        raise ValueError(f"{path}: expected pictures of one shape, found {sorted(shapes)}")
    return [file.stem for file in files], np.stack(images).astype(float)
