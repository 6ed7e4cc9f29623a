"""Taking units back from order lines: how many are left, what they are worth, and the rows that say so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db.models import F

from myproject.money import allocate, line_total, share_of_units
from orders.actions.events import record_event
from orders.errors import LineInvalid, NothingToCancel
from orders.models import Cancellation, CancellationLine, CancellationRequest, Order, OrderLine, PriceDifference


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitsBack:
    """Units of one order line that a request takes back; `unit_price` is the document's own, where it has one."""

    order_id: int
    line_number: int
    quantity: int
    unit_price: Decimal | None = None


def find_paid_shares(lines: Sequence[OrderLine]) -> dict[int, int]:
    """Return what of an order's price falls on each of its lines, by their numbers; it adds up to the order's total.

    Discounts are divided over the other lines in proportion, to the penny, so that what is refunded for all units
    together is what was paid for them.
    """
    ordered = sorted(lines, key=lambda line: line.number)
    totals = [line.total_minor for line in ordered]
    if min(totals) < 0:
        totals = allocate(sum(totals), [max(0, total) for total in totals])
    return {line.number: share for line, share in zip(ordered, totals, strict=True)}


def take_back(
    *,
    request: CancellationRequest,
    orders: Sequence[Order],
    units: Sequence[UnitsBack],
    actor: str,
    now: datetime,
) -> list[Cancellation]:
    """Write the request's parts: one cancellation per order with its lines, price differences, sums and event.

    The caller holds the locks on `orders`. Raises LineInvalid and NothingToCancel, which name the position in
    `units`; the caller's transaction then has nothing to keep. The number of statements does not depend on the
    number of lines.
    """
    lines: dict[tuple[int, int], OrderLine] = {
        (line.order_id, line.number): line for line in OrderLine.objects.filter(order__in=orders)
    }
    shares = {
        (order.pk, number): share
        for order in orders
        for number, share in find_paid_shares([line for key, line in lines.items() if key[0] == order.pk]).items()
    }
    reached = {taken.order_id for taken in units}
    parts = {
        order.pk: Cancellation.objects.create(request=request, order=order) for order in orders if order.pk in reached
    }
    rows: dict[int, list[CancellationLine]] = {order_id: [] for order_id in parts}
    for index, taken in enumerate(units):
        line = lines.get((taken.order_id, taken.line_number))
        _check(index, taken, line)
        assert line is not None
        amount = share_of_units(
            shares[taken.order_id, taken.line_number], line.quantity, line.cancelled_quantity, taken.quantity
        )
        line.cancelled_quantity += taken.quantity
        line.cancelled_minor += amount
        rows[taken.order_id].append(
            CancellationLine(
                cancellation=parts[taken.order_id],
                number=len(rows[taken.order_id]) + 1,
                order_line=line,
                quantity=taken.quantity,
                amount_minor=amount,
                credited_minor=amount
                if taken.unit_price is None
                else line_total(taken.unit_price, taken.quantity, request.currency),
            )
        )
    _write(request=request, parts=parts, rows=rows, actor=actor, now=now)
    return list(parts.values())


def _check(index: int, taken: UnitsBack, line: OrderLine | None) -> None:
    if line is None:
        field = f"lines[{index}].line"
        raise LineInvalid(f"{field}: the order has no line {taken.line_number}.", field=field)
    left = line.quantity - line.cancelled_quantity
    if taken.quantity > left:
        field = f"lines[{index}].quantity"
        raise NothingToCancel(f"{field}: read {taken.quantity}; {left} units of the line are left.", field=field)


def _write(
    *,
    request: CancellationRequest,
    parts: Mapping[int, Cancellation],
    rows: Mapping[int, Sequence[CancellationLine]],
    actor: str,
    now: datetime,
) -> None:
    every = [row for part in rows.values() for row in part]
    CancellationLine.objects.bulk_create(every)
    _write_differences(parts=parts, rows=every)
    changed = {row.order_line.pk: row.order_line for row in every}
    OrderLine.objects.bulk_update(list(changed.values()), ["cancelled_quantity", "cancelled_minor"])
    for order_id, part in parts.items():
        amount = sum(row.amount_minor for row in rows[order_id])
        part.refund_minor = amount
        part.save(update_fields=["refund_minor", "updated_at"])
        Order.objects.filter(pk=order_id).update(
            cancelled_minor=F("cancelled_minor") + amount, version=F("version") + 1, updated_at=now
        )
        record_event(
            order_id=order_id,
            kind="cancellation.requested",
            subject=f"cancellation {part.pk}",
            to_status=part.status,
            actor=actor,
            data={"request": request.number, "units": sum(row.quantity for row in rows[order_id])},
            now=now,
        )


def _write_differences(*, parts: Mapping[int, Cancellation], rows: Sequence[CancellationLine]) -> None:
    """Keep what the document credits above or below the price that was paid. Ids are read back: MySQL returns none."""
    differing = [row for row in rows if row.credited_minor != row.amount_minor]
    if not differing:
        return
    ids = {
        (cancellation_id, number): pk
        for cancellation_id, number, pk in CancellationLine.objects.filter(
            cancellation__in=list(parts.values())
        ).values_list("cancellation_id", "number", "pk")
    }
    PriceDifference.objects.bulk_create(
        PriceDifference(
            cancellation_line_id=ids[row.cancellation_id, row.number],
            amount_minor=row.credited_minor - row.amount_minor,
        )
        for row in differing
    )
