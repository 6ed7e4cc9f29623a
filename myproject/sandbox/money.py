"""Money: decimal text outside, whole minor units inside. Never a float on the way in."""

from __future__ import annotations

import re
from decimal import Decimal

# Two decimal places each: a currency without them (JPY) or with three (KWD) would need its own scale.
CURRENCIES = ("INR", "GBP", "EUR", "USD")
DEFAULT_CURRENCY = "INR"

# At most ten digits before the point: above any order, and small enough that a JSON number holds it exactly.
AMOUNT = re.compile(r"[0-9]{1,10}(?:\.[0-9]{1,2})?", re.ASCII)


def parse_amount(value: object) -> int | None:
    """Return the minor units of a decimal text or JSON number, or None when it has another form or more decimals."""
    if isinstance(value, bool) or not isinstance(value, (str, int, Decimal)):
        return None
    text = str(value)
    if not AMOUNT.fullmatch(text):
        return None
    whole, _, part = text.partition(".")
    return int(whole) * 100 + int(part.ljust(2, "0"))


def format_amount(minor: int) -> str:
    """Return minor units as decimal text with two places: 1999 is "19.99", -5 is "-0.05"."""
    sign = "-" if minor < 0 else ""
    return f"{sign}{abs(minor) // 100}.{abs(minor) % 100:02d}"


def to_json_number(minor: int) -> float:
    """Return minor units as the number that Juspay's JSON carries.

    Twelve digits at most (see AMOUNT), and a double keeps fifteen: the shortest text of the number is exact.
    """
    return minor / 100
