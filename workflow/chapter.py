"""``make chapter NAME=15_table_2 P="margin=1e-3 starts=5"``: make one chapter and what it needs, and print its page.

With other parameters, its results go to ``_build/chapters/NAME`` and leave those of the book alone.
"""

import argparse
import re
import subprocess
import sys
from pathlib import Path

from lab.parameters import checked, declared, parse
from lab.subject import FILES, check_files
from workflow.build import alone, build, command_line, ended_with, interruptible
from workflow.dependencies import all_needs
from workflow.render import render_alone

FOLDER = Path("_build/chapters")
CHANGE = re.compile(r"\s*(\w+)=(.*?)(?=\s+\w+=|\s*$)")


def changes_in(text: str) -> dict[str, str]:
    """Return name → value as YAML, from NAME=VALUE NAME=VALUE.

    Raises
    ------
    ValueError
        For any other text.
    """
    if re.sub(CHANGE, "", text).strip():
        raise ValueError(f"P: expected NAME=VALUE, one or more, received {text!r}")
    return dict(CHANGE.findall(text))


def make(name: str, changes: dict[str, str], edition: str, cores: int) -> int:
    """Make the chapter, print where its page is, and return the exit status."""
    needs = all_needs()
    if name not in needs:
        raise ValueError(f"NAME: expected one of {', '.join(needs)}, received {name!r}")
    given = checked(name, {key: parse(value, f"{name}: parameter {key!r}") for key, value in changes.items()})
    if "model" in declared(name):
        check_files(*(given.get(key, "") for key in FILES))
    before = () if changes.get("model") else needs[name].chapters if changes else (name,)  # one brought needs none
    with alone() as lock:
        code = build(edition, cores, lock, before) if before else 0
        made = Path("results")
        if changes and code == 0:
            made = FOLDER / name / "made"
            command = [sys.executable, "-m", "workflow.execute", name, "--edition", edition, "--to", str(made)]
            command += [part for key, value in changes.items() for part in ("-p", key, value)]
            with subprocess.Popen(command, start_new_session=True) as process, ended_with(process):
                code = process.wait()
        if code == 0:
            (FOLDER / name).mkdir(parents=True, exist_ok=True)
            page = render_alone(name, made, FOLDER / name, None if changes.get("model") else Path("results"))
            print(f"Open this page in a browser:\n  {page.resolve()}")
    return code


def main() -> None:
    """Read the command line and make."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name")
    parser.add_argument("changes", nargs="*", metavar="NAME=VALUE")
    arguments = command_line(parser, "workflow.chapter")
    try:
        sys.exit(make(arguments.name, changes_in(" ".join(arguments.changes)), arguments.edition, arguments.cores))
    except (OSError, RuntimeError, TypeError, ValueError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    interruptible(main)
