"""``make bundle``: an archive of an edition, which another machine unpacks, verifies, reads at once and continues from.

It holds the results with the trained networks, the pages and the manifest. ``make unpack FILE=…`` takes it in, in a
clone of the repository, if every file is what the manifest says and no name leads out of the folder; nothing in it is
run. Chapters whose sources or parameters are others here are made again by the next ``make book``.
"""

import argparse
import os
import shutil
import stat
import sys
import time
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from bea.files import replacing
from lab.parameters import EDITIONS
from workflow import manifest
from workflow.build import BUSY, LOCK
from workflow.chapter_zip import MOMENT
from workflow.editions import copy_tree, folder
from workflow.plan import DONE, alone, resolve_data_folder

# What a book is made of: pages with their scripts, notebooks, pictures, numbers, networks. No Python file, no pickle.
KINDS = {
    *("", ".css", ".csv", ".gif", ".html", ".ico", ".inv", ".ipynb", ".js", ".json", ".keras", ".map", ".md", ".npz"),
    *(".mo", ".po", ".png", ".svg", ".ttf", ".txt", ".woff", ".woff2", ".xml", ".zip", ".rst", ".eot", ".bib", ".webp"),
    ".parquet",
}
LARGEST_MANIFEST = 2**25  # bytes


def pack(to: Path, root: Path) -> Path:
    """Write the archive of the edition in a folder, and return where it is; it appears only when it is whole.

    Raises
    ------
    ValueError
        If the edition is not what its manifest says.
    """
    if found := manifest.problems(root):
        raise ValueError("\n".join([*found[:20], f"{len(found)} differences between {root} and its manifest"]))
    said = root / "_build" / manifest.NAME
    _, held = manifest.read(said.read_text(encoding="utf-8"))
    with replacing(to) as partial, zipfile.ZipFile(partial, "w") as archive:
        for name, path in {manifest.NAME: said, **{name: root / name for name in held}}.items():
            archive.writestr(zipfile.ZipInfo(name, MOMENT), path.read_bytes(), zipfile.ZIP_DEFLATED)
    return to


def unpack(file: Path, root: Path) -> tuple[str, list[str]]:
    """Take an archive into the folder of an edition, after checking all of it.

    Returns
    -------
    str
        The edition that it is.
    stale : list of str
        Chapters that are made of something else here.

    Raises
    ------
    ValueError
        For an archive that is damaged, holds anything that its manifest does not name or names otherwise, a name that
        leads out of the folder, a link, or a kind of file that no book has. The folder is then as it was.
    """
    waiting = root / "_build" / "unpacking"
    shutil.rmtree(waiting, ignore_errors=True)
    try:
        with zipfile.ZipFile(file) as archive:
            said, held = _listed(archive)
            for name, entry in held.items():
                (waiting / name).parent.mkdir(parents=True, exist_ok=True)
                with archive.open(name) as member, open(waiting / name, "wb") as out:
                    content = member.read(entry["contentSize"] + 1)
                    out.write(content)
                if len(content) != entry["contentSize"] or manifest.sha256(waiting / name) != entry["sha256"]:
                    raise ValueError(f"{name}: expected the file that the manifest describes, found another")
            (waiting / "_build" / manifest.NAME).write_bytes(archive.read(manifest.NAME))
    except (NotImplementedError, RuntimeError, zipfile.BadZipFile, zlib.error, EOFError, UnicodeDecodeError) as error:
        shutil.rmtree(waiting, ignore_errors=True)
        raise ValueError(f"{file}: expected a bundle, received {type(error).__name__}: {error}") from None
    except BaseException:
        shutil.rmtree(waiting, ignore_errors=True)
        raise
    now = manifest.made_of(said["edition"], root)
    stale = sorted(name for name in now if now[name] != said["madeOf"].get(name))
    for name in stale:
        (waiting / "results" / DONE / name).unlink(missing_ok=True)
    _into_place(waiting, root)
    if not stale:
        (root / "_build" / "book.done").touch()
    return said["edition"], stale


def _listed(archive: zipfile.ZipFile) -> tuple[dict, dict[str, dict]]:
    """Return what the manifest of an archive says, if the archive holds exactly that and every name is harmless."""
    members = {}
    for info in archive.infolist():
        name = info.filename
        if name in members or info.is_dir() or stat.S_ISLNK(info.external_attr >> 16):
            raise ValueError(f"bundle: expected files with names of their own, found {name!r}")
        members[name] = info
    if manifest.NAME not in members or members[manifest.NAME].file_size > LARGEST_MANIFEST:
        raise ValueError(f"bundle: expected {manifest.NAME} of at most {LARGEST_MANIFEST} bytes")
    said, held = manifest.read(archive.read(manifest.NAME).decode("utf-8"))
    if held.keys() ^ (members.keys() - {manifest.NAME}):
        raise ValueError("bundle: expected the files that its manifest names, and no others")
    for name in held:
        path = PurePosixPath(name)
        inside = any(path.is_relative_to(top) and path != PurePosixPath(top) for top in manifest.HELD)
        if not inside or ".." in path.parts or str(path) != name or "\\" in name or "\0" in name:
            raise ValueError(f"bundle: expected names in {' and '.join(manifest.HELD)}, found {name!r}")
        if path.suffix.lower() not in KINDS or members[name].file_size != held[name]["contentSize"]:
            raise ValueError(f"bundle: expected pages, pictures, numbers and networks, found {name!r}")
    return said, held


def _into_place(waiting: Path, root: Path) -> None:
    """Move what was unpacked to where it belongs; all of one age, as nothing is newer than what it was made of."""
    moment = time.time()
    for path in waiting.rglob("*"):
        if path.is_file():
            os.utime(path, (moment, moment))
    for held in manifest.HELD:
        shutil.rmtree(root / held, ignore_errors=True)
        (root / held).parent.mkdir(parents=True, exist_ok=True)
        os.replace(waiting / held, root / held)
    os.replace(waiting / "_build" / manifest.NAME, root / "_build" / manifest.NAME)
    shutil.rmtree(waiting)


def main() -> None:
    """Pack the edition, or unpack a file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--edition", default="full", choices=EDITIONS)
    parser.add_argument("--unpack", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    resolve_data_folder()
    root = folder(arguments.edition)
    try:
        if not arguments.unpack:
            found = pack(root / "_build" / f"bundle-{arguments.edition}.zip", root)
            print(f"{found.resolve()}, {found.stat().st_size / 2**20:.0f} MB")
            return
        if arguments.edition != "full":
            copy_tree(root)
        with alone(root / LOCK, BUSY):
            edition, stale = unpack(arguments.unpack, root)
        if edition != arguments.edition:
            print(f"this is the edition {edition}, taken in as {arguments.edition}", file=sys.stderr)
        print(f"Open this page in a browser:\n  {(root / '_build/html/index.html').resolve()}")
        print(
            f"`make book` makes these again: {', '.join(stale)}" if stale else "`make book` has nothing to make again"
        )
    except (OSError, ValueError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
