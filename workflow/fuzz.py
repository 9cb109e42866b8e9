"""Hostile input: every loader of the house gets damaged files, and has to read or refuse them, in a line.

Each starts from a good file, in which bytes, tokens or pieces are changed. A loader may return, or raise what its
docstring names; anything else is a failure, and so is one that takes longer than ``LONGEST`` seconds of the processor.
"""

import io
import json
import os
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import numpy as np

from bea import Dense, Network
from bea.cli.images import read_images
from bea.cli.models import read_model
from lab import datasets
from lab.claims import load_claims
from lab.parameters import ROOT, assigned, checked, parse, read
from lab.trained import names_of, results_of
from workflow import manifest, shards, sweeps
from workflow.dependencies import said_by

LONGEST = 5.0  # seconds
TOKENS = [
    *(b"!!python/object/apply:os.system [ls]", b"&a [*a, *a]", b"*a", b"nan", b"-.inf", b"1e999", b"9" * 5000, b"-1"),
    *(b"[" * 300, b"{" * 50, b"\x00", b"\xff\xfe", b"../../etc/passwd", b"<script>alert(1)</script>", b"null", b"true"),
    *(b'"', b"'", b"\\", b"\n", b"\t", b": ", b"- ", b"? ", b"{}", b"[]", b'""', b"<<: ", b"!!binary x", b"2001-99-99"),
    *(b"1:60:99", b"0x", b"0b2", b"\xe2\x80\xa8", b"lambda: 0", b"__import__('os')", b"|", b">-", b"#", b"%YAML 9.9"),
]


@dataclass(frozen=True)
class Loader:
    """What is fuzzed: ``read`` gets a folder in which ``file`` lies; ``refuses`` are the errors it may raise.

    Of an ``archive`` every other file has its damage inside a member, whose checksum is right: behind it is a reader.
    """

    name: str
    file: str
    good: bytes
    read: Callable[[Path], object]
    refuses: tuple[type[Exception], ...] = (ValueError,)
    archive: bool = False


def damaged(rng: np.random.Generator, good: bytes) -> bytes:
    """Return a good file with something wrong: bytes, a token in place of a word, pieces cut, swapped, doubled."""
    content = good
    for _ in range(rng.integers(1, 4)):
        a, b, c = np.sort(rng.integers(0, len(content) + 1, 3))
        match rng.integers(8):
            case 0:
                changed = bytearray(content)
                for place in rng.integers(0, max(len(content), 1), rng.integers(1, 9)):
                    changed[place : place + 1] = rng.bytes(1)
                content = bytes(changed)
            case 1:
                content = content[:a] + content[min(b, a + 40) :]
            case 2:
                content = content[:a] + content[b:c] + content[a:b] + content[c:]
            case 3:
                content = content[:b] + content[max(a, b - 200) :]
            case 4:
                content = content[:a]
            case _:
                token = TOKENS[rng.integers(len(TOKENS))]
                content = content[:a] + token + content[min(b, a + rng.integers(0, 12)) :]
    return content


def damaged_inside(rng: np.random.Generator, good: bytes) -> bytes:
    """Return an archive with something wrong in one of its members; one that holds a text is damaged as this text."""
    with zipfile.ZipFile(io.BytesIO(good)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = list(members)[rng.integers(len(members))]
    array = np.load(io.BytesIO(members[name]))
    if array.dtype.kind == "U":
        text = damaged(rng, str(array).encode()).decode(errors="replace")
        members[name] = npy(np.array(text))
    else:
        members[name] = damaged(rng, members[name])
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return made.getvalue()


def npy(array) -> bytes:
    """Return an array as the content of a .npy file."""
    made = io.BytesIO()
    np.save(made, array)
    return made.getvalue()


@contextmanager
def _small_data_in(folder: Path) -> Iterator[None]:
    """Expect datasets in a folder, of 20 images of 4×4 pixels each half; any images are those of MNIST then."""
    sizes = {"mnist": ((20, 4, 4), (20,)) * 2, "cifar10": ((20, 4, 4, 3), (20, 1)) * 2}
    with (
        patch.dict(os.environ, {"BEA_DATA": str(folder), "BEA_REMEMBERED": str(folder / "remembered")}),
        patch.multiple(datasets, SHAPES=sizes, MNIST_SHA256={}),
    ):
        yield


def _jpeg(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return images as JPEG files, one after another, and their ends."""
    from PIL import Image

    files = [io.BytesIO() for _ in images]
    for image, file in zip(images, files, strict=True):
        Image.fromarray(image).save(file, "JPEG")
    contents = [file.getvalue() for file in files]
    return np.frombuffer(b"".join(contents), np.uint8), np.cumsum([len(content) for content in contents])


def _onnx() -> bytes:
    """Return a network of two layers as an ONNX model."""
    from onnx import TensorProto, helper, numpy_helper

    shapes = {"A": (4, 3), "a": (4,), "B": (2, 4), "b": (2,)}
    arrays = [numpy_helper.from_array(np.ones(shape, np.float32), name) for name, shape in shapes.items()]
    nodes = [
        helper.make_node("Gemm", ["x", "A", "a"], ["h"], transB=1),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("Gemm", ["r", "B", "b"], ["y"], transB=1),
    ]
    ends = {"x": ["n", 3], "y": ["n", 2]}
    inputs, outputs = ([helper.make_tensor_value_info(name, TensorProto.FLOAT, ends[name])] for name in "xy")
    graph = helper.make_graph(nodes, "net", inputs, outputs, arrays)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9).SerializeToString()


def loaders(folder: Path) -> list[Loader]:
    """Return all of them, with good files made in a folder."""
    net = Network((Dense(np.arange(12.0).reshape(3, 4), bias=True),), (3,))
    net.save(folder / "net.npz")
    np.save(folder / "images.npy", np.linspace(0, 1, 12).reshape(4, 3))
    np.savetxt(folder / "images.csv", np.linspace(0, 1, 12).reshape(4, 3), delimiter=",")
    x, y = np.arange(320, dtype=np.uint8).reshape(20, 4, 4), np.arange(20) % 10
    np.savez(folder / "mnist.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    blob, ends = _jpeg(np.stack([x, x, x], axis=-1))
    (folder / "jpeg").mkdir(exist_ok=True)
    names = [f"{word}_{split}" for split in ("train", "test") for word in ("jpeg", "end", "y")]
    np.savez(folder / "jpeg" / "cifar10_jpeg.npz", **dict(zip(names, (blob, ends, y) * 2, strict=True)))
    (folder / "sweeps.yml").write_bytes(b"".join((ROOT / "sweeps.yml").read_bytes().partition(b"table_1_norm:")[1:]))
    params, claims = (ROOT / "params.yml").read_text(), (ROOT / "book/claims.yml").read_text()
    start = params.index("\n10_linear_systems:")
    few = params[params.index("common:") : params.index("\n13_deep_closed_form:", start)]
    entries = claims.split("\n- id: ")
    result = {
        "notebook": "first", "dataset": "mnist", "cells": {"a": {"x": [1.0, 2]}}, "figures": {"a": "figures/a.svg"},
        "claims": {}, "networks": {"toy": ["toy-0", "toy-1"]}, "provenance": {"files": ["first.json"], "seconds": 1.5},
    }  # fmt: skip
    (folder / "networks").mkdir(exist_ok=True)
    for name in result["networks"]["toy"]:
        net.save(folder / "networks" / f"{name}.npz")
    code = {
        "parameters": "scale = 2.0\n",
        "setup": "chapter = Chapter('first', globals())\n",
        "train": "chapter.keep('toy', {})\nchapter.found('b', 'c')",
    }
    cells = [
        {"cell_type": "code", "id": name, "metadata": {"tags": [name]}, "source": [source]}
        for name, source in code.items()
    ]
    notebook = {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    crate = {
        "@graph": [
            {"@id": "./", "@type": "Dataset", "edition": "smoke", "madeOf": {"first": "0" * 64}},
            {"@id": "results/first.json", "@type": "File", "contentSize": 10, "sha256": "0" * 64},
        ]
    }
    found = (ValueError, FileNotFoundError)

    def claims_of(folder: Path):
        (folder / "published.yml").write_text("B1: {norm: 3}\n")
        return load_claims(folder / "claims.yml")

    def parameter_of(folder: Path):
        text = (folder / "value").read_text(encoding="utf-8")
        return checked("11_train_one_layer", {"seeds": parse(text, "seeds")})

    def manifest_of(folder: Path):
        return manifest.read((folder / "crate.json").read_text(encoding="utf-8"))

    def dataset_of(folder: Path, name: str):
        with _small_data_in(folder):
            return datasets.load(name)

    good = {kind: (folder / f"images.{kind}").read_bytes() for kind in ("npy", "csv")}
    results, cells = json.dumps(result).encode(), json.dumps(notebook).encode()
    few_claims, sweep = "\n- id: ".join(entries[:4]).encode(), (folder / "sweeps.yml").read_bytes()
    archives = {name: (folder / name).read_bytes() for name in ("net.npz", "mnist.npz", "jpeg/cifar10_jpeg.npz")}

    def of_archive(name: str, file: str, read: Callable[[Path], object]) -> Loader:
        return Loader(name, file, archives[file], read, archive=True)

    return [
        of_archive("network", "net.npz", lambda at: Network.load(at / "net.npz")),
        Loader("network, ONNX", "net.onnx", _onnx(), lambda at: read_model(at / "net.onnx")),
        of_archive("dataset", "mnist.npz", lambda at: dataset_of(at, "mnist")),
        of_archive("dataset, JPEG", "jpeg/cifar10_jpeg.npz", lambda at: dataset_of(at / "jpeg", "cifar10")),
        Loader("images, mapped", "images.npy", good["npy"], lambda at: np.array(shards.mapped(at / "images.npy"))),
        Loader("images, npy", "images.npy", good["npy"], lambda at: read_images(at / "images.npy", net)),
        Loader("images, csv", "images.csv", good["csv"], lambda at: read_images(at / "images.csv", net)),
        Loader("parameters", "params.yml", few.encode(), read),
        Loader("a parameter", "value", b"[1, 2, 3]", parameter_of, (ValueError, TypeError)),
        Loader("claims", "claims.yml", few_claims, claims_of),
        Loader("sweeps", "sweeps.yml", sweep, lambda at: sweeps.load("table_1_norm", root=at)),
        Loader("results", "first.json", results, lambda at: results_of(at, "first")["cells"], found),
        Loader("networks of a folder", "first.json", results, lambda at: names_of(at, "toy", "mnist"), found),
        Loader("notebook", "first.ipynb", cells, lambda at: said_by(at / "first.ipynb")),
        Loader("parameters cell", "first.ipynb", cells, lambda at: assigned(at / "first.ipynb")),
        Loader("manifest", "crate.json", json.dumps(crate).encode(), manifest_of),
    ]


def fuzz(loader: Loader, number: int, folder: Path, seed: int = 0, longest: float = LONGEST) -> Counter:
    """Return how many damaged files a loader has ``read`` and ``refused``, and every failure with its kind."""
    rng, found, path = np.random.default_rng(seed), Counter(), folder / loader.file
    found["slowest"] = 0
    for count in range(number):
        content = (damaged_inside if loader.archive and count % 2 else damaged)(rng, loader.good)
        path.write_bytes(content)
        start = time.process_time()
        try:
            loader.read(folder)
            found["read"] += 1
        except loader.refuses:
            found["refused"] += 1
        except Exception as error:  # what it must not raise
            found[f"failed: {type(error).__name__}: {str(error)[:80]}"] += 1
            (folder / f"failed-{loader.name}-{type(error).__name__}").write_bytes(content)
        taken = time.process_time() - start
        found["slowest"] = max(found["slowest"], taken)
        if taken > longest:
            found["failed: too slow"] += 1
    path.write_bytes(loader.good)
    return found
