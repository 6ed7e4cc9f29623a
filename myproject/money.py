"""Money: integer minor units plus a currency code (ISO 4217). Never a float.

Unit prices are exact Decimals of up to four decimals; they become minor units in one place, `line_total`.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation

#: Digits after the point of the currencies the shop knows (ISO 4217, column "minor unit").
EXPONENTS = {"GBP": 2, "INR": 2, "EUR": 2, "USD": 2}

#: Decimals of a unit price; some price lists quote thousandths.
UNIT_PRICE_DECIMALS = 4


class MoneyError(ValueError):
    """An amount or currency that cannot be read."""


def exponent(currency: str) -> int:
    """Return the digits after the point of `currency`. Raises MoneyError for one the shop does not know."""
    try:
        return EXPONENTS[currency]
    except KeyError:
        raise MoneyError(f"currency: read {currency!r}; allowed is one of {', '.join(EXPONENTS)}.") from None


def parse_decimal(value: object, *, field: str) -> Decimal:
    """Return `value` (str, int, float or Decimal) as a finite Decimal; a float counts as its shortest form.

    Raises MoneyError naming `field`.
    """
    try:
        number = Decimal(str(value).strip())
    except InvalidOperation:
        raise MoneyError(f"{field}: read {value!r}; allowed is a decimal number such as 12.50.") from None
    if not number.is_finite():
        raise MoneyError(f"{field}: read {value!r}; allowed is a finite decimal number.")
    return number


def to_minor(amount: Decimal, currency: str) -> int:
    """Return `amount` (major units) in minor units, rounded half up, away from zero at the half."""
    scaled = amount.scaleb(exponent(currency))
    return int(scaled.quantize(Decimal(1), rounding=ROUND_HALF_UP))


def parse_minor(value: object, currency: str, *, field: str) -> int:
    """Return an exact amount in minor units; more decimals than the currency has are refused, not rounded.

    Raises MoneyError naming `field`.
    """
    scaled = parse_decimal(value, field=field).scaleb(exponent(currency))
    if scaled != scaled.to_integral_value():
        raise MoneyError(f"{field}: read {value!r}; allowed are {exponent(currency)} decimals for {currency}.")
    return int(scaled)


def to_decimal(minor: int, currency: str) -> Decimal:
    """Return `minor` units as a Decimal of major units with the currency's decimals."""
    return Decimal(minor).scaleb(-exponent(currency))


def format_minor(minor: int, currency: str) -> str:
    """Return `minor` units as a plain decimal string, for example "12.50"."""
    return f"{to_decimal(minor, currency):f}"


def line_total(unit_price: Decimal, quantity: int, currency: str) -> int:
    """Return the total of a line in minor units: the exact product, rounded once."""
    return to_minor(unit_price * quantity, currency)


def allocate(total: int, weights: Sequence[int]) -> list[int]:
    """Split `total` minor units over `weights` by largest remainder; the parts add up to `total` exactly.

    Ties go to the earlier weight, so that the same input always gives the same split. All-zero weights give the
    whole to the first part. Raises MoneyError for no weights or a negative one.
    """
    if not weights or min(weights) < 0:
        raise MoneyError("weights: allowed is one or more numbers that are not negative.")
    whole = sum(weights)
    if whole == 0:
        return [total] + [0] * (len(weights) - 1)
    sign, magnitude = (-1, -total) if total < 0 else (1, total)
    parts = [magnitude * weight // whole for weight in weights]
    by_remainder = sorted(range(len(weights)), key=lambda index: (-(magnitude * weights[index] % whole), index))
    for index in by_remainder[: magnitude - sum(parts)]:
        parts[index] += 1
    return [sign * part for part in parts]


def share_of_units(total: int, quantity: int, first: int, count: int) -> int:
    """Return what `count` of a line's `quantity` units are worth, of units number `first` on (from 0).

    `total` minor units are dealt to the units so that any sequence of partial cancellations adds up to exactly
    `total`: units 0..n are worth floor-rounded cumulative shares of it.
    """
    if first < 0 or count < 1 or first + count > quantity:
        raise MoneyError(f"units {first}..{first + count} do not lie within a line of {quantity}.")

    def cumulative(units: int) -> int:
        return (2 * total * units + quantity) // (2 * quantity)

    return cumulative(first + count) - cumulative(first)
