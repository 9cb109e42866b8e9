"""Datasets are found where they should be, and nothing wrong is ever used."""

import io
import shutil
import zipfile

import numpy as np
import pytest
from PIL import Image

from lab import datasets


@pytest.fixture
def nowhere(tmp_path, monkeypatch):
    """A machine with no dataset and no network; returns the folder that BEA_DATA names."""
    data = tmp_path / "data"
    data.mkdir()
    monkeypatch.setenv("BEA_DATA", str(data))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setenv("BEA_REMEMBERED", str(tmp_path / "remembered"))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # refuses at once
    return data


def small_npz(path, **changes):
    """A file with Keras' keys and hardly any images."""
    arrays = {key: np.zeros(3, dtype=np.uint8) for key in datasets.KEYS} | changes
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **arrays)


def test_digits_are_always_there(nowhere):
    """Ten classes, 28×28 pixels in [0, 1], disjoint training and test images, the same at every call."""
    one, two = datasets.load("digits"), datasets.load("digits")
    assert one.x_train.shape == (1347, 28, 28)
    assert one.x_test.shape == (450, 28, 28)
    assert one.x_train.dtype == np.float32
    assert one.x_train.min() == 0
    assert one.x_train.max() == 1
    assert np.array_equal(np.unique(one.y_test), np.arange(10))
    assert np.array_equal(one.x_test, two.x_test)
    assert not {image.tobytes() for image in one.x_test} & {image.tobytes() for image in one.x_train}


def test_unknown_name_is_refused():
    """The error lists the names there are."""
    with pytest.raises(ValueError, match=r"dataset: expected one of .*'digits'.* received 'mnits'"):
        datasets.load("mnits")


def test_bea_data_comes_before_keras_cache(nowhere):
    """A file in the folder that BEA_DATA names wins over one in Keras' cache."""
    assert datasets.locate("mnist") is None
    small_npz(datasets.keras_cache() / "mnist.npz")
    assert datasets.locate("mnist") == datasets.keras_cache() / "mnist.npz"
    small_npz(nowhere / "mnist.npz")
    assert datasets.locate("mnist") == nowhere / "mnist.npz"


def test_bea_data_must_be_a_folder(monkeypatch, tmp_path):
    """A mistyped BEA_DATA is an error, not a reason to look elsewhere."""
    monkeypatch.setenv("BEA_DATA", str(tmp_path / "missing"))
    with pytest.raises(ValueError, match=r"BEA_DATA: expected a folder, received '.*missing'"):
        datasets.locate("mnist")


@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_failed_download_says_how_to_supply_the_file(nowhere, name):
    """Without file and network the error names the file, the folder variable and the cache."""
    with pytest.raises(datasets.DatasetUnavailableError) as error:
        datasets.load(name)
    for part in (f"{name}.npz", "BEA_DATA", str(datasets.keras_cache())):
        assert part in str(error.value)


def test_truncated_file_is_refused(nowhere):
    """A download that broke off: path, what was expected, what was found."""
    path = nowhere / "mnist.npz"
    small_npz(path)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ValueError, match=r"mnist\.npz: expected a complete \.npz file .* found 200 bytes"):
        datasets.load("mnist")


@pytest.mark.parametrize("name", ["mnist", "cifar10"])
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, r"expected x_train of shape .* found shape \(3,\)"),
        ({"x_train": np.zeros((60000, 28, 28), dtype=np.float32)}, "found shape"),
    ],
)
def test_wrong_contents_are_refused(nowhere, name, changes, message):
    """Arrays of another shape or type are not the dataset."""
    small_npz(nowhere / f"{name}.npz", **changes)
    with pytest.raises(ValueError, match=message):
        datasets.load(name)


def test_missing_array_is_refused(nowhere):
    """The array that is not there is named."""
    np.savez(nowhere / "mnist.npz", x_test=np.zeros(3))
    with pytest.raises(ValueError, match=r"expected x_train .* found nothing"):
        datasets.load("mnist")


def test_other_images_in_mnist_format_are_refused(nowhere):
    """Images of the right shape that are not MNIST's, say clothes, are told apart by their checksum."""
    shapes = dict(zip(datasets.KEYS, datasets.SHAPES["mnist"], strict=True))
    small_npz(nowhere / "mnist.npz", **{key: np.zeros(shape, dtype=np.uint8) for key, shape in shapes.items()})
    with pytest.raises(ValueError, match=r"expected x_train of MNIST with SHA-256 .* found .*: other images"):
        datasets.load("mnist")


def test_pickled_arrays_are_refused(nowhere):
    """An array of objects would need pickle."""
    np.savez(nowhere / "mnist.npz", x_train=np.array([{}], dtype=object))
    with pytest.raises(ValueError, match=r"cannot be read"):
        datasets.load("mnist")


def test_real_mnist_passes_its_checks():
    """Where MNIST is on this machine its images arrive in [0, 1] as Keras would give them."""
    path = datasets.locate("mnist")
    if path is None:
        pytest.skip("no MNIST on this machine")
    data = datasets.load("mnist")
    raw = np.load(path)
    assert np.array_equal(data.x_test, (raw["x_test"] / 255).astype(np.float32))
    assert np.bincount(data.y_test).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


def test_one_changed_pixel_of_mnist_is_noticed(nowhere, monkeypatch):
    """The checksum covers every pixel."""
    monkeypatch.undo()
    path = datasets.locate("mnist")
    if path is None:
        pytest.skip("no MNIST on this machine")
    arrays = dict(np.load(path))
    arrays["x_test"][-1, 14, 14] ^= 1
    small_npz(nowhere / "mnist.npz", **arrays)
    monkeypatch.setenv("BEA_DATA", str(nowhere))
    with pytest.raises(ValueError, match=r"expected x_test of MNIST"):
        datasets.load("mnist")


def test_reencoded_cifar10_says_so(nowhere, monkeypatch):
    """JPEG files one after another, here fewer, are decoded, once; the note tells that they are not the originals."""
    buffer = io.BytesIO()
    Image.fromarray(np.full((32, 32, 3), 77, dtype=np.uint8)).save(buffer, "JPEG")
    one = np.frombuffer(buffer.getvalue(), dtype=np.uint8)
    shapes = [(500, 32, 32, 3), (500, 1), (200, 32, 32, 3), (200, 1)]
    monkeypatch.setitem(datasets.SHAPES, "cifar10", shapes)
    arrays = {}
    for split, count in (("train", 500), ("test", 200)):
        arrays[f"jpeg_{split}"] = np.tile(one, count)
        arrays[f"end_{split}"] = len(one) * np.arange(1, count + 1)
        arrays[f"y_{split}"] = np.arange(count) % 10
    np.savez(nowhere / "cifar10_jpeg.npz", **arrays)
    data = datasets.load("cifar10")
    assert data.x_train.shape == (500, 32, 32, 3)
    assert "re-encoded as JPEG" in data.note
    assert np.allclose(data.x_test[123], 77 / 255, atol=2 / 255)
    monkeypatch.setattr(Image, "open", None)
    assert np.array_equal(datasets.load("cifar10").x_train, data.x_train)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("x_train", -1, "expected 0 to 255 in x_train, found -1 to 0"),  # would be white, counted from the end
        ("x_test", 256, "expected 0 to 255 in x_test, found 0 to 256"),
        ("y_train", 2**50, "expected 0 to 9 in y_train, found 1 to 1125899906842624"),  # a count of each is 9 petabytes
    ],
)
def test_numbers_that_no_image_or_label_has_are_refused(nowhere, monkeypatch, key, value, message):
    """In types that can hold them."""
    monkeypatch.setitem(datasets.SHAPES, "cifar10", [(10, 2, 2, 3), (10, 1)] * 2)
    shapes = zip(datasets.KEYS, datasets.SHAPES["cifar10"], strict=True)
    arrays = {key: np.zeros(shape, dtype=np.int64) for key, shape in shapes}
    arrays |= {key: np.arange(10) for key in ("y_train", "y_test")}
    arrays[key].flat[0] = value
    np.savez(nowhere / "cifar10.npz", **arrays)
    with pytest.raises(ValueError, match=message):
        datasets.load("cifar10")


def test_a_member_that_is_no_array_is_refused(nowhere):
    """NumPy hands it over as bytes."""
    with zipfile.ZipFile(nowhere / "mnist.npz", "w") as archive:
        archive.writestr("x_train.npy", b"pixels")
    with pytest.raises(ValueError, match=r"cannot be read \(x_train: no array\)"):
        datasets.load("mnist")


def test_an_image_of_another_size_is_not_decoded(nowhere):
    """It might be huge."""
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((9, 8, 3), dtype=np.uint8)).save(buffer, "JPEG")
    blob = np.frombuffer(buffer.getvalue(), dtype=np.uint8)
    np.savez(nowhere / "cifar10_jpeg.npz", jpeg_train=blob, end_train=[len(blob)], y_train=[0])
    with pytest.raises(ValueError, match=r"expected JPEG images .* found an image of \(8, 9\) pixels"):
        datasets.load("cifar10")


def test_cached_copy_is_used_without_download(nowhere):
    """A file in Keras' cache is enough."""
    path = datasets.keras_cache() / "mnist.npz"
    small_npz(path)
    shutil.copy(path, path.with_name("other.npz"))
    with pytest.raises(ValueError, match=str(path)):
        datasets.load("mnist")
