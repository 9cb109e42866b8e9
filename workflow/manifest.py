"""``make verify``: does an edition still hold what was made? Its manifest lists every file with its hash.

The manifest is an RO-Crate (JSON-LD): the files of ``results`` and of the pages, the dataset, the packages, the commit,
and for each chapter a digest of all that it was made of. A build writes it when all is made.
"""

import argparse
import hashlib
import importlib.metadata
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from bea.files import write_text
from lab import datasets
from lab.memory import PACKAGES
from lab.parameters import EDITIONS, values
from workflow.dependencies import all_needs
from workflow.editions import folder
from workflow.plan import commit, resolve_data_folder

NAME = "ro-crate-metadata.json"
HELD = ("results", "_build/html")  # folders of an edition
LEFT_OUT = (".running", ".buildinfo")
CONTEXT = "https://w3id.org/ro/crate/1.1/context"


def files_of(root: Path) -> Iterator[Path]:
    """Yield the files that belong to an edition, relative to its folder, in alphabetical order."""
    for held in HELD:
        for path in sorted((root / held).rglob("*")):
            if path.is_file() and not set(LEFT_OUT).intersection(path.relative_to(root).parts):
                yield path.relative_to(root)


def sha256(path: Path) -> str:
    """Return the hash of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def made_of(edition: str, root: Path = Path()) -> dict[str, str]:
    """Return chapter → digest of what it is made of: notebook, sources, parameters, and rules of its claims."""
    found = {}
    for name, needs in all_needs(root).items():
        parts = [sha256(root / file) for file in (f"notebooks/{name}.ipynb", *needs.files)]
        text = json.dumps([parts, values(name, edition, root), needs.claims], sort_keys=True)
        found[name] = hashlib.sha256(text.encode()).hexdigest()
    return found


def manifest(edition: str, root: Path = Path()) -> dict:
    """Return the manifest of the edition in a folder."""
    decided = json.loads((root / "results" / "dataset.json").read_text(encoding="utf-8"))
    data = datasets.locate(decided["name"])
    files = []
    for path in files_of(root):
        size = (root / path).stat().st_size
        files.append({"@id": path.as_posix(), "@type": "File", "contentSize": size, "sha256": sha256(root / path)})
    packages = [
        {"@id": f"#{name}", "@type": "SoftwareApplication", "name": name, "version": importlib.metadata.version(name)}
        for name in PACKAGES
    ]
    dataset = {"@id": "#dataset", "@type": "Dataset", "name": decided["name"], "description": decided["note"]}
    dataset |= {"sha256": sha256(data)} if data else {}
    return {
        "@context": CONTEXT,
        "@graph": [
            {"@id": NAME, "@type": "CreativeWork", "about": {"@id": "./"}, "conformsTo": {"@id": CONTEXT[:-8]}},
            {
                "@id": "./",
                "@type": "Dataset",
                "name": f"Backward error and adversarial examples, edition {edition}",
                "version": commit(),
                "hasPart": [{"@id": file["@id"]} for file in files],
                "mentions": [{"@id": other["@id"]} for other in (dataset, *packages)],
                "edition": edition,
                "madeOf": made_of(edition, root),
            },
            dataset,
            *packages,
            *files,
        ],
    }


def write(edition: str, root: Path = Path()) -> Path:
    """Write the manifest of the edition in a folder, and return where it is."""
    path = root / "_build" / NAME
    write_text(path, json.dumps(manifest(edition, root), indent=1, ensure_ascii=False))
    return path


def read(text: str) -> tuple[dict, dict[str, dict]]:
    """Return the root entity of a manifest, and file → its entry.

    Raises
    ------
    ValueError
        For a text that is no manifest of ours.
    """
    try:
        entries = json.loads(text)["@graph"]
        (root,) = [entry for entry in entries if entry["@id"] == "./"]
        files = [entry for entry in entries if entry["@type"] == "File"]
        held = {entry["@id"]: entry for entry in files}
        sizes = all(type(e["contentSize"]) is int and e["contentSize"] >= 0 and len(e["sha256"]) == 64 for e in files)
        words = isinstance(root["edition"], str) and isinstance(root["madeOf"], dict)
        names = [*held, *_versions(entries), *_versions(entries).values()]
        if len(held) < len(files) or not (sizes and words and all(isinstance(name, str) for name in names)):
            raise ValueError("an entry is not what it should be")
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
        raise ValueError(
            f"manifest: expected an RO-Crate of this book, received {type(error).__name__}: {error}"
        ) from None
    return root, held


def _versions(entries: list[dict]) -> dict[str, str]:
    """Return package → version with which an edition was made."""
    return {entry["name"]: entry["version"] for entry in entries if entry["@type"] == "SoftwareApplication"}


def _installed(name: str) -> str:
    """Return the version of a package that is here, or "none"."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "none"


def problems(root: Path) -> list[str]:
    """Return a line for everything in which an edition differs from its manifest.

    Raises
    ------
    ValueError
        For a manifest that is none of ours.
    """
    path = root / "_build" / NAME
    if not path.is_file():
        return [f"{path}: expected the manifest that a build writes, found none"]
    text = path.read_text(encoding="utf-8")
    said, held = read(text)
    there = {path.as_posix() for path in files_of(root)}
    found = [f"{name}: missing" for name in sorted(held.keys() - there)]
    found += [f"{name}: not in the manifest" for name in sorted(there - held.keys())]
    found += [f"{name}: changed" for name in sorted(there & held.keys()) if sha256(root / name) != held[name]["sha256"]]
    for name, version in _versions(json.loads(text)["@graph"]).items():
        if (now := _installed(name)) != version:
            found.append(f"{name}: made with {version}, here is {now}")
    now = made_of(said["edition"], root)
    stale = sorted(name for name in now.keys() | said["madeOf"].keys() if now.get(name) != said["madeOf"].get(name))
    return found + [f"{name}: made of other sources or parameters than are here" for name in stale]


def main() -> None:
    """Check an edition, and say what is not as it was."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--edition", default="full", choices=EDITIONS)
    root = folder(parser.parse_args().edition)
    resolve_data_folder()
    try:
        found = problems(root)
    except (OSError, ValueError) as error:
        sys.exit(str(error))
    if found:
        sys.exit("\n".join([*found[:40], f"{len(found)} differences between {root} and its manifest"]))
    print(f"all of {root / 'results'} and its pages is what was made")


if __name__ == "__main__":
    main()
