"""The package by itself: a wheel of ``bea`` alone, in an environment in which nothing else is."""

import json
import re
import shutil
import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest
import yaml

import bea

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
NEEDED = ("numpy", "scipy", "threadpoolctl")
USE = """
import numpy as np
import bea
net = bea.Network((bea.Dense(np.random.default_rng(0).standard_normal((3, 5))),), (4,))
x = np.ones((2, 4))
found = bea.attack(net, x, (net.classify(x) + 1) % 3, on="input", method="converged")
net.save("net.npz")
same = bea.Network.load("net.npz")(x) == net(x)
print(bea.__version__, found.success.all() and same.all(), (bea.lower_bound(net, x).radius > 0).all())
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Return the wheel, built in a copy of what it is made from, so that the tree stays as it is."""
    tree = tmp_path_factory.mktemp("tree")
    shutil.copytree(ROOT / "bea", tree / "bea", ignore=shutil.ignore_patterns("__pycache__"))
    for room in ("lab", "studies", "workflow"):  # are there, but do not belong
        (tree / room).mkdir()
        (tree / room / "__init__.py").touch()
    for name in ("pyproject.toml", "README.md", "LICENSE", "LICENSE-text"):
        shutil.copy(ROOT / name, tree)
    build = "import sys; from setuptools.build_meta import build_wheel; build_wheel(sys.argv[1])"
    run(sys.executable, "-c", build, tree, cwd=tree)
    return next(tree.glob("bea-*.whl"))


def run(*command, cwd):
    """What a process prints, on either channel."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def empty(wheel, tmp_path_factory):
    """Return an environment with the wheel and what it asks for, at the locked versions."""
    folder = tmp_path_factory.mktemp("empty")
    venv.create(folder, with_pip=True)
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    pins = [re.search(rf"^{name}==[^\s;]+", lock, re.MULTILINE)[0] for name in NEEDED]
    (folder / "pins").write_text("\n".join(pins), encoding="utf-8")
    command = [folder / "bin" / "python", "-m", "pip", "install", "-q", "--disable-pip-version-check", "--retries", "0"]
    command += ["--no-compile", "--only-binary", ":all:"]
    got = subprocess.run([*command, *pins], capture_output=True, text=True, check=False)
    if got.returncode:
        pytest.skip(f"no registry gives {', '.join(pins)}: {got.stderr.strip().splitlines()[-1]}")
    run(*command, "--no-index", wheel, cwd=folder)  # which finds all that it asks for
    return folder


def python(empty, *arguments):
    """What the environment's Python prints."""
    return run(empty / "bin" / "python", "-I", *arguments, cwd=empty)


def test_the_wheel_holds_bea_alone(wheel):
    """Every module of it, the mark of its type hints, both licences, and neither studies nor tests."""
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    files = {name for name in names if not name.startswith(f"bea-{bea.__version__}.dist-info/")}
    assert files == {path.relative_to(ROOT).as_posix() for path in ROOT.glob("bea/**/*.py")} | {"bea/py.typed"}
    licences = {name.rpartition("/")[2] for name in names if "/licenses/" in name}
    assert licences == {"LICENSE", "LICENSE-text"}


def test_nothing_but_three_packages_is_installed_with_it(empty):
    """In at most 300 MB, pip aside and nothing compiled."""
    listed = json.loads(python(empty, "-m", "pip", "list", "--format", "json"))
    assert {entry["name"] for entry in listed} - {"pip", "setuptools"} == {"bea", *NEEDED}
    others = ("pip", "setuptools", "pkg_resources", "_distutils_hack")
    packages = next(empty.glob("lib/python*/site-packages"))
    sizes = [path.stat().st_size for path in packages.rglob("*") if path.is_file()
             if not path.relative_to(packages).parts[0].startswith(others)]  # fmt: skip
    assert sum(sizes) <= 300e6


def test_it_attacks_proves_and_keeps_a_network_there(empty):
    """Nothing else is needed for that, and it knows its version."""
    assert python(empty, "-c", USE).split() == [PROJECT["version"], "True", "True"]


def test_the_command_says_what_it_needs(empty):
    """In one line, with the exit code of a wrong call."""
    done = subprocess.run([empty / "bin" / "bea", "--help"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == 'bea: the command line needs click: pip install "bea[cli]"\n'


def test_importing_it_loads_nothing_of_others(empty):
    """All modules that ``import bea`` brings are its own or Python's."""

    def loaded(code):
        lines = python(empty, "-X", "importtime", "-c", code).splitlines()
        return {line.rpartition("|")[2].strip().partition(".")[0] for line in lines if line.startswith("import time:")}

    brought = loaded("import bea") - loaded("pass")
    assert "bea" in brought
    assert brought - {"bea"} <= sys.stdlib_module_names


def test_one_version_is_named_everywhere():
    """In pyproject.toml, which is its home, in what to cite, and as the newest one of the changes."""
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    changes = re.findall(
        r"^## ([\d.]+) \(([\d-]+)\)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert citation["version"] == citation["preferred-citation"]["version"] == PROJECT["version"]
    assert changes[0] == (PROJECT["version"], citation["date-released"])
