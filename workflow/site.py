"""``make site``: one zip of the rendered book, to be opened offline; ``make students``: one without solutions."""

import argparse
import sys
import zipfile
from pathlib import Path

import yaml

from bea.files import replacing
from workflow.editions import folder
from workflow.render import problems_of, render

NAME = "how-little-must-change"  # of the zips, and of the folder in them
STUDENTS = Path("_build/students")


def packed(site: Path, to: Path, name: str = NAME) -> Path:
    """Put every file of a rendered book into the zip ``to``, in a folder of this name, and return ``to``.

    The zip appears only when it is whole.
    """
    with replacing(to) as partial, zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(site.rglob("*")):
            if path.is_file():
                archive.write(path, f"{name}/{path.relative_to(site).as_posix()}")
    return to


def without_solutions(book: Path) -> Path:
    """Render a book once more for students, into a folder of its own: the solutions are left out.

    Parameters
    ----------
    book : Path
        Folder with ``_config.yml`` and ``results``.

    Returns
    -------
    Path
        Of the rendered pages.
    """
    output = (book / STUDENTS).resolve()
    output.mkdir(parents=True, exist_ok=True)
    settings = yaml.safe_load((book / "_config.yml").read_text(encoding="utf-8"))
    settings["sphinx"]["config"]["hide_solutions"] = True
    local = settings["sphinx"]["local_extensions"]  # paths that count from the file of settings, which is elsewhere now
    settings["sphinx"]["local_extensions"] = {name: str((book / path).resolve()) for name, path in local.items()}
    config = output / "_config.yml"
    config.write_text(yaml.safe_dump(settings), encoding="utf-8")
    options = ("--path-output", str(output), "--config", str(config), "-W", "-n", "--keep-going")
    code, log = render(book, *options, log=output / "render.log")
    if code:
        sys.exit(problems_of(log))
    return output / "_build" / "html"


def main() -> None:
    """Pack the book of an edition, and print where the zip is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--edition", default="full")
    parser.add_argument("--students", action="store_true", help="without the solutions")
    arguments = parser.parse_args()
    book = folder(arguments.edition)
    site, name = book / "_build" / "html", NAME
    if arguments.students:
        site, name = without_solutions(book), f"{NAME}-students"
    print(f"Unpack this and open index.html:\n  {packed(site, book / '_build' / f'{name}.zip', name).resolve()}")


if __name__ == "__main__":
    main()
