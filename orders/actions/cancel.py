"""Carrying out cancellations: stock back, money planned to go back, and the end of a request that reaches far."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import structlog
from django.db import transaction
from django.db.models import F, Sum

from catalog.actions import Movement, move_stock
from catalog.errors import InsufficientStock
from catalog.models import MovementKind
from myproject.jobs.sending import enqueue
from myproject.logging import bind_order
from orders.actions import ledger
from orders.actions.events import move, record_event
from orders.actions.importing import pay_if_free
from orders.actions.messages import announce_cancellation
from orders.actions.process import process_paid_order
from orders.actions.refunds import RefundExceedsCaptured, enqueue_refund, plan_refund
from orders.models import (
    Account,
    Cancellation,
    CancellationLine,
    CancellationRequest,
    LineKind,
    Order,
    OrderLine,
    Refund,
)
from orders.states import CancellationStatus, OrderStatus, RefundStatus

logger = structlog.get_logger(__name__)

#: The event of an order whose cancellations wait for a person.
BLOCKED = "cancellation.blocked"


def process_order_cancellation(*, order_id: int, now: datetime, actor: str = "task") -> dict[str, Any]:
    """Carry out everything that waits to be cancelled on one order and tell what came of it.

    A paid order is processed first, so that what leaves and what comes back are both on record; where the stock for
    that is missing, the units never leave and only the money goes back. `status` is "ok", "not_found",
    "nothing_pending", which is what a second run finds, or "blocked": no payment holds enough, nothing was carried out,
    an event says so, and a person has to look. That is no exception, because the event is to be committed.
    """
    try:
        return _process_pending(order_id=order_id, actor=actor, now=now)
    except RefundExceedsCaptured as error:
        _note_blocked(order_id=order_id, error=error, actor=actor, now=now)
        return {"status": "blocked", "order_id": order_id, "cancellations": 0, "reason": error.code}


def _note_blocked(*, order_id: int, error: RefundExceedsCaptured, actor: str, now: datetime) -> None:
    """Write down once that an order's cancellations cannot be carried out, however often that is found."""
    with transaction.atomic():
        order = Order.objects.select_for_update().get(pk=order_id)
        requested = order.cancellations.filter(status=CancellationStatus.REQUESTED).order_by("pk")
        waiting = ",".join(str(pk) for pk in requested.values_list("pk", flat=True))
        said = order.events.filter(kind=BLOCKED).order_by("pk").last()
        if said is not None and said.data.get("waiting") == waiting:
            return
        logger.error("a cancellation cannot be carried out", order=order_id, waiting=waiting, reason=error.message)
        record_event(
            order_id=order_id,
            kind=BLOCKED,
            subject=f"order {order_id}",
            actor=actor,
            data={"reason": error.code, "waiting": waiting},
            now=now,
        )


def _process_pending(*, order_id: int, actor: str, now: datetime) -> dict[str, Any]:
    with transaction.atomic():
        order = Order.objects.select_for_update().filter(pk=order_id).first()
        if order is None:
            return {"status": "not_found", "order_id": order_id, "cancellations": 0}
        bind_order(order.number)
        pending = list(
            order.cancellations.filter(status=CancellationStatus.REQUESTED).select_related("request").order_by("pk")
        )
        if not pending:
            return {"status": "nothing_pending", "order_id": order_id, "cancellations": 0}
        # Locked before the stock is, as everywhere; refunds are planned on them below.
        payments = list(order.payments.select_for_update().order_by("pk"))
        lines = list(order.lines.all())
        if order.status == OrderStatus.PAID:
            _process_first(order=order, lines=lines, actor=actor, now=now)
        held = sum(payment.captured_minor - payment.refund_planned_minor for payment in payments)
        _carry_out_all(order=order, pending=pending, held=held, actor=actor, now=now)
        if all(line.cancelled_quantity == line.quantity for line in lines):
            move(order, OrderStatus.CANCELLED, actor=actor, now=now)
        elif order.status == OrderStatus.PAID:
            enqueue("orders.tasks.process_order", order.pk)  # what is left may fit the stock
        elif order.status == OrderStatus.PENDING_PAYMENT:
            pay_if_free(order=order, actor=actor, now=now)  # a gift may be all that is left
        return {"status": "ok", "order_id": order_id, "cancellations": len(pending)}


def _process_first(*, order: Order, lines: Sequence[OrderLine], actor: str, now: datetime) -> None:
    try:
        with transaction.atomic():
            process_paid_order(order=order, lines=lines, actor=actor, now=now)
    except InsufficientStock:
        return  # the order stays paid: units that cannot leave need not come back


def _carry_out_all(*, order: Order, pending: Sequence[Cancellation], held: int, actor: str, now: datetime) -> None:
    """Carry out the pending cancellations; `held` is what payments brought in and no refund takes."""
    by_cancellation: defaultdict[int, list[CancellationLine]] = defaultdict(list)
    lines = CancellationLine.objects.filter(cancellation__in=pending).select_related("order_line")
    rows = list(lines.order_by("number"))
    for row in rows:
        by_cancellation[row.cancellation_id].append(row)
    if order.status == OrderStatus.PROCESSED:
        _take_stock_back(order=order, rows=rows, now=now)
    # The value of what is left before these cancellations, at the price that was agreed.
    left = order.total_minor - order.cancelled_minor + sum(row.amount_minor for row in rows)
    for cancellation in pending:
        cancellation.order = order
        amount = sum(row.amount_minor for row in by_cancellation[cancellation.pk])
        left -= amount
        # A payment that was started after the request was already for less: only what is held above the value of
        # what is left goes back.
        refund = max(0, min(amount, held - left))
        held -= refund
        _carry_out(cancellation=cancellation, amount=amount, refund=refund, actor=actor, now=now)


def _take_stock_back(*, order: Order, rows: Sequence[CancellationLine], now: datetime) -> None:
    """Book the goods of all cancellations in one go: one ordered lock for all of them."""
    move_stock(
        movements=[
            Movement(
                variant_id=row.order_line.variant_id,
                quantity=row.quantity,
                kind=MovementKind.CANCELLATION,
                operation_key=f"cancellation:{row.cancellation_id}:line:{row.number}",
                reference=f"{order.source}/{order.number}"[:64],
            )
            for row in rows
            if row.order_line.kind == LineKind.GOODS and row.order_line.variant_id
        ],
        now=now,
    )


def _carry_out(*, cancellation: Cancellation, amount: int, refund: int, actor: str, now: datetime) -> None:
    """Book one cancellation, plan its refund and move it on; one without money is complete at once."""
    order = cancellation.order
    if order.status == OrderStatus.PROCESSED:
        legs = [
            (Account.SALES_RETURNS, amount),
            (Account.REFUNDS_PAYABLE, -refund),
            (Account.CUSTOMER_PREPAYMENTS, refund - amount),
        ]
    else:
        legs = [(Account.CUSTOMER_PREPAYMENTS, refund), (Account.REFUNDS_PAYABLE, -refund)]
    ledger.post(
        operation_key=f"cancellation:{cancellation.pk}",
        kind="cancellation",
        order_id=order.pk,
        legs=legs,
        currency=order.currency,
        now=now,
    )
    move(cancellation, CancellationStatus.PROCESSED, actor=actor, now=now, processed_at=now, refund_minor=refund)
    planned = plan_refund(cancellation=cancellation, amount_minor=refund, actor=actor, now=now)
    if planned.status == RefundStatus.SETTLED:
        complete_cancellation(cancellation_id=cancellation.pk, actor=actor, now=now)
    else:
        enqueue_refund(planned)


def complete_cancellation(*, cancellation_id: int, actor: str, now: datetime) -> None:
    """Complete one part of a request once all its refunds are settled; the last part completes the request.

    Runs in the caller's transaction, which holds the lock on the part's order. Two parts that end at the same moment
    meet at the request's row: its counter is lowered by the database and read back under that lock, so exactly one of
    them sees zero. A part that is complete, or whose money is still on its way, is left alone.
    """
    cancellation = Cancellation.objects.select_for_update().get(pk=cancellation_id)
    if cancellation.status == CancellationStatus.COMPLETED:
        return
    if cancellation.refunds.exclude(status=RefundStatus.SETTLED).exists():
        return
    move(cancellation, CancellationStatus.COMPLETED, actor=actor, now=now, completed_at=now)
    requests = CancellationRequest.objects.filter(pk=cancellation.request_id)
    requests.update(open_parts=F("open_parts") - 1, updated_at=now)
    finish_request(request=requests.select_related("customer").get(), now=now)


def finish_request(*, request: CancellationRequest, now: datetime) -> None:
    """Close a request of which no part is open, and tell its customer. The caller holds the lock on its row."""
    if request.open_parts or request.completed_at is not None:
        return
    request.completed_at = now
    request.save(update_fields=["completed_at", "updated_at"])
    settled = Refund.objects.filter(cancellation__request=request, status=RefundStatus.SETTLED)
    announce_cancellation(
        request=request,
        order_numbers=list(request.parts.order_by("order_id").values_list("order__number", flat=True)),
        refunded_minor=settled.aggregate(total=Sum("amount_minor"))["total"] or 0,
        unmatched_minor=request.unmatched_lines.aggregate(total=Sum("amount_minor"))["total"] or 0,
        now=now,
    )
