"""How numbers are written in prose and tables."""

import re
from collections.abc import Mapping
from statistics import median

from tabulate import tabulate

SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def signed(text: str) -> str:
    """Return a text whose negative numbers have a minus sign, −3, where they had a hyphen."""
    return re.sub(r"(?<![\w.\-–])-(?=\d)", "−", text)


def literal(text: str) -> str:
    """Return a text for Markdown in which nothing is markup, such as the name of a file that a reader brings."""
    return re.sub(r"([\\`*_{}\[\]<>|$~&^])", r"\\\1", " ".join(text.split()))


def tidy(value, form=".0e") -> str:
    """Return a number formatted by ``form``, its sign and exponent written as on paper: −3·10⁻⁷."""
    if value == 0 and form.endswith("e"):
        return "0"
    return signed(tidy_power(format(value, form)))


def tidy_power(number: str) -> str:
    """Return a number as it is printed, "3e-07", with its exponent as on paper."""
    return re.sub(r"e([-+])0*(\d+)$", lambda m: f"·10{(m[1] + m[2]).lstrip('+').translate(SUPERSCRIPTS)}", number)


def tidied(text: str) -> str:
    """Return a text with its numbers as on paper: 2e-05 as 2·10⁻⁵, -3 as −3, and "91% (91% to 91%)" as "91%"."""
    text = re.sub(r"\b\d+(?:\.\d+)?e[-+]\d+\b", lambda m: tidy_power(m[0]), text)
    text = re.sub(r"(?<!\S)(\(?)(\S*\d\S*) to \2(?![\w.%·]*\w)", r"\1\2", text)
    return signed(re.sub(r"(?<!\S)(\S*\d\S*) \(\1\)", r"\1", text))


def as_table(rows, headers) -> str:
    """Return rows of text as a table in Markdown; a bar in an entry or a heading ends no cell."""
    *body, top = [[re.sub(r"(?<!\\)\|", r"\\|", text) for text in row] for row in (*rows, headers)]
    return tabulate(body, top, tablefmt="github", disable_numparse=True)


def counted(count: int, word: str) -> str:
    """Return a number with its noun, "1 seed" or "3 seeds"."""
    return f"{count} {word}" + ("" if count == 1 else "s")


def span(values, form: str) -> str:
    """Return the lowest and the highest value: "91.5% to 92.3%"; one alone where they are written alike."""
    low, high = format(min(values), form), format(max(values), form)
    return low if low == high else f"{low} to {high}"


def spread(values, form: str) -> str:
    """Return the median with the lowest and the highest value, "91.9% (91.5% to 92.3%)"; one where all look alike."""
    middle, ends = format(median(values), form), span(values, form)
    return middle if ends == middle else f"{middle} ({ends})"


def tidy_span(values, form: str) -> str:
    """Return the lowest and the highest value as ``tidy`` writes them: "3·10⁻⁷ to 2·10⁻⁶"; of none, "not computed"."""
    values = list(values)
    ends = [tidy(end, form) for end in (min(values), max(values))] if values else ["not computed"]
    return " to ".join(dict.fromkeys(ends))


def spans(frame, by: str, groups, **forms: str | Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Return group → name → ``tidy_span`` of the column of this name, and of all called "name …", in its rows.

    A form may differ from group to group.
    """
    columns = {key: [c for c in frame if c == key or c.startswith(f"{key} ")] for key in forms}
    found = {}
    for group in groups:
        own = frame[frame[by] == group]
        wanted = {key: form if isinstance(form, str) else form[group] for key, form in forms.items()}
        found[group] = {key: tidy_span(own[columns[key]].to_numpy().ravel(), form) for key, form in wanted.items()}
    return found


def by_row(frame, key: str) -> dict[str, dict]:
    """Return a frame as name → column → value, for ``Chapter.save``; the names in ``key`` lose blanks and commas."""
    rows = frame.to_dict("records")
    return {row.pop(key).replace(",", "").replace(" ", "-"): row for row in rows}
