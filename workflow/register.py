"""The register of rules: which have changed since their last line, and how a line is added.

``python -m workflow.register`` names the claims whose rule is not the one of their last line in ``book/register.yml``.
``python -m workflow.register --claim B13 --change "what and why" --seen`` (or ``--unseen``) adds a line with the
fingerprint of the rule that runs; ``--lines FILE`` adds those of a YAML file, claim → list of {date, seen, change}.
A fingerprint is never renewed without a line, and no line is added to a rule that has not changed.
"""

import argparse
import datetime
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import yaml

from bea.files import write_text
from lab.claims import load_claims
from lab.parameters import ROOT
from lab.register import checked, fingerprint, load_register, module_of, unregistered

CLAIMS = "book/claims.yml"
REGISTER = "book/register.yml"
ORDER = ("date", "commit", "seen", "change", "fingerprint")


def with_lines(register: Mapping, claim: str, lines: list[dict], own: str) -> dict:
    """Return a register with more lines of a claim, the last of them with the fingerprint ``own``.

    Raises
    ------
    ValueError
        For a rule that has not changed since its last line, for no lines, and for lines that ``checked`` refuses.
    """
    before = register.get(claim, [])
    if before and before[-1].get("fingerprint") == own:
        raise ValueError(f"{claim}: expected a changed rule, received the one of its last line")
    if not lines:
        raise ValueError(f"{claim}: expected at least one line, received none")
    return checked({**register, claim: [*before, *lines[:-1], lines[-1] | {"fingerprint": own}]})


def written(register: Mapping, old: str, claims: Mapping) -> str:
    """Return a register as text: the comments at the head of the old text, then claims in the order of ``claims``."""
    head = "".join(line for line in old.splitlines(keepends=True) if line.startswith("#"))
    lines = {
        claim: [{key: line[key] for key in ORDER if key in line} for line in register[claim]]
        for claim in claims
        if claim in register
    }
    return head + yaml.safe_dump(lines, sort_keys=False, allow_unicode=True, width=110)


def brought_by(claim: str, own: str, root: Path = ROOT) -> str | None:
    """Return the commit since which the rule of a claim has had the fingerprint ``own``; None if not committed yet."""
    found, module = None, module_of(load_claims(root / CLAIMS)[claim]["rule"])
    for commit in _git(root, "log", "--format=%h", "--", CLAIMS, str(module)).split():
        then = _claims_at(commit, root)
        try:
            source = _git(root, "show", f"{commit}:{module_of(then[claim]['rule']).as_posix()}")
            if fingerprint(then[claim], source) != own:
                break
        except (LookupError, ValueError, subprocess.CalledProcessError):  # there was no such rule then
            break
        found = commit
    return found


def main() -> None:
    """Add what the command line asks for, or name what lacks a line."""
    parser = argparse.ArgumentParser(prog="python -m workflow.register", description=__doc__.splitlines()[0])
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--claim", help="whose rule has changed")
    what.add_argument("--lines", metavar="FILE", help="YAML, claim → list of {date, seen, change}")
    parser.add_argument("--change", help="what has changed and why, in a sentence")
    seen = parser.add_mutually_exclusive_group()
    seen.add_argument("--seen", action="store_true", default=None, help="its numbers had been seen")
    seen.add_argument("--unseen", action="store_false", dest="seen", default=None, help="they had not")
    given = parser.parse_args()
    if (given.claim is None) != (given.change is None) or (given.claim is None) != (given.seen is None):
        parser.error("expected --claim, --change and one of --seen and --unseen together")
    wanted = {}
    if given.claim:
        today = datetime.datetime.now(datetime.UTC).date()
        wanted = {given.claim: [{"date": today, "seen": given.seen, "change": given.change}]}
    elif given.lines:
        wanted = yaml.safe_load(Path(given.lines).read_text(encoding="utf-8"))
    sys.exit(1 if add(wanted) else 0)


def add(wanted: Mapping[str, list[dict]], root: Path = ROOT) -> list[str]:
    """Add the wanted lines to the register and say so; return what could not be added or still lacks a line."""
    path, claims = root / REGISTER, load_claims(root / CLAIMS)
    old = path.read_text(encoding="utf-8")
    register, complaints = load_register(path), []
    lacking = unregistered(claims, register, root)
    for claim, lines in wanted.items():
        try:
            if "rule" not in claims.get(claim, {}):
                raise ValueError(f"{claim}: expected a claim with a rule")
            own = lacking.get(claim) or register[claim][-1]["fingerprint"]
            commit = brought_by(claim, own, root)
            named = [{"commit": commit} | line if commit else line for line in lines]
            register = with_lines(register, claim, named, own)
            print(f"{claim}: added, fingerprint {own}")
        except ValueError as error:
            complaints.append(str(error))
    if wanted:
        write_text(path, written(register, old, claims))
    complaints += [
        f"{claim}: its rule is not the one of its last line" for claim in unregistered(claims, register, root)
    ]
    print("\n".join(complaints) or "every rule is the one of its last line")
    return complaints


@cache
def _claims_at(commit: str, root: Path) -> dict[str, dict]:
    return {entry["id"]: entry for entry in yaml.safe_load(_git(root, "show", f"{commit}:{CLAIMS}"))}


def _git(root: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    main()
