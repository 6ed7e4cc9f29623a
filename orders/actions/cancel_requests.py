"""Taking cancellations in: from customers, one order at a time, and from feeds, whose documents may reach several."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from django.db import IntegrityError, transaction

from myproject.errors import InvalidInput
from myproject.jobs.sending import enqueue
from myproject.money import exponent, line_total
from orders.actions.cancel import finish_request
from orders.actions.customers import CustomerData, ensure_feed_customer
from orders.actions.sources import WEB, check_feed_source
from orders.actions.taking_back import UnitsBack, take_back
from orders.errors import LineInvalid, NothingToCancel, OrderDiffers, OrderNotFound
from orders.models import CancellationLine, CancellationRequest, Customer, Order, UnmatchedLine

DOUBLE_CLICK = timedelta(seconds=60)
"""The same wish for the same order within this time is the same request: nobody wants it twice that fast."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelledLine:
    """Units of one line of one order that a feed's document takes back, at the document's own price."""

    order_number: str
    line_number: int
    quantity: int
    unit_price: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class UnmatchedData:
    """Units that a feed's document takes back and no order covers."""

    sku: str
    description: str
    quantity: int
    unit_price: Decimal


def request_cancellation(
    *,
    order_id: int,
    lines: Mapping[int, int] | None,
    reason: str,
    actor: str,
    now: datetime,
    task_id: str | None = None,
) -> CancellationRequest:
    """Take a customer's wish to cancel units of one order, by line number, or all that is left of it; enqueue the work.

    A double click gives the request that is there: the same wish again, while it is being carried out or within a
    minute. `task_id` becomes the id of the task that carries it out. Raises OrderNotFound, LineInvalid, InvalidInput
    and NothingToCancel.
    """
    with transaction.atomic():
        order = Order.objects.select_for_update().filter(pk=order_id).first()
        if order is None:
            raise OrderNotFound("There is no such order, or it is not yours to see.")
        wish = "all" if lines is None else json.dumps(sorted(lines.items()))
        prefix = f"{order.pk}-{hashlib.sha256(wish.encode()).hexdigest()[:12]}-"
        earlier = list(CancellationRequest.objects.filter(source=WEB, number__startswith=prefix).order_by("-pk"))
        units = _choose_units(order, lines)
        if earlier and (not units or _is_same(earlier[0], now=now)):
            request = earlier[0]
        elif not units:
            raise NothingToCancel("Everything on this order is cancelled already.")
        else:
            request = CancellationRequest.objects.create(
                source=WEB,
                number=f"{prefix}{len(earlier) + 1}",
                customer_id=order.customer_id,
                currency=order.currency,
                reason=reason,
                actor=actor,
                open_parts=1,
                requested_at=now,
            )
            take_back(request=request, orders=[order], units=units, actor=actor, now=now)
        enqueue("orders.tasks.process_order_cancellation", order.pk, **({"task_id": task_id} if task_id else {}))
        return request


def _is_same(request: CancellationRequest, *, now: datetime) -> bool:
    is_open = request.completed_at is None
    return is_open or request.requested_at > now - DOUBLE_CLICK


def _choose_units(order: Order, lines: Mapping[int, int] | None) -> list[UnitsBack]:
    if lines is None:
        return [
            UnitsBack(order_id=order.pk, line_number=line.number, quantity=line.quantity - line.cancelled_quantity)
            for line in order.lines.all()
            if line.quantity > line.cancelled_quantity
        ]
    if not lines:
        raise InvalidInput("lines: name at least one line, or leave it out to cancel all that is left.", field="lines")
    return [UnitsBack(order_id=order.pk, line_number=number, quantity=units) for number, units in lines.items()]


def import_cancellation(
    *,
    source: str,
    number: str,
    customer_reference: str,
    currency: str,
    reason: str,
    lines: Sequence[CancelledLine],
    unmatched: Sequence[UnmatchedData],
    requested_at: datetime,
    actor: str,
    now: datetime,
    customer_email: str = "",
) -> tuple[CancellationRequest, bool]:
    """Take over one cancellation document of a feed; return its request and whether it is new.

    The same document again changes nothing; another under a known number is refused (OrderDiffers). What no order
    covers is kept beside the parts. A document without any part is complete at once. Raises InvalidInput, LineInvalid
    and NothingToCancel, which name the line; nothing is written then.
    """
    check_feed_source(source)
    existing = CancellationRequest.objects.filter(source=source, number=number).first()
    if existing is None:
        _check_document(currency=currency, lines=lines, unmatched=unmatched)
        try:
            with transaction.atomic():
                request = CancellationRequest.objects.create(
                    source=source,
                    number=number,
                    customer=_find_customer(source=source, reference=customer_reference, email=customer_email),
                    currency=currency,
                    reason=reason,
                    actor=actor,
                    open_parts=len({line.order_number for line in lines}),
                    requested_at=requested_at,
                )
                _add_unmatched(request, unmatched)
                _add_parts(request, lines, reference=customer_reference, actor=actor, now=now)
                finish_request(request=request, now=now)
            return request, True
        except IntegrityError:  # another request with this number was first
            existing = CancellationRequest.objects.filter(source=source, number=number).first()
            if existing is None:
                raise
    _compare(existing, currency=currency, lines=lines, unmatched=unmatched)
    return existing, False


def _check_document(*, currency: str, lines: Sequence[CancelledLine], unmatched: Sequence[UnmatchedData]) -> None:
    if not lines and not unmatched:
        raise InvalidInput("lines: a cancellation takes something back.", field="lines")
    exponent(currency)


def _find_customer(*, source: str, reference: str, email: str) -> Customer | None:
    """Return the feed's customer, made where the document brings an address of one who never ordered here.

    None for a guest, and for a stranger without an address.
    """
    if reference and email:
        return ensure_feed_customer(source=source, data=CustomerData(reference=reference, email=email))
    return Customer.objects.filter(source=source, external_reference=reference).first() if reference else None


def _add_parts(
    request: CancellationRequest, lines: Sequence[CancelledLine], *, reference: str, actor: str, now: datetime
) -> None:
    """Lock the orders in order of their primary key and take the units back from them."""
    ids = _find_orders(request, lines, reference=reference)
    orders = list(Order.objects.select_for_update().filter(pk__in=set(ids.values())).order_by("pk")) if ids else []
    units = [
        UnitsBack(
            order_id=ids[line.order_number],
            line_number=line.line_number,
            quantity=line.quantity,
            unit_price=line.unit_price,
        )
        for line in lines
    ]
    if units:
        take_back(request=request, orders=orders, units=units, actor=actor, now=now)
    for order in orders:
        enqueue("orders.tasks.process_order_cancellation", order.pk)


def _find_orders(request: CancellationRequest, lines: Sequence[CancelledLine], *, reference: str) -> dict[str, int]:
    """Return the ids of the orders by number, or name the line whose order is not the same customer's."""
    rows = Order.objects.filter(source=request.source, number__in={line.order_number for line in lines}).values_list(
        "number", "pk", "currency", "customer__external_reference"
    )
    found = {number: (pk, currency, owner or "") for number, pk, currency, owner in rows}
    for index, line in enumerate(lines):
        field = f"lines[{index}].order"
        order = found.get(line.order_number)
        if order is None:
            raise LineInvalid(f"{field}: there is no order {line.order_number!r} of {request.source}.", field=field)
        if order[1] != request.currency:
            raise LineInvalid(f"{field}: order {line.order_number!r} is in {order[1]}.", field=field)
        if order[2] != reference:
            raise LineInvalid(f"{field}: order {line.order_number!r} is another customer's.", field=field)
    return {number: pk for number, (pk, _, _) in found.items()}


def _add_unmatched(request: CancellationRequest, unmatched: Sequence[UnmatchedData]) -> None:
    UnmatchedLine.objects.bulk_create(
        UnmatchedLine(
            request=request,
            number=number,
            sku=line.sku,
            description=line.description,
            quantity=line.quantity,
            unit_price=line.unit_price,
            amount_minor=line_total(line.unit_price, line.quantity, request.currency),
        )
        for number, line in enumerate(unmatched, start=1)
    )


def _compare(
    request: CancellationRequest,
    *,
    currency: str,
    lines: Sequence[CancelledLine],
    unmatched: Sequence[UnmatchedData],
) -> None:
    """Raise OrderDiffers when the document that is there takes back anything else."""
    given = sorted(
        (
            line.order_number,
            line.line_number,
            line.quantity,
            line_total(line.unit_price, line.quantity, request.currency),
        )
        for line in lines
    )
    there = CancellationLine.objects.filter(cancellation__request=request).values_list(
        "cancellation__order__number", "order_line__number", "quantity", "credited_minor"
    )
    given_unmatched = sorted((line.sku, line.quantity, line.unit_price) for line in unmatched)
    there_unmatched = request.unmatched_lines.values_list("sku", "quantity", "unit_price")
    if request.currency != currency or given != sorted(there) or given_unmatched != sorted(there_unmatched):
        raise OrderDiffers(
            f"lines: cancellation {request.number} of {request.source} is there already and differs.", field="lines"
        )
