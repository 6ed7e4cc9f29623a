"""Which rows of a file can be taken: their invoice decides too, by its signs, its customer and its size."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

from myproject.money import line_total, to_decimal
from orders.replay.classification import InvoiceKind, classify_invoice, find_sign_error, is_write_off
from orders.replay.reader import Rejection, RetailRow

CURRENCY = "GBP"
"""The retail form has one currency."""

LARGEST_AMOUNT = 999_999_999_999
"""Minor units of a line or of a sale: the provider takes ten digits before the point, and the platform more."""

MAX_LINES = 5_000
"""Lines of one document: what the platform's import takes, seven times the longest real invoice."""


def select_rows(rows: Iterable[RetailRow]) -> tuple[list[RetailRow], list[Rejection]]:
    """Separate the rows that can be taken from those that cannot or contradict their invoice; both in file order."""
    sound: list[RetailRow] = []
    rejections: list[Rejection] = []
    customers: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        reason = find_sign_error(row) or _find_size_error(row)
        if reason is not None:
            rejections.append(_reject(row, reason))
            continue
        sound.append(row)
        customers[row.invoice][row.customer] += 1
    # Of customers with equally many rows, the one that comes first in the file; a Counter keeps that order.
    chosen = {invoice: max(counts, key=counts.__getitem__) for invoice, counts in customers.items()}
    good: list[RetailRow] = []
    for row in sound:
        if row.customer == chosen[row.invoice]:
            good.append(row)
        else:
            rejections.append(_reject(row, f"customer is not that of most rows of invoice {row.invoice}"))
    good, more = reject_invoices(good, _find_bad_sales(good))
    return good, sorted(rejections + more, key=lambda rejection: rejection.line_number)


def reject_invoices(rows: Iterable[RetailRow], reasons: Mapping[str, str]) -> tuple[list[RetailRow], list[Rejection]]:
    """Take out every row of the invoices that ``reasons`` names."""
    good: list[RetailRow] = []
    rejections: list[Rejection] = []
    for row in rows:
        if row.invoice in reasons:
            rejections.append(_reject(row, reasons[row.invoice]))
        else:
            good.append(row)
    return good, rejections


def value_row(row: RetailRow) -> int:
    """Return the value of a row in minor units, rounded once."""
    return line_total(row.unit_price, row.quantity, CURRENCY)


def _reject(row: RetailRow, reason: str) -> Rejection:
    return Rejection(line_number=row.line_number, reason=reason, value=row.value)


def _find_size_error(row: RetailRow) -> str | None:
    if abs(value_row(row)) <= LARGEST_AMOUNT:
        return None
    return f"amount is above {to_decimal(LARGEST_AMOUNT, CURRENCY)}"


def _find_bad_sales(rows: Iterable[RetailRow]) -> dict[str, str]:
    """Why a sale as a whole cannot be an order, by invoice number."""
    totals: defaultdict[str, int] = defaultdict(int)
    lines: defaultdict[str, int] = defaultdict(int)
    for row in rows:
        if classify_invoice(row.invoice) is InvoiceKind.ORDINARY:
            totals[row.invoice] += value_row(row)
            lines[row.invoice] += not is_write_off(row)
    reasons: dict[str, str] = {}
    for number, total in totals.items():
        if total < 0:
            reasons[number] = f"the total of sale {number} would be negative"
        elif total > LARGEST_AMOUNT:
            reasons[number] = f"the total of sale {number} is above {to_decimal(LARGEST_AMOUNT, CURRENCY)}"
        elif lines[number] > MAX_LINES:
            reasons[number] = f"sale {number} has more than {MAX_LINES} lines"
    return reasons
