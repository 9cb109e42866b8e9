"""Find the functions of a JavaScript file and their lengths, without a parser of the whole language."""

import re
from collections.abc import Iterator

# What cannot open or close a function: comments, strings, regular expressions (where a value may begin).
TOKEN = re.compile(
    r"""(?P<space>\s+|//[^\n]*|/\*.*?\*/)
    |(?P<string>"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')
    |(?P<word>[\w$]+)
    |(?P<arrow>=>)
    |(?P<mark>.)""",
    re.DOTALL | re.VERBOSE,
)
EXPRESSION = re.compile(r"/(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\\[\n])+/[a-z]*")
STATEMENTS = {"if", "for", "while", "switch", "catch", "with"}  # before (…) {…} that is no function
BEFORE_VALUE = {
    "return",
    "typeof",
    "case",
    "in",
    "of",
    "else",
    "do",
    "void",
    "delete",
    "new",
    "throw",
    "await",
    "yield",
}
PAIRS = {"(": ")", "[": "]", "{": "}"}


def tokens(text: str) -> list[tuple[str, int]]:
    """Return words, marks, and `""` for each literal, with their positions; `${…}` in a template counts as code."""
    found, at, templates = [], 0, []  # templates: for each that is open, how deep braces are in its present `${`
    while at < len(text):
        if text[at] == "`" or (templates and text[at] == "}" and templates[-1] == 0):
            if text[at] == "}":
                templates.pop()
                found.append((")", at))
            end = re.compile(r"(?:\\.|\$(?!\{)|[^`\\$])*", re.DOTALL).match(text, at + 1).end()
            found.append(('""', at))
            if text[end : end + 2] == "${":
                templates.append(0)
                found.append(("(", end))
                end += 1
            at = end + 1
            continue
        last = found[-1][0] if found else ""
        value_ends = last in {")", "]", "}", '""'} or (re.fullmatch(r"[\w$]+", last) and last not in BEFORE_VALUE)
        if text[at] == "/" and not text.startswith(("//", "/*"), at) and not value_ends:
            found.append(('""', at))
            at = EXPRESSION.match(text, at).end()
            continue
        match = TOKEN.match(text, at)
        if match.lastgroup == "string":
            found.append(('""', at))
        elif match.lastgroup != "space":
            found.append((match[0], at))
        if templates and match[0] in "{}":
            templates[-1] += 1 if match[0] == "{" else -1
        at = match.end()
    if templates:
        raise ValueError(f"text: expected every `${{` to be closed, {len(templates)} are open at the end")
    return found


def partners(found: list[tuple[str, int]]) -> dict[int, int]:
    """Return for the place of every bracket in the list that of the one that closes or opens it."""
    pairs, waiting = {}, []
    for i, (token, at) in enumerate(found):
        if token in PAIRS:
            waiting.append(i)
        elif token in PAIRS.values():
            if not waiting or PAIRS[found[waiting[-1]][0]] != token:
                raise ValueError(f"text: expected brackets in pairs, received {token!r} at character {at}")
            start = waiting.pop()
            pairs[start], pairs[i] = i, start
    if waiting:
        raise ValueError(f"text: expected brackets in pairs, {found[waiting[-1]][0]!r} is never closed")
    return pairs


def functions(text: str) -> Iterator[tuple[str, int, int]]:
    """Yield name (or ""), first line and number of lines of every function, method and arrow function."""
    found = tokens(text)
    pairs = partners(found)
    line = lambda i: text.count("\n", 0, found[i][1]) + 1  # noqa: E731
    word = lambda i: found[i][0] if i >= 0 and re.fullmatch(r"[\w$]+", found[i][0]) else ""  # noqa: E731
    for i, (token, _) in enumerate(found):
        if token == "=>":
            start = pairs[i - 1] if found[i - 1][0] == ")" else i - 1
            end = pairs[i + 1] if found[i + 1][0] == "{" else _end_of_expression(found, pairs, i + 1)
            name = word(start - 2) if found[start - 1][0] in {"=", ":"} else ""
        elif token == "{" and i and found[i - 1][0] == ")" and word(pairs[i - 1] - 1) not in {"", *STATEMENTS}:
            start, end = pairs[i - 1] - 1, pairs[i]
            name = "" if word(start) == "function" else word(start)
        else:
            continue
        yield name, line(start), line(end) - line(start) + 1


def _end_of_expression(found: list[tuple[str, int]], pairs: dict[int, int], i: int) -> int:
    """Return the last token of the expression that begins at i: before a comma, semicolon or closing bracket."""
    while i < len(found) and found[i][0] not in {",", ";", *PAIRS.values()}:
        i = pairs.get(i, i) + 1
    return i - 1
