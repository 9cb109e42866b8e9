"""An edition can be checked, packed, and taken in elsewhere; nothing else gets in that way."""

import hashlib
import json
import shutil
import stat
import zipfile

import pytest

from workflow import bundle, manifest
from workflow.small_book import run, small_book


def made(tree):
    """Return a small tree with an edition that looks as if it had been made."""
    root = small_book(tree)
    for name, text in {
        "results/dataset.json": '{"name": "digits", "note": "digits", "edition": "smoke"}',
        "results/first.json": "{}",
        "results/.done/first": "",
        "results/.running/first/half": "half-made",
        "results/networks/toy-0.npz": "numbers",
        "_build/html/index.html": "<p>page</p>",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    manifest.write("smoke", root)
    return root


@pytest.fixture
def edition(tmp_path):
    """An edition to be changed."""
    return made(tmp_path / "tree")


@pytest.fixture
def elsewhere(tmp_path):
    """Another clone, with nothing made."""
    return small_book(tmp_path / "elsewhere")


@pytest.fixture(scope="module")
def untouched(tmp_path_factory):
    """An edition, and another clone that nothing must get into."""
    folder = tmp_path_factory.mktemp("bundles")
    return made(folder / "tree"), small_book(folder / "elsewhere")


def test_an_edition_is_what_was_made(edition):
    """Whatever is changed, lost, new, of other versions or of other sources is named."""
    assert manifest.problems(edition) == []
    (edition / "results/networks/toy-0.npz").write_text("numbess")
    (edition / "results/first.json").unlink()
    (edition / "_build/html/new.html").touch()
    with open(edition / "params.yml", "a") as file:
        file.write("  seed: {type: int, least: 0, full: 0, smoke: 0, meaning: new}\n")
    with open(edition / "lab/rules/toy.py", "a") as file:
        file.write("# more\n")
    path = edition / "_build" / manifest.NAME
    path.write_text(
        path.read_text()
        .replace('"name": "numpy",\n   "version": "', '"name": "numpy",\n   "version": "0.')
        .replace('"name": "scipy"', '"name": "no-such-package"')
    )
    found = manifest.problems(edition)
    assert [line.partition(": made with")[0] for line in found] == [
        "results/first.json: missing",
        "_build/html/new.html: not in the manifest",
        "results/networks/toy-0.npz: changed",
        "numpy",
        "no-such-package",
        "first: made of other sources or parameters than are here",
        "second: made of other sources or parameters than are here",
    ]


def test_a_manifest_is_a_crate(edition):
    """JSON-LD with a descriptor, a root that has all parts, and each part's hash; the half-made are no part."""
    graph = json.loads((edition / "_build" / manifest.NAME).read_text())["@graph"]
    entities = {entry["@id"]: entry for entry in graph}
    assert len(entities) == len(graph)
    assert entities[manifest.NAME]["about"] == {"@id": "./"}
    parts = {part["@id"] for part in entities["./"]["hasPart"]}
    assert parts == {name for name, entry in entities.items() if entry["@type"] == "File"}
    assert parts == {
        *("results/dataset.json", "results/first.json", "results/.done/first", "results/networks/toy-0.npz"),
        "_build/html/index.html",
    }
    assert all(mention["@id"] in entities for mention in entities["./"]["mentions"])


def test_what_is_packed_comes_out(edition, elsewhere):
    """Byte by byte, and the same archive each time; what was there before is replaced."""
    packed = bundle.pack(edition / "bundle.zip", edition)
    first = packed.read_bytes()
    assert bundle.pack(edition / "bundle.zip", edition).read_bytes() == first
    (elsewhere / "results").mkdir()
    (elsewhere / "results/old.json").touch()
    assert bundle.unpack(packed, elsewhere) == ("smoke", [])
    assert manifest.problems(elsewhere) == []
    assert (elsewhere / "results/.done/first").is_file()
    assert (elsewhere / "_build/book.done").is_file()
    assert not (elsewhere / "_build/unpacking").exists()


def test_chapters_that_are_others_there_are_made_again(edition, elsewhere):
    """They lose the record of a good run; their pages can be read until then."""
    with open(elsewhere / "lab/rules/toy.py", "a") as file:
        file.write("# more\n")
    assert bundle.unpack(bundle.pack(edition / "bundle.zip", edition), elsewhere) == ("smoke", ["first", "second"])
    assert not (elsewhere / "results/.done/first").exists()
    assert not (elsewhere / "_build/book.done").exists()
    assert (elsewhere / "_build/html/index.html").is_file()


def test_an_edition_that_was_changed_is_not_packed(edition):
    """Else its manifest would be wrong from the start."""
    (edition / "results/first.json").write_text("[]")
    with pytest.raises(ValueError, match=r"results/first.json: changed\n1 differences"):
        bundle.pack(edition / "bundle.zip", edition)


def hostile(edition, name=None, content=b"x", link=False, twice=False, manifest_of=None):
    """Return an archive like a good one, but for a file more; the manifest names it as well."""
    packed, bad = bundle.pack(edition / "bundle.zip", edition), edition / "bad.zip"
    with zipfile.ZipFile(packed) as old, zipfile.ZipFile(bad, "w") as new:
        said = json.loads(old.read(manifest.NAME))
        if name:
            digest = hashlib.sha256(content).hexdigest()
            said["@graph"].append({"@id": name, "@type": "File", "contentSize": len(content), "sha256": digest})
        said = manifest_of(said) if manifest_of else said
        new.writestr(manifest.NAME, json.dumps(said))
        for info in old.infolist()[1:]:
            new.writestr(info, old.read(info))
        for _ in range(1 + twice if name else 0):
            info = zipfile.ZipInfo(name)
            info.external_attr = (stat.S_IFLNK | 0o777) << 16 if link else 0
            new.writestr(info, content)
    return bad


def without_versions(said):
    """A manifest that names packages alone."""
    return {"@graph": [{key: value for key, value in entry.items() if key != "version"} for entry in said["@graph"]]}


@pytest.mark.parametrize(
    "name",
    [
        *("../outside.json", "results/../../outside.json", "/tmp/outside.json", "results/../_build/html/x.html"),
        *("workflow/build.py", "Makefile", "results/a.py", "results/a.pkl", "results", "results//a.json"),
        *("results/./a.json", "results\\a.json", "_build/make.lock", "results/a.json/"),
    ],
)
def test_no_name_leads_out_of_the_folder(untouched, name):
    """And no program comes in; the folder stays as it was."""
    edition, elsewhere = untouched
    before = sorted(elsewhere.rglob("*"))
    with pytest.raises(ValueError, match="bundle: expected"):
        bundle.unpack(hostile(edition, name), elsewhere)
    assert [path for path in sorted(elsewhere.rglob("*")) if path.name != "_build"] == before
    assert not (elsewhere.parent / "outside.json").exists()


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "results/a.json", "link": True}, "expected files with names of their own"),
        ({"name": "results/a.json", "twice": True}, "expected files with names of their own"),
        ({"manifest_of": lambda said: said | {"@graph": said["@graph"][:-1]}}, "the files that its manifest names"),
        ({"manifest_of": lambda said: []}, "manifest: expected an RO-Crate"),
        ({"manifest_of": lambda said: {"@graph": [{"@id": "./"}]}}, "manifest: expected an RO-Crate"),
        ({"manifest_of": without_versions}, "manifest: expected an RO-Crate"),
        ({"manifest_of": lambda said: json.loads(json.dumps(said).replace('"smoke"', '"../x"'))}, "edition: expected"),
    ],
)
def test_an_archive_that_is_not_what_it_says_is_refused(untouched, change, message):
    """Before anything is moved into place."""
    edition, elsewhere = untouched
    with pytest.raises(ValueError, match=message):
        bundle.unpack(hostile(edition, **change), elsewhere)
    assert not (elsewhere / "results").exists()


def test_a_damaged_archive_is_refused(untouched):
    """Wherever it was cut, and whichever byte is another."""
    edition, elsewhere = untouched
    good = bundle.pack(edition / "bundle.zip", edition).read_bytes()
    bad = edition / "bad.zip"
    for place in range(0, len(good), max(1, len(good) // 60)):
        for content in (good[:place], good[:place] + bytes([good[place] ^ 0x41]) + good[place + 1 :]):
            bad.write_bytes(content)
            try:
                bundle.unpack(bad, elsewhere)
            except ValueError:
                assert not (elsewhere / "results").exists()
            else:  # a byte that no reader looks at, such as a date
                assert manifest.problems(elsewhere) == []
                shutil.rmtree(elsewhere / "results")


def test_the_command_says_what_it_did(edition, elsewhere):
    """In a line each; a file that is not there is no traceback."""
    packed = bundle.pack(edition / "bundle.zip", edition)
    result = run(elsewhere, "workflow.bundle", "--unpack", "no-such.zip")
    assert (result.returncode, result.stderr.count("\n")) == (1, 1)
    result = run(elsewhere, "workflow.bundle", "--unpack", str(packed))
    assert result.returncode == 0, result.stderr
    assert str(elsewhere / "_build/html/index.html") in result.stdout
    assert "this is the edition smoke, taken in as full" in result.stderr
