"""Network files can be trusted or are refused: damaged, of other types, with something missing, left over or huge."""

import functools
import io
import itertools
import json
import tracemalloc
import zipfile

import numpy as np
import pytest

from bea import (
    Activation,
    AveragePool,
    Convolution,
    Crop,
    Dense,
    Flatten,
    GlobalAveragePool,
    GlobalMaxPool,
    LayerNormalization,
    MaxPool,
    Network,
    Pad,
    Permute,
    PReLU,
    Quantise,
    RadialBasis,
    Readout,
    Reshape,
    Residual,
    Scale,
)  # fmt: skip
from bea.networks import archive
from bea.networks.layers import Layer
from bea.networks.sequence import leaves

RNG = np.random.default_rng


def every_kind():
    """A network with a layer of every kind, one of them within a layer."""
    rng = RNG(1)
    layers = [
        Quantise(7, -1.0, 1.0, straight_through=True),
        Pad(((1, 0), (0, 1))),
        Crop(((0, 1), (1, 0))),
        Permute((1, 0, 2)),
        Scale(rng.random(2), rng.random(2)),
        LayerNormalization(rng.random((6, 2)), rng.random((6, 2)), 1e-3),
        PReLU(rng.random(())),
        Convolution(rng.standard_normal((4, 7)), (3, 2), (1, 2), ((1, 0), (0, 1)), groups=2),
        Residual(
            (Convolution(rng.standard_normal((4, 5)), (1, 1)), Residual((Activation("smooth_relu", 0.1),))),
            (Activation("clip", (-1.0, 1.0)),),
        ),
        MaxPool(2, 1),
        AveragePool((1, 2), padding=((0, 0), (1, 0)), count_padding=True),
        GlobalMaxPool(),
        Reshape((2, 2)),
        GlobalAveragePool(),
        Flatten(),
        Dense(np.asfortranarray(rng.standard_normal((4, 3)))),
        RadialBasis(rng.standard_normal((5, 4)), rng.random(5) + 0.1),
        Dense(rng.standard_normal((1, 5)), bias=False),
        Readout.of_one_output(),
    ]
    return Network(layers, (6, 8, 2), "softmax", (0.0, 1.0))


def contents(net):
    """All that a network is, bit for bit, the order of its arrays in memory included."""

    def of(value):
        if isinstance(value, np.ndarray):
            return value.shape, value.dtype.str, value.strides, value.tobytes()
        if isinstance(value, tuple):
            return tuple(map(of, value))
        return (
            (type(value), {name: of(part) for name, part in vars(value).items()}) if isinstance(value, Layer) else value
        )

    return {name: of(getattr(net, name)) for name in ("layers", "input_shape", "output_activation", "input_range")}


@pytest.fixture
def small(tmp_path):
    """Return a small network, and its file."""
    net = Network((Dense(RNG(1).standard_normal((2, 4))),), (3,))
    net.save(tmp_path / "net.npz")
    return net, tmp_path / "net.npz"


def outcomes(net, path, damaged):
    """How many damaged files are refused with the one error, load as the same network, or do anything else."""
    found, same = {"refused": 0, "same": 0, "other": 0}, contents(net)
    for content in damaged:
        path.write_bytes(content)
        try:
            again = Network.load(path)
        except ValueError as error:
            found["refused" if str(error).startswith(f"{path}: ") else "other"] += 1
        else:
            found["same" if contents(again) == same else "other"] += 1
    return found


def test_every_kind_comes_back(tmp_path):
    """With the same fields and, bit for bit, the same arrays in the same order; the network here has all kinds."""
    net = every_kind()
    assert {type(layer).__name__ for layer in [*net.layers, *leaves(net.layers)]} == archive.KINDS.keys()
    net.save(tmp_path / "net.npz")
    assert contents(Network.load(tmp_path / "net.npz")) == contents(net)


@pytest.fixture
def nested(tmp_path):
    """Return a network with layers within layers, and its file."""
    rng = RNG(2)
    one, other, last = (Dense(rng.standard_normal((3, 4))) for _ in range(3))
    inner = Residual((one, Scale(rng.random((1, 3)).ravel())), (Activation("tanh"),))
    net = Network((Residual((other, inner)), last), (3,))
    net.save(tmp_path / "net.npz")
    return net, tmp_path / "net.npz"


def test_layers_within_layers_come_back(nested):
    """Their arrays are numbered in the order of the layers, whatever is inside what."""
    net, path = nested
    assert contents(Network.load(path)) == contents(net)
    with np.load(path) as file:
        assert set(file.files) == {"header", "A1", "A2", "A3", "F1", "B1"}
        np.testing.assert_array_equal(file["A1"], net.layers[0].branch[0].matrix)
        np.testing.assert_array_equal(file["A2"], net.layers[0].branch[1].branch[0].matrix)


def test_an_error_within_a_layer_says_where(nested):
    """The numbers of both layers are named."""
    _, path = nested
    rewrite(path, lambda header: header["layers"][0]["branch"][1]["branch"][0].update(bias=1))
    with pytest.raises(ValueError, match=r"net\.npz: layer 0: layer 1: layer 0: bias: expected bool, found 1"):
        Network.load(path)


class Other(Flatten):
    """A kind of layer that files do not know."""


def test_a_kind_that_files_do_not_know_is_not_written(tmp_path):
    """The error comes before the file."""
    with pytest.raises(TypeError, match=r"layers: expected kinds out of .*received Other"):
        Network((Other(), Dense(np.ones((2, 4)))), (3,)).save(tmp_path / "net.npz")
    assert list(tmp_path.iterdir()) == []


def test_fields_that_came_later_may_be_missing(tmp_path):
    """As in files from before them, which mean their defaults."""
    net, path = every_kind(), tmp_path / "net.npz"
    net.save(path)

    def older(header):
        for entry in header["layers"]:
            for name in archive.LATER.get(entry["kind"], ()):
                del entry[name]

    rewrite(path, older)
    kinds = {type(layer): layer for layer in net.layers}
    with pytest.raises(ValueError, match="input columns"):  # as these have two groups
        Network.load(path)
    rewrite(path, lambda header: header["layers"][7].update(groups=2))
    again = Network.load(path)
    assert again.layers[10] == AveragePool(kinds[AveragePool].size)
    assert again.layers[9] == kinds[MaxPool]


# ---- damage -----------------------------------------------------------------------


def test_no_damaged_bit_loads_another_network(small):
    """Each bit of what the archive has around its members and of the arrays' own headers, and one of every other byte:
    text and numbers, where a checksum sees each bit alike."""
    net, path = small
    whole = path.read_bytes()
    alike = set()
    for array in members(path).values():
        start = whole.index(array.tobytes())
        alike |= set(range(start, start + array.nbytes))

    def damaged():
        for place, bit in itertools.product(range(len(whole)), range(8)):
            if place not in alike or bit == place % 7:
                content = bytearray(whole)
                content[place] ^= 1 << bit
                yield content

    found = outcomes(net, path, damaged())
    assert found["other"] == 0, found
    assert min(found["refused"], found["same"]) > 500, found


def some_damage(rng, whole: bytes) -> bytes:
    """One of: bytes overwritten, a piece cut out, put in or repeated, two pieces exchanged, an end cut off."""
    a, b, c = np.sort(rng.integers(0, len(whole), 3))
    match rng.integers(6):
        case 0:
            content = np.frombuffer(whole, np.uint8).copy()
            places = rng.integers(0, len(whole), rng.integers(1, 9))
            content[places] = rng.integers(0, 256, len(places))
            return content.tobytes()
        case 1:
            return whole[:a] + whole[b:]
        case 2:
            return whole[:a] + rng.bytes(rng.integers(1, 60)) + whole[a:]
        case 3:
            return whole[:b] + whole[a:]
        case 4:
            return whole[:a] + whole[b:c] + whole[a:b] + whole[c:]
        case _:
            return whole[:a]


def test_no_random_damage_loads_another_network(tmp_path):
    """In 3,000 files with a layer of every kind."""
    net, path, rng = every_kind(), tmp_path / "net.npz", RNG(3)
    net.save(path)
    whole = path.read_bytes()
    found = outcomes(net, path, (some_damage(rng, whole) for _ in range(3_000)))
    assert found["other"] == 0, found
    assert found["refused"] > 2_500, found


# ---- whole files with something wrong in them -------------------------------------


def members(path) -> dict:
    """Name → array of a file."""
    with np.load(path) as file:
        return {name: file[name] for name in file.files}


def rewrite(path, change=lambda header: None, **arrays):
    """Change the header of a file in place, and put other arrays in; None removes one."""
    found = members(path)
    header = json.loads(str(found["header"]))
    change(header)
    found = found | {"header": np.array(json.dumps(header))} | arrays
    np.savez(path, **{name: array for name, array in found.items() if array is not None})


def places(value, where=()):
    """Yield the place of every value in a header, and those of the lists that hold them."""
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in parts:
        yield (*where, key)
        yield from places(part, (*where, key))


def test_no_value_of_another_type_is_taken_for_the_right_one(tmp_path):
    """At every place of a header with all kinds: a number for a truth value, 2.0 for 2, "2", nothing, an empty list."""
    net, path = every_kind(), tmp_path / "net.npz"
    net.save(path)
    found = members(path)
    text, tried = str(found.pop("header")), 0
    for *place, last in places(json.loads(text)):
        header = json.loads(text)
        holder = functools.reduce(lambda value, key: value[key], place, header)
        old = holder[last]
        for new in (True, 1, 1.5, str(old), None, []):
            if type(new) is type(old):
                continue
            holder[last] = new
            np.savez(path, header=np.array(json.dumps(header)), **found)
            try:
                again = Network.load(path)
            except ValueError as error:
                assert str(error).startswith(f"{path}: "), (place, last, new)  # noqa: PT017
            else:  # no stride is that of the window, and no range means no limits
                assert (last, new) in (("stride", None), ("input_range", None))
                assert again.input_range == (None if last == "input_range" else net.input_range)
            tried += 1
    assert tried > 500


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda header: header.update(note="mine"), "expected .*'output_activation'.*, found .*'note'"),
        (lambda header: header.pop("input_range"), "expected .*'input_range'"),
        (lambda header: header.update(format="bea network 2"), "bea network 1.*'bea network 2'"),
        (lambda header: header.update(input_shape=[-3]), "input_shape: expected positive numbers"),
        (lambda header: header["layers"][0].update(name="mine"), r"layer 0: expected \['bias', 'shape'\] of a Dense"),
        (lambda header: header["layers"][0].update(shape=[2, 4.0]), "layer 0: shape: expected tuple"),
        (lambda header: header["layers"].append("Flatten"), "layer 1: expected a known kind"),
    ],
)
def test_a_header_with_something_unknown_or_missing_is_refused(small, change, message):
    """One error that says what was expected."""
    _, path = small
    rewrite(path, change)
    with pytest.raises(ValueError, match=rf"net\.npz: .*{message}"):
        Network.load(path)


def test_a_name_that_is_there_twice_is_refused(small):
    """JSON itself would take the second."""
    _, path = small
    text = str(members(path)["header"])
    rewrite(path, header=np.array(text.replace('"bias"', '"bias": false, "bias"')))
    with pytest.raises(ValueError, match="expected each name once"):
        Network.load(path)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"A2": np.ones(3)}, r"nothing but the arrays of its layers, found \['A2'\] too"),
        ({"A1": np.ones((2, 4), np.float32)}, "expected A1 of float64, found <f4"),
        ({"A1": np.ones((2, 4), ">f8")}, "expected A1 of float64, found >f8"),
        ({"A1": np.ones((2, 4), int)}, "expected A1 of float64, found <i8"),
        ({"A1": np.full((2, 4), None)}, "expected A1 of float64, found |O"),
        ({"A1": np.ones(8)}, r"expected A1 of shape \[2, 4\], found \[8\]"),
        ({"A1": None}, r"expected A1 of shape \[2, 4\], found none"),
        ({"header": np.ones(3)}, "header: expected a text"),
        ({"header": None}, "header"),
    ],
)
def test_a_file_with_other_arrays_is_refused(small, arrays, message):
    """Missing, left over, or of another shape or type."""
    _, path = small
    rewrite(path, **arrays)
    with pytest.raises(ValueError, match=rf"net\.npz: .*{message}"):
        Network.load(path)


# ---- bombs ------------------------------------------------------------------------

MEGABYTE = 2**20


def npy_header(shape) -> bytes:
    """The first bytes of a .npy file of float64 of this shape."""
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "<f8", "fortran_order": False, "shape": shape})
    return buffer.getvalue()


def packed(path, shape, size=0, method=zipfile.ZIP_STORED):
    """Make a file of one dense layer that says its matrix has a shape, with so many megabytes of zeros for it."""
    layers = [{"kind": "Dense", "shape": shape, "bias": False}]
    header = {"format": archive.FORMAT, "layers": layers, "input_shape": shape[1:]}
    header |= {"output_activation": "linear", "input_range": None}
    np.savez(path, header=np.array(json.dumps(header)))
    with zipfile.ZipFile(path, "a", method, compresslevel=1) as file, file.open("A1.npy", "w") as member:
        member.write(npy_header(tuple(shape)))
        for _ in range(size):
            member.write(bytes(MEGABYTE))


def overlapping(path):
    """Make a file with ten arrays of a megabyte each that are all the same bytes of it."""
    shape = [2, MEGABYTE // 16]
    packed(path, shape, 1)
    with zipfile.ZipFile(path, "a") as file:
        first = file.getinfo("A1.npy")
        for number in range(2, 12):
            other = zipfile.ZipInfo(f"A{number}.npy")
            for name in ("CRC", "compress_size", "file_size", "header_offset", "compress_type"):
                setattr(other, name, getattr(first, name))
            file.filelist.append(other)
            file._didModify = True


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda path: packed(path, [2, 64 * MEGABYTE // 8], 128, zipfile.ZIP_DEFLATED),
            "not compressed, found 'A1.npy'",
        ),
        (lambda path: packed(path, [2**20, 2**20]), r"expected 8796093022208 bytes of A1.npy, found 0"),
        (lambda path: packed(path, [2, MEGABYTE], 1), r"expected 16777216 bytes of A1.npy, found 1048576"),
        (overlapping, "members that together are smaller than the file"),
    ],
)
def test_a_bomb_is_refused_and_takes_no_memory(tmp_path, make, message):
    """A small file that would become a large array, or says that it does."""
    path = tmp_path / "net.npz"
    make(path)
    assert path.stat().st_size < 2 * MEGABYTE
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=rf"net\.npz: .*{message}"):
            Network.load(path)
        assert tracemalloc.get_traced_memory()[1] < MEGABYTE
    finally:
        tracemalloc.stop()
