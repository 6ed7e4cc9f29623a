"""What an invoice and a line of the retail file are: sale, cancellation, write-off; goods, postage, fee and so on."""

from __future__ import annotations

import re
from enum import StrEnum

from orders.models import LineKind
from orders.replay.reader import RetailRow


class InvoiceKind(StrEnum):
    """What an invoice number says about the invoice."""

    ORDINARY = "ordinary"
    """Sale lines and, at price 0 with a negative quantity, write-offs."""
    CANCELLATION = "cancellation"
    ADJUSTMENT = "adjustment"
    """A bad-debt booking: neither an order nor a cancellation, and it may be negative."""


NON_GOODS_CODES: dict[str, LineKind] = {
    "POST": LineKind.POSTAGE,
    "DOT": LineKind.POSTAGE,  # postage of the retailer's own web shop
    "C2": LineKind.POSTAGE,  # carriage
    "D": LineKind.DISCOUNT,
    "M": LineKind.FEE,  # manual entry
    "m": LineKind.FEE,
    "BANK CHARGES": LineKind.FEE,
    "AMAZONFEE": LineKind.FEE,
    "CRUK": LineKind.FEE,  # commission of a charity's shop
    "S": LineKind.FEE,  # samples
    "B": LineKind.FEE,  # bad debt
}
"""Codes are compared byte for byte, like all codes of the file."""

_VOUCHER_CODE = re.compile(r"gift_0001_[0-9]+")

STOCK_KINDS = frozenset({LineKind.GOODS})
"""Only goods that were paid for move stock; zero-price, postage and fee lines do not (the data set's own rule)."""


def classify_invoice(number: str) -> InvoiceKind:
    """The kind of an invoice, by the first letter of its number."""
    if number.startswith("C"):
        return InvoiceKind.CANCELLATION
    if number.startswith("A"):
        return InvoiceKind.ADJUSTMENT
    return InvoiceKind.ORDINARY


def classify_line(row: RetailRow) -> LineKind:
    """The kind of a sale line: what costs nothing is a gift whatever its code; then the code decides.

    A discount takes money off. A line with the discount's code that adds money is a fee.
    """
    if row.unit_price == 0:
        return LineKind.GIFT
    kind = NON_GOODS_CODES.get(row.stock_code)
    if kind is LineKind.DISCOUNT and row.quantity > 0:
        return LineKind.FEE
    if kind is not None:
        return kind
    return LineKind.VOUCHER if _VOUCHER_CODE.fullmatch(row.stock_code) else LineKind.GOODS


def is_article(row: RetailRow) -> bool:
    """Whether the code is that of an article, whatever this line of it costs: articles stand in the catalogue."""
    return row.stock_code not in NON_GOODS_CODES and not _VOUCHER_CODE.fullmatch(row.stock_code)


def is_write_off(row: RetailRow) -> bool:
    """Whether this line of an ordinary invoice takes stock away without a customer and without money."""
    return row.quantity < 0 and row.unit_price == 0


def find_sign_error(row: RetailRow) -> str | None:
    """Why the signs of this row contradict its invoice, or nothing when they agree."""
    kind = classify_invoice(row.invoice)
    if row.quantity == 0:
        return "quantity is zero"
    if kind is InvoiceKind.ADJUSTMENT:
        return None
    if row.unit_price < 0:
        return "unit price is negative outside an adjustment"
    if kind is InvoiceKind.CANCELLATION:
        return "cancellation line with a positive quantity" if row.quantity > 0 else None
    if row.quantity < 0 and row.unit_price > 0 and NON_GOODS_CODES.get(row.stock_code) is not LineKind.DISCOUNT:
        return "priced line with a negative quantity in an ordinary invoice"
    return None
