"""The house: no circle among its modules, no arrow upwards, and the mathematics with NumPy and SciPy alone."""

import ast
import graphlib
import inspect
import json
import pkgutil
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import bea
from bea.attacks.common import InputAttackResult

ROOT = Path(__file__).parents[1]
# From the ground upwards; rooms of one floor do not know each other.
FLOORS = [
    {"bea.files", "bea.lazy", "bea.version"},
    {"bea.numerics"},
    {"bea.reports"},
    {"bea.networks"},
    {"bea.backward"},
    {"bea.bounds", "bea.measures"},
    {"bea.precision"},
    {"bea.attacks"},
    {"bea"},
    {"bea.cli"},
    {"lab"},
    {"studies"},
    {"workflow"},
]
LEVEL = {room: level for level, rooms in enumerate(FLOORS) for room in rooms}
PACKAGES = sorted({room.split(".")[0] for room in LEVEL})
LAZY = ("bea", "bea.attacks", "bea.bounds", "bea.precision")


def read_modules():
    """Name → syntax tree of all modules, packages by their own name."""
    trees = {}
    for path in (path for package in PACKAGES for path in (ROOT / package).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        trees[name] = ast.parse(path.read_text(encoding="utf-8"))
    return trees


MODULES = read_modules()


def homes(tree):
    """Name → module of what a package opens lazily."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", None) == "HOMES":
            found = ast.literal_eval(node.value)
            return {name: module for module, names in found.items() for name in names.split()}
    return {}


def imports(tree):
    """(module, name or None) of every import of ours, also of those within functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            pairs = [(alias.name, None) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "imports are absolute here"
            pairs = [(node.module, alias.name) for alias in node.names]
        else:
            continue
        yield from (pair for pair in pairs if pair[0].split(".")[0] in PACKAGES)


def arrows(name):
    """Return the modules that a module imports; a package stands for all that it opens lazily."""
    found = set(homes(MODULES[name]).values())
    for module, part in imports(MODULES[name]):
        found.add(f"{module}.{part}" if f"{module}.{part}" in MODULES else module)
    return found


def room(module):
    """Return the room of a module: "bea.networks" of "bea.networks.layers"."""
    known = [name for name in LEVEL if module == name or module.startswith(name + ".")]
    assert known, f"{module}: no room of FLOORS"
    return max(known, key=len)


def run(code):
    """What a fresh process prints, as JSON."""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_all_arrows_end_in_modules_that_are_there():
    assert len(MODULES) > 60
    for name in MODULES:
        assert arrows(name) <= MODULES.keys(), name


def test_no_module_imports_itself_by_way_of_others():
    graphlib.TopologicalSorter({name: arrows(name) for name in MODULES}).prepare()  # raises CycleError


def test_no_module_imports_one_of_a_room_above_or_beside():
    wrong = [
        f"{name} imports {other}"
        for name in MODULES
        for other in arrows(name)
        if room(other) != room(name) and LEVEL[room(other)] >= LEVEL[room(name)]
    ]
    assert not wrong, wrong


def names_of(module):
    """Return what can be imported from a module: what it defines, imports or opens lazily."""
    tree, found = MODULES[module], set(homes(MODULES[module]))
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name) | ast.Name(id=name, ctx=ast.Store()):
                found.add(name)
            case ast.Import(names=aliases) | ast.ImportFrom(names=aliases):
                found |= {alias.asname or alias.name for alias in aliases}
    return found | {name.rpartition(".")[2] for name in MODULES if name.rpartition(".")[0] == module}


def sources():
    """Place → code of everything outside the rooms that imports from them."""
    for path in [*ROOT.glob("tests/*.py"), *ROOT.glob("benchmarks/*.py")]:
        yield path.name, path.read_text(encoding="utf-8")
    for path in ROOT.glob("notebooks/*.ipynb"):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        yield from ((f"{path.name}: {c['id']}", "".join(c["source"])) for c in cells if c["cell_type"] == "code")
    for path in ROOT.glob("book/*.md"):
        blocks = re.findall(r"^```python\n(.*?)^```", path.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
        yield from ((path.name, block) for block in blocks)


def test_what_notebooks_pages_tests_and_benchmarks_import_is_there():
    """A name that has moved would be missed only in the middle of a build."""
    seen = 0
    for place, code in sources():
        for module, name in imports(ast.parse(code)):
            seen += 1
            assert module in MODULES, f"{place}: {module}"
            assert name is None or name in names_of(module), f"{place}: {name} of {module}"
    assert seen > 300


def test_the_mathematics_imports_with_numpy_and_scipy_alone():
    """All modules of ``bea`` in a process in which nothing else can be imported, and all names of its packages.

    But for the commands, which need click: ``bea.cli.entry`` says so where it is missing.
    """
    commands = {"bea.cli.commands", "bea.cli.options"}
    modules = sorted(name for name in MODULES if name.split(".")[0] == "bea" and name not in commands)
    code = f"""
import json, sys
from importlib import import_module

class Nothing:
    def find_spec(self, name, path=None, target=None):
        top = name.split(".")[0]
        if not top.startswith("_") and top not in known:
            raise ModuleNotFoundError(name, name=name)

known = {{"bea", "numpy", "scipy", "threadpoolctl", *sys.stdlib_module_names}}
sys.meta_path.insert(0, Nothing())
for name in {modules}:
    import_module(name)
names = {{package: dir(import_module(package)) for package in {LAZY}}}
for package, exported in names.items():
    for name in exported:
        getattr(import_module(package), name)
print(json.dumps(names))
"""
    names = run(code)
    assert all(len(exported) >= 8 for exported in names.values())
    for package, exported in names.items():
        assert exported == sorted(homes(MODULES[package])) == import_module(package).__all__


def test_bea_opens_lazily():
    """``import bea`` alone reads two small files; a name brings what it needs."""
    loaded = "json.dumps(sorted(name for name in sys.modules if name.split('.')[0] in ('bea', 'numpy', 'scipy')))"
    assert run(f"import bea, json, sys; print({loaded})") == ["bea", "bea.lazy"]
    dense = run(f"import json, sys; from bea import Dense; print({loaded})")
    assert "bea.networks.layers" in dense
    assert not any(name.startswith(("bea.attacks", "bea.bounds", "scipy")) for name in dense)


def test_a_name_that_is_not_exported_is_no_attribute():
    with pytest.raises(AttributeError, match=r"'bea'.*'fgsm'"):
        bea.fgsm  # noqa: B018


def test_no_module_bears_the_name_of_what_its_package_exports():
    """Otherwise what ``package.name`` is would depend on what was imported before."""
    exported = {f"{package}.{name}" for package in MODULES for name in homes(MODULES[package])}
    assert len(exported) > 30
    assert not exported & MODULES.keys()


def test_private_names_are_used_in_their_own_module_only():
    wrong = []
    for name, tree in MODULES.items():
        own, used = set(), set()
        for node in ast.walk(tree):
            match node:
                case ast.FunctionDef(name=found) | ast.ClassDef(name=found) | ast.arg(arg=found):
                    own.add(found)
                case ast.Name(id=found, ctx=ast.Store()) | ast.Attribute(attr=found, ctx=ast.Store()):
                    own.add(found)
                case ast.Attribute(attr=found):
                    used.add(found)
                case ast.ImportFrom(names=aliases):
                    used |= {alias.name for alias in aliases}
        private = {found for found in used - own if found.startswith("_") and not found.startswith("__")}
        wrong += [f"{name}: {found}" for found in sorted(private)]
    assert not wrong, wrong


def attacks():
    """Name → function of every public function, in all modules of the room, that returns the result of an attack."""
    import bea.attacks as package

    found = {}
    for part in pkgutil.iter_modules(package.__path__):
        module = import_module(f"{package.__name__}.{part.name}")
        for name, value in inspect.getmembers(module, inspect.isfunction):
            result = inspect.signature(value).return_annotation
            if value.__module__ == module.__name__ and not name.startswith("_") and inspect.isclass(result):
                found |= {name: value} if issubclass(result, InputAttackResult) else {}
    return found


def test_bea_attacks_lists_every_attack_there_is():
    import bea.attacks as package

    assert len(attacks()) >= 14
    assert attacks().keys() <= set(package.__all__)
    results = {inspect.signature(attack).return_annotation.__name__ for attack in attacks().values()}
    assert results <= set(package.__all__)


@pytest.mark.parametrize("name", sorted(attacks()))
def test_attacks_have_one_form(name):
    """``(net, x, label, …, *, target=None, …)``, without a target for those two that are about leaving a class."""
    parameters = inspect.signature(attacks()[name]).parameters
    assert list(parameters)[:3] == ["net", "x", "label"]
    options = [each for each in parameters.values() if each.default is not inspect.Parameter.empty]
    assert options
    assert all(each.kind is inspect.Parameter.KEYWORD_ONLY for each in options)
    if name not in ("smallest_change", "worst_change"):
        assert parameters["target"].default is None
