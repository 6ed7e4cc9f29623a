"""Which sale lines a cancellation line takes its units back from; a cancellation in the file does not name its sale.

The rule: cancellation lines in file order; each takes units back from sale lines that stand before it, of the same
customer and the same stock code, the line that stands last first, until its quantity is covered. All guests count as
one customer here, and only here. Codes are compared byte for byte. Only rows of the same file are looked at.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from orders.replay.classification import InvoiceKind, classify_invoice
from orders.replay.reader import RetailRow


@dataclass(frozen=True, slots=True)
class Take:
    """Units of one sale line that one cancellation line takes back."""

    sale: RetailRow
    units: int


@dataclass(frozen=True, slots=True)
class MatchedLine:
    """One cancellation line with the sale lines that cover it, wholly, in part or not at all."""

    row: RetailRow
    takes: tuple[Take, ...]

    @property
    def cancelled(self) -> int:
        """Units the line cancels, as a positive number."""
        return -self.row.quantity

    @property
    def covered(self) -> int:
        """Units that a sale of this file covers."""
        return sum(take.units for take in self.takes)

    @property
    def uncovered(self) -> int:
        """Units that no sale of this file covers."""
        return self.cancelled - self.covered


@dataclass(slots=True)
class _OpenSale:
    row: RetailRow
    left: int


def match_cancellations(rows: Iterable[RetailRow]) -> list[MatchedLine]:
    """Match every cancellation line of ``rows``, which come in file order and hold good rows only.

    One pass: the open sale lines of a customer and code are a stack whose top is the line that stands last, and a line
    that is used up leaves it, so every sale line is pushed and popped once.
    """
    open_sales: defaultdict[tuple[str, str], list[_OpenSale]] = defaultdict(list)
    matched: list[MatchedLine] = []
    for row in rows:
        kind = classify_invoice(row.invoice)
        if kind is InvoiceKind.CANCELLATION:
            matched.append(
                MatchedLine(row=row, takes=_take_back(open_sales[row.customer, row.stock_code], -row.quantity))
            )
        elif kind is InvoiceKind.ORDINARY and row.quantity > 0:
            open_sales[row.customer, row.stock_code].append(_OpenSale(row=row, left=row.quantity))
    return matched


def _take_back(stack: list[_OpenSale], wanted: int) -> tuple[Take, ...]:
    takes: list[Take] = []
    while wanted and stack:
        sale = stack[-1]
        units = min(wanted, sale.left)
        takes.append(Take(sale=sale.row, units=units))
        sale.left -= units
        wanted -= units
        if not sale.left:
            stack.pop()
    return tuple(takes)
