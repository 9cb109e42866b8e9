"""How numbers are written in prose and tables."""

import re

SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def tidy(value, form=".0e") -> str:
    """Return a number formatted by ``form``, its exponent written as on paper: 3·10⁻⁷."""
    if value == 0 and form.endswith("e"):
        return "0"
    return re.sub(
        r"e([-+])0*(\d+)$", lambda m: f"·10{(m[1] + m[2]).lstrip('+').translate(SUPERSCRIPTS)}", format(value, form)
    )
