"""Rules: one module a chapter, one function a claim, from tables of studies to a verdict.

A rule's thresholds are its keyword arguments, read from ``book/claims.yml``; its docstring is what the scorecard prints
as "how it is judged", with the thresholds put in. ``tests/rules`` reaches each of its outcomes.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

from lab.claims import LABELS, VERDICTS


@dataclass(frozen=True)
class Outcome:
    """What a rule says.

    Attributes
    ----------
    verdict : str
        One of the first four of ``lab.claims.VERDICTS``.
    ours : str
        Our number, with its spread where training is involved.
    label : {"exact", "linearised", "locally optimal", "sampled"}, or None
        How our number is to be understood; None where nothing was computed.
    because : str
        Why, in a sentence.
    """

    verdict: str
    ours: str
    label: str | None
    because: str

    def __post_init__(self):
        if self.verdict not in VERDICTS[:-1]:
            raise ValueError(f"verdict: expected one of {VERDICTS[:-1]}, received {self.verdict!r}")
        if self.label is not None and self.label not in LABELS:
            raise ValueError(f"label: expected one of {LABELS}, received {self.label!r}")


def rule_of(claim: dict) -> tuple[Callable, dict]:
    """Return the function that judges a claim, ``module.function`` of this package, and its thresholds."""
    thresholds = dict(claim["rule"])
    module, _, name = thresholds.pop("function").partition(".")
    return getattr(import_module(f"lab.rules.{module}"), name), thresholds


def explained(claim: dict) -> str:
    """Return how a claim is judged: the rule's own words, ``{threshold:format}`` filled with what applies."""
    rule, thresholds = rule_of(claim)

    def put_in(match: re.Match) -> str:
        name, form = match[1], match[2] or ""
        return format(thresholds[name], form) if name in thresholds else match[0]  # other braces are formulas'

    return re.sub(r"\{(\w+)(?::([^{}]*))?\}", put_in, " ".join(rule.__doc__.split()))
