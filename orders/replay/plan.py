"""What one retail file asks of the platform: orders, cancellations, adjustments, stock. Nothing is written here."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from myproject.money import allocate, line_total, share_of_units, to_decimal
from orders.models import LineKind
from orders.replay.classification import (
    STOCK_KINDS,
    InvoiceKind,
    classify_invoice,
    classify_line,
    is_article,
    is_write_off,
)
from orders.replay.matching import MatchedLine, match_cancellations
from orders.replay.reader import Rejection, RetailFile, RetailRow
from orders.replay.selection import CURRENCY, MAX_LINES, reject_invoices, select_rows, value_row


@dataclass(frozen=True, slots=True)
class SaleLine:
    """One line of a planned order; ``position`` counts from 1 within the order."""

    position: int
    row: RetailRow
    kind: LineKind
    total: int
    """Minor units, rounded once per line."""
    paid: int
    """What of the order's payment falls on this line: its total less its share of the order's discounts."""


@dataclass(frozen=True, slots=True)
class Sale:
    """One planned order: the sale lines of one ordinary invoice."""

    number: str
    customer: str
    country: str
    placed_at: datetime
    lines: tuple[SaleLine, ...]

    @property
    def total(self) -> int:
        """What the order costs, in minor units."""
        return sum(line.total for line in self.lines)


@dataclass(frozen=True, slots=True)
class CoveredLine:
    """Units of one order line that one cancellation line takes back."""

    order: str
    position: int
    row: RetailRow
    """The cancellation line."""
    units: int
    value: int
    """The units at the cancellation's price, minor units."""
    refund: int
    """The units at the price that was paid, minor units."""
    returns_stock: bool


@dataclass(frozen=True, slots=True)
class UncoveredLine:
    """Units of a cancellation line that no sale of the file covers: kept and reported, neither dropped nor invented."""

    row: RetailRow
    units: int
    value: int


@dataclass(frozen=True, slots=True)
class CancellationDocument:
    """One cancellation invoice; it may reach several orders and hold units that reach none."""

    number: str
    customer: str
    cancelled_at: datetime
    covered: tuple[CoveredLine, ...]
    uncovered: tuple[UncoveredLine, ...]

    @property
    def orders(self) -> tuple[str, ...]:
        """The orders it reaches, each once, in the order of its lines."""
        return tuple(dict.fromkeys(line.order for line in self.covered))


@dataclass(frozen=True, slots=True)
class Adjustment:
    """One line of an adjustment invoice: money that is neither an order nor a cancellation."""

    row: RetailRow
    amount: int


@dataclass(frozen=True, slots=True)
class StockItem:
    """One stock code that the file moves or sells, with the stock it must open with."""

    sku: str
    name: str
    opening: int
    sold: int
    returned: int
    written_off: int

    @property
    def closing(self) -> int:
        """Units on hand when everything of the file has happened."""
        return self.opening - self.sold + self.returned - self.written_off


@dataclass(frozen=True, slots=True)
class FileTotals:
    """The exact figures of the file: every line counts as read, money and invoices only from rows that were taken."""

    lines: int
    invoices: int
    sales: int
    cancellations: int
    net: Decimal
    cancelled: Decimal


@dataclass(frozen=True, slots=True)
class MatchTotals:
    """Cancellation lines by how much of them a sale covers."""

    whole: int
    part: int
    none: int


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """Everything one file asks for."""

    content_hash: str
    totals: FileTotals
    matches: MatchTotals
    rejections: tuple[Rejection, ...]
    sales: tuple[Sale, ...]
    cancellations: tuple[CancellationDocument, ...]
    adjustments: tuple[Adjustment, ...]
    write_offs: tuple[RetailRow, ...]
    stock: tuple[StockItem, ...]
    rounding: Decimal
    """File minus platform: what rounding each booked amount to two decimals took away, exact."""

    @property
    def covered(self) -> tuple[CoveredLine, ...]:
        """All covered cancellation lines of the batch."""
        return tuple(line for document in self.cancellations for line in document.covered)

    @property
    def uncovered(self) -> tuple[UncoveredLine, ...]:
        """All uncovered cancellation lines of the batch."""
        return tuple(line for document in self.cancellations for line in document.uncovered)


def plan_batch(*, file: RetailFile) -> BatchPlan:
    """Decide what ``file`` asks for. The same file gives the same plan, byte for byte."""
    rows, rejections = select_rows(file.rows)
    while True:
        sales = _plan_sales(rows)
        matched = match_cancellations(rows)
        cancellations = _plan_cancellations(matched, sales)
        too_long = _find_long_documents(cancellations)
        if not too_long:
            break
        rows, more = reject_invoices(rows, too_long)
        rejections += more
    adjustments = tuple(
        Adjustment(row=row, amount=value_row(row))
        for row in rows
        if classify_invoice(row.invoice) is InvoiceKind.ADJUSTMENT
    )
    write_offs = tuple(
        row for row in rows if classify_invoice(row.invoice) is InvoiceKind.ORDINARY and is_write_off(row)
    )
    return BatchPlan(
        content_hash=file.content_hash,
        totals=_total_file(file, rows),
        matches=_total_matches(matched),
        rejections=tuple(sorted((*file.rejections, *rejections), key=lambda rejection: rejection.line_number)),
        sales=sales,
        cancellations=cancellations,
        adjustments=adjustments,
        write_offs=write_offs,
        stock=_plan_stock(sales, cancellations, write_offs),
        rounding=_sum_rounding(sales, cancellations, adjustments),
    )


def _find_long_documents(cancellations: Iterable[CancellationDocument]) -> dict[str, str]:
    """Documents of more pieces than one request takes; few rows can become many, one per sale line they reach."""
    return {
        document.number: f"cancellation {document.number} has more than {MAX_LINES} lines"
        for document in cancellations
        if max(len(document.covered), len(document.uncovered)) > MAX_LINES
    }


def _plan_sales(rows: Sequence[RetailRow]) -> tuple[Sale, ...]:
    """Gather the sale lines by invoice number over the whole file: one invoice of the year is scattered."""
    invoices: defaultdict[str, list[RetailRow]] = defaultdict(list)
    for row in rows:
        if classify_invoice(row.invoice) is InvoiceKind.ORDINARY and not is_write_off(row):
            invoices[row.invoice].append(row)
    return tuple(
        Sale(
            number=number,
            customer=lines[0].customer,
            country=lines[0].country,
            placed_at=lines[0].invoiced_at,
            lines=_plan_sale_lines(lines),
        )
        for number, lines in invoices.items()
    )


def _plan_sale_lines(rows: Sequence[RetailRow]) -> tuple[SaleLine, ...]:
    """Total each line; what discounts take off is divided over the other lines in proportion, to the penny."""
    totals = [value_row(row) for row in rows]
    paid = totals
    if min(totals) < 0:
        paid = allocate(sum(totals), [max(0, total) for total in totals])
    return tuple(
        SaleLine(position=position, row=row, kind=classify_line(row), total=total, paid=share)
        for position, (row, total, share) in enumerate(zip(rows, totals, paid, strict=True), start=1)
    )


def _plan_cancellations(matched: Iterable[MatchedLine], sales: Iterable[Sale]) -> tuple[CancellationDocument, ...]:
    """One document per cancellation invoice; a line's units are refunded from its first unit on, in file order."""
    sale_lines = {line.row.line_number: (sale.number, line) for sale in sales for line in sale.lines}
    taken: defaultdict[int, int] = defaultdict(int)
    covered: defaultdict[str, list[CoveredLine]] = defaultdict(list)
    uncovered: defaultdict[str, list[UncoveredLine]] = defaultdict(list)
    first_rows: dict[str, RetailRow] = {}
    for match in matched:
        row = match.row
        first_rows.setdefault(row.invoice, row)
        for take in match.takes:
            order, line = sale_lines[take.sale.line_number]
            refund = share_of_units(line.paid, line.row.quantity, taken[take.sale.line_number], take.units)
            taken[take.sale.line_number] += take.units
            covered[row.invoice].append(
                CoveredLine(
                    order=order,
                    position=line.position,
                    row=row,
                    units=take.units,
                    value=line_total(row.unit_price, take.units, CURRENCY),
                    refund=refund,
                    returns_stock=line.kind in STOCK_KINDS,
                )
            )
        if match.uncovered:
            value = line_total(row.unit_price, match.uncovered, CURRENCY)
            uncovered[row.invoice].append(UncoveredLine(row=row, units=match.uncovered, value=value))
    return tuple(
        CancellationDocument(
            number=number,
            customer=row.customer,
            cancelled_at=row.invoiced_at,
            covered=tuple(covered[number]),
            uncovered=tuple(uncovered[number]),
        )
        for number, row in first_rows.items()
    )


def _plan_stock(
    sales: Iterable[Sale], cancellations: Iterable[CancellationDocument], write_offs: Iterable[RetailRow]
) -> tuple[StockItem, ...]:
    """One item per stock code. It opens with all that will ever leave, so no order of events can overdraw it."""
    names: dict[str, str] = {}
    sold: defaultdict[str, int] = defaultdict(int)
    returned: defaultdict[str, int] = defaultdict(int)
    written_off: defaultdict[str, int] = defaultdict(int)
    for sale in sales:
        for line in sale.lines:
            if line.kind in STOCK_KINDS:
                sold[line.row.stock_code] += line.row.quantity
            if is_article(line.row):
                names[line.row.stock_code] = names.get(line.row.stock_code) or line.row.description.strip()
    for row in write_offs:
        written_off[row.stock_code] -= row.quantity
        names.setdefault(row.stock_code, "")
    for document in cancellations:
        for covered in document.covered:
            if covered.returns_stock:
                returned[covered.row.stock_code] += covered.units
    return tuple(
        StockItem(
            sku=sku,
            name=name or sku,
            opening=sold[sku] + written_off[sku],
            sold=sold[sku],
            returned=returned[sku],
            written_off=written_off[sku],
        )
        for sku, name in names.items()
    )


def _total_file(file: RetailFile, rows: Sequence[RetailRow]) -> FileTotals:
    invoices = {row.invoice for row in rows}
    cancellations = sum(classify_invoice(number) is InvoiceKind.CANCELLATION for number in invoices)
    return FileTotals(
        lines=file.lines,
        invoices=len(invoices),
        sales=len(invoices) - cancellations,
        cancellations=cancellations,
        net=sum((row.value for row in rows), Decimal(0)),
        cancelled=sum(
            (row.value for row in rows if classify_invoice(row.invoice) is InvoiceKind.CANCELLATION), Decimal(0)
        ),
    )


def _total_matches(matched: Iterable[MatchedLine]) -> MatchTotals:
    whole = part = none = 0
    for match in matched:
        if not match.uncovered:
            whole += 1
        elif match.covered:
            part += 1
        else:
            none += 1
    return MatchTotals(whole=whole, part=part, none=none)


def _sum_rounding(
    sales: Iterable[Sale], cancellations: Iterable[CancellationDocument], adjustments: Iterable[Adjustment]
) -> Decimal:
    """What the booked amounts leave of the exact ones, piece by piece: zero where prices have two decimals."""
    rounding = Decimal(0)
    for sale in sales:
        rounding += sum((line.row.value - to_decimal(line.total, CURRENCY) for line in sale.lines), Decimal(0))
    for adjustment in adjustments:
        rounding += adjustment.row.value - to_decimal(adjustment.amount, CURRENCY)
    for document in cancellations:
        pieces: tuple[CoveredLine | UncoveredLine, ...] = (*document.covered, *document.uncovered)
        for piece in pieces:
            rounding -= piece.row.unit_price * piece.units - to_decimal(piece.value, CURRENCY)
    return rounding
