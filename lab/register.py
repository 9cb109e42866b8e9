"""When each rule was written and changed, and whether its numbers had been seen: ``book/register.yml``.

The last line of a claim bears the fingerprint of the rule that runs, so that a changed rule without a line is noticed.
"""

import ast
import datetime
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import yaml

from lab.parameters import ROOT

FILE = ROOT / "book" / "register.yml"
KINDS = {"date": datetime.date, "seen": bool, "change": str}  # what every line has
REPORT = ("ours", "because")  # of an Outcome: what it tells, which decides nothing
UNTOLD = {"annotation", "returns", "ctx", "kind", "type_comment", "type_params"}  # fields of a syntax tree


def load_register(path=FILE) -> dict[str, list[dict]]:
    """Return claim → its lines, oldest first; ``checked``."""
    return checked(yaml.safe_load(Path(path).read_text(encoding="utf-8")))


def checked(register: dict[str, list[dict]]) -> dict[str, list[dict]]:
    """Return a register; a line that lacks something, or is out of order, raises ValueError."""
    for claim, lines in register.items():
        for line in lines:
            if not set(KINDS) <= set(line) <= {*KINDS, "commit", "fingerprint"}:
                raise ValueError(f"{claim}: expected {', '.join(KINDS)} and perhaps commit, received {sorted(line)}")
            for key, kind in KINDS.items():
                if type(line[key]) is not kind or line[key] == "":
                    raise ValueError(f"{claim}: expected {key} as {kind.__name__}, received {line[key]!r}")
        dates = [line["date"] for line in lines]
        if not lines or dates != sorted(dates):
            raise ValueError(f"{claim}: expected lines in the order of their dates, received {list(map(str, dates))}")
    return register


def fingerprint(claim: Mapping, source: str) -> str:
    """Return a digest of what decides a claim: thresholds, and the function with its words and its helpers.

    Parameters
    ----------
    claim : mapping
        Its entry in ``claims.yml``: of it count ``rule`` and the mark ``by_definition``.
    source : str
        Text of the module in which its function stands. Of it count the function and what it uses of this module;
        white space, comments, type hints, and the words in which an outcome is told, with what is computed for them
        alone, do not.
    """
    rule, defined = claim["rule"], {}
    for node in ast.parse(source).body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", node)]
        for target in targets:
            if name := getattr(target, "name", getattr(target, "id", None)):
                defined[name] = node
    name = rule["function"].partition(".")[2]
    if name not in defined:
        raise ValueError(f"rule: expected a function of its module, received {rule['function']!r}")
    found, waiting = {}, [name]
    while waiting:
        if (name := waiting.pop()) in defined and name not in found:
            names = set()
            found[name] = _told(defined[name], names)
            waiting += names
    parts = [dict(rule), *(found[name] for name in sorted(found))]
    if claim.get("by_definition"):
        parts.append("by definition")
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=repr).encode()).hexdigest()[:12]


def rule_source(rule: Mapping, root: Path = ROOT) -> str:
    """Return the text of the module in which the function of a rule stands."""
    return (root / module_of(rule)).read_text(encoding="utf-8")


def module_of(rule: Mapping) -> Path:
    """Return the file in which the function of a rule stands, from the root of the tree."""
    return Path("lab", "rules", rule["function"].partition(".")[0]).with_suffix(".py")


def unregistered(claims: Mapping[str, dict], register: Mapping[str, list], root: Path = ROOT) -> dict[str, str]:
    """Return claim → fingerprint of every rule that is not the one of its last line."""
    prints = {name: fingerprint(c, rule_source(c["rule"], root)) for name, c in claims.items() if "rule" in c}
    return {name: own for name, own in prints.items() if register.get(name, [{}])[-1].get("fingerprint") != own}


def changed_in_view(register: Mapping[str, list[dict]]) -> int:
    """Return of how many claims the rule was changed after its numbers had been seen."""
    return sum(any(line["seen"] for line in lines[1:]) for lines in register.values())


def history(lines: list[dict]) -> str:
    """Return the lines of a claim as a list in Markdown: when, whether seen, what."""
    items = []
    for line in lines:
        when = f"{line['date'].day} {line['date']:%B %Y}, {'after' if line['seen'] else 'before'} its numbers were seen"
        commit = f" (commit {line['commit']})" if "commit" in line else ""
        items.append(f"- {when}: {line['change']}{commit}")
    return "\n".join(items)


def _told(node, names: set):
    """Return a piece of a syntax tree as lists that no version of Python writes otherwise; collect its names."""
    if isinstance(node, list):
        return [_told(part, names) for part in node]
    if not isinstance(node, ast.AST):
        return node
    if isinstance(node, ast.Name):
        names.add(node.id)
    fields = dict(ast.iter_fields(node))
    if isinstance(node, ast.Call) and getattr(node.func, "id", None) == "Outcome":
        fields["args"] = [node.args[i] for i in (0, 2) if i < len(node.args)]  # verdict and label
        fields["keywords"] = [own for own in node.keywords if own.arg not in REPORT]
    if isinstance(node, ast.FunctionDef | ast.ClassDef) and (words := ast.get_docstring(node)):
        fields["body"] = [" ".join(words.split()), *_deciding(node.body[1:])]
    kept = {key: value for key, value in fields.items() if value not in (None, []) and key not in UNTOLD}
    return [type(node).__name__, {key: _told(value, names) for key, value in kept.items()}]


def _deciding(body: list) -> list:
    """Return the statements of a function without assignments of what only serves to tell."""
    kept = [statement for statement in body if not isinstance(statement, ast.Assign)]
    while True:
        read = _names(kept)
        more = [s for s in body if not isinstance(s, ast.Assign) or _names(s.targets) & read]
        if len(more) == len(kept):
            return kept
        kept = more


def _names(nodes: list) -> set[str]:
    """Return the names in some pieces of a syntax tree."""
    names = set()
    _told(nodes, names)
    return names
