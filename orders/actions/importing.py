"""Orders that a marketplace feed brings, with the feed's own numbers, customers and prices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db import IntegrityError, transaction

from catalog.models import Variant
from myproject.errors import InvalidInput
from myproject.jobs.sending import enqueue
from myproject.logging import bind_order
from myproject.money import line_total
from orders.actions.customers import CustomerData, ensure_feed_customer
from orders.actions.events import move, record_event
from orders.actions.sources import check_feed_source
from orders.errors import LineInvalid, OrderDiffers
from orders.models import LineKind, Order, OrderLine
from orders.states import OrderStatus

LARGEST_MINOR = 10**15
"""The largest amount of a line or an order: ten trillion, which every column and sum holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LineData:
    """One line as the feed gives it. A discount has a negative unit price, so the quantity is always positive."""

    number: int
    kind: str
    sku: str
    description: str
    quantity: int
    unit_price: Decimal


def import_order(
    *,
    source: str,
    number: str,
    customer: CustomerData | None,
    currency: str,
    placed_at: datetime,
    lines: Sequence[LineData],
    actor: str,
    now: datetime,
    request_id: str = "",
) -> tuple[Order, bool]:
    """Take over one order; return it and whether it is new.

    The same order again changes nothing. Another body under a known number is refused (OrderDiffers). An order that
    costs nothing is paid at once. Raises InvalidInput, LineInvalid (`field` names the line) and MoneyError. The number
    of statements does not depend on the number of lines.
    """
    bind_order(number)
    check_feed_source(source)
    existing = Order.objects.filter(source=source, number=number).first()
    if existing is None:
        totals = _check(currency=currency, lines=lines)
        variants = _find_variants(lines)
        try:
            with transaction.atomic():
                order = Order.objects.create(
                    source=source,
                    number=number,
                    customer=ensure_feed_customer(source=source, data=customer),
                    currency=currency,
                    total_minor=sum(totals),
                    placed_at=placed_at,
                )
                _add_lines(order, lines, totals, variants)
                data = {"lines": len(lines), "request_id": request_id}
                record_event(
                    order_id=order.pk,
                    kind="order.imported",
                    subject=f"order {order.pk}",
                    actor=actor,
                    data=data,
                    now=now,
                )
                pay_if_free(order=order, actor=actor, now=now)
            return order, True
        except IntegrityError:  # another request with this number was first
            existing = Order.objects.filter(source=source, number=number).first()
            if existing is None:
                raise
    _compare(existing, customer=customer, currency=currency, placed_at=placed_at, lines=lines)
    return existing, False


def pay_if_free(*, order: Order, actor: str, now: datetime) -> None:
    """Move an order that has nothing left to pay to PAID and have it processed; any other waits for its payment."""
    if order.total_minor == order.cancelled_minor:
        move(order, OrderStatus.PAID, actor=actor, now=now, paid_at=now)
        enqueue("orders.tasks.process_order", order.pk)


def _check(*, currency: str, lines: Sequence[LineData]) -> list[int]:
    """Return the lines' totals in minor units, or say which value cannot be taken."""
    if not lines:
        raise InvalidInput("lines: an order has at least one line.", field="lines")
    seen: set[int] = set()
    totals = []
    for index, line in enumerate(lines):
        if line.number in seen:
            raise LineInvalid(f"lines[{index}].number: {line.number} is there twice.", field=f"lines[{index}].number")
        seen.add(line.number)
        _check_sign(index, line)
        totals.append(line_total(line.unit_price, line.quantity, currency))
    if not 0 <= sum(totals) <= LARGEST_MINOR or max(totals) > LARGEST_MINOR:
        raise InvalidInput("lines: their total is negative or too large to be an order's.", field="lines")
    return totals


def _check_sign(index: int, line: LineData) -> None:
    if line.kind == LineKind.DISCOUNT:
        wrong, allowed = line.unit_price > 0, "zero or less for a discount"
    elif line.kind == LineKind.GIFT:
        wrong, allowed = line.unit_price != 0, "zero for a gift"
    else:
        wrong, allowed = line.unit_price < 0, f"zero or more for {line.kind}"
    if wrong:
        field = f"lines[{index}].unit_price"
        raise LineInvalid(f"{field}: read {line.unit_price}; allowed is {allowed}.", field=field)


def _find_variants(lines: Sequence[LineData]) -> dict[str, int]:
    """Return variant ids by SKU, with one statement. Goods must be known; a gift may be."""
    skus = {line.sku for line in lines if line.kind in (LineKind.GOODS, LineKind.GIFT)}
    found: dict[str, int] = dict(Variant.objects.filter(sku__in=skus).values_list("sku", "pk")) if skus else {}
    for index, line in enumerate(lines):
        if line.kind == LineKind.GOODS and line.sku not in found:
            field = f"lines[{index}].sku"
            raise LineInvalid(f"{field}: there is no article {line.sku!r}.", field=field, line=line.number)
    return found


def _add_lines(order: Order, lines: Sequence[LineData], totals: Sequence[int], variants: dict[str, int]) -> None:
    OrderLine.objects.bulk_create(
        OrderLine(
            order=order,
            number=line.number,
            kind=line.kind,
            variant_id=variants.get(line.sku),
            sku=line.sku,
            description=line.description,
            quantity=line.quantity,
            unit_price=line.unit_price,
            total_minor=total,
        )
        for line, total in zip(lines, totals, strict=True)
    )


def _compare(
    order: Order, *, customer: CustomerData | None, currency: str, placed_at: datetime, lines: Sequence[LineData]
) -> None:
    """Raise OrderDiffers, naming the first value that is not the same in the order that is there."""
    reference = (customer.reference if customer else "") or None
    differing = ""
    if order.currency != currency:
        differing = "currency"
    elif order.placed_at != placed_at:
        differing = "placed_at"
    elif order.customer.external_reference != reference:
        differing = "customer"
    else:
        fields = ("number", "kind", "sku", "description", "quantity", "unit_price")
        given = sorted(tuple(getattr(line, field) for field in fields) for line in lines)
        if given != sorted(order.lines.values_list(*fields)):
            differing = "lines"
    if differing:
        raise OrderDiffers(
            f"{differing}: order {order.number} of {order.source} is there already and differs.",
            field=differing,
            order_id=order.pk,
        )
