"""Numbers as people write them: with a decimal point or a decimal comma, and thousands apart."""

import re

DECIMAL_COMMA = re.compile(r"[+-]?(\d{1,3}(\.\d{3})+|\d+),\d+")
POINTS = re.compile(r"[+-]?\d{1,3}(\.\d{3})+(,\d*)?")  # points between thousands, where the decimal point is a comma
COMMAS = re.compile(r"[+-]?\d{1,3}(,\d{3})+(\.\d*)?")  # commas between thousands


def number_in(text: str, decimal: str = ".") -> float | None:
    """The number that a text is; None if it is none."""
    if decimal != ".":
        text = text.replace(".", "" if POINTS.fullmatch(text) else "?").replace(decimal, ".")
    try:
        return float(text.encode("ascii").replace(b"_", b"?"))  # 1_000 and ٤ are numbers to Python alone
    except ValueError:
        return None
