"""How the tests of rules judge: by the rule and the thresholds of the claims file."""

from lab.claims import load_claims
from lab.parameters import ROOT
from lab.rules import Outcome, rule_of

CLAIMS = load_claims(ROOT / "book" / "claims.yml")


def judge(claim: str, *tables, **named) -> Outcome:
    """Return the outcome for made-up tables; what is named here replaces a threshold of the same name."""
    rule, thresholds = rule_of(CLAIMS[claim])
    return rule(*tables, **thresholds | named)
