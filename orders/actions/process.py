"""Processing a paid order: stock out, sale booked, customer told."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Sum

from catalog.actions import Movement, move_stock
from catalog.models import MovementKind
from myproject.jobs.sending import enqueue
from myproject.logging import bind_order
from orders.actions import ledger
from orders.actions.events import move
from orders.actions.messages import confirm_order
from orders.models import Account, CancellationLine, LineKind, Order, OrderLine
from orders.states import CancellationStatus, OrderStatus

REVENUE = {
    LineKind.GOODS: Account.SALES,
    LineKind.GIFT: Account.SALES,
    LineKind.POSTAGE: Account.POSTAGE_INCOME,
    LineKind.FEE: Account.FEE_INCOME,
    LineKind.VOUCHER: Account.VOUCHER_LIABILITY,
    LineKind.DISCOUNT: Account.DISCOUNTS,
}
"""Where the value of a line goes, by its kind. A discount's value is negative, so it stands on the other side."""


def process_order(*, order_id: int, now: datetime, actor: str = "task") -> dict[str, Any]:
    """Process one order and tell what came of it; only a paid order is touched, so a second run changes nothing.

    `status` is "ok", "not_found", "not_paid", "already_processed" or "cancelled". Raises InsufficientStock; the order
    then stays paid, and the sweep tries again.
    """
    with transaction.atomic():
        order = Order.objects.select_for_update().filter(pk=order_id).first()
        if order is None:
            return {"status": "not_found", "order_id": order_id}
        bind_order(order.number)
        if order.status != OrderStatus.PAID:
            return {"status": _REFUSALS[order.status], "order_id": order_id}
        lines = list(order.lines.all())
        process_paid_order(order=order, lines=lines, actor=actor, now=now)
        if any(line.cancelled_quantity for line in lines):
            enqueue("orders.tasks.process_order_cancellation", order.pk)
        return {"status": "ok", "order_id": order_id}


_REFUSALS: dict[str, str] = {
    OrderStatus.PENDING_PAYMENT: "not_paid",
    OrderStatus.PROCESSED: "already_processed",
    OrderStatus.CANCELLED: "cancelled",
}


def process_paid_order(*, order: Order, lines: Sequence[OrderLine], actor: str, now: datetime) -> None:
    """Take stock out, book the sale, move to PROCESSED, confirm. The caller holds the lock on the order, which is paid.

    Units of cancellations that were carried out before now never leave the house; units of those still to be carried
    out do, and come back with them. Raises InsufficientStock; nothing is written then.
    """
    kept_units, kept_minor = _cancelled_before(order, lines)
    reference = f"{order.source}/{order.number}"[:64]
    move_stock(
        movements=[
            Movement(
                variant_id=line.variant_id,
                quantity=-(line.quantity - kept_units.get(line.pk, 0)),
                kind=MovementKind.SALE,
                operation_key=f"order:{order.pk}:line:{line.number}",
                reference=reference,
            )
            for line in lines
            if line.kind == LineKind.GOODS and line.variant_id and line.quantity > kept_units.get(line.pk, 0)
        ],
        now=now,
    )
    values: dict[Account, int] = {}
    for line in lines:
        account = REVENUE[LineKind(line.kind)]
        values[account] = values.get(account, 0) + line.total_minor - kept_minor.get(line.pk, 0)
    ledger.post(
        operation_key=f"order:{order.pk}:sale",
        kind="sale",
        order_id=order.pk,
        legs=[
            (Account.CUSTOMER_PREPAYMENTS, sum(values.values())),
            *((account, -value) for account, value in values.items()),
        ],
        currency=order.currency,
        now=now,
    )
    move(order, OrderStatus.PROCESSED, actor=actor, now=now, processed_at=now)
    confirm_order(order=order, customer=order.customer, line_count=len(lines), now=now)


def _cancelled_before(order: Order, lines: Sequence[OrderLine]) -> tuple[dict[int, int], dict[int, int]]:
    """Return units and money per order line of the cancellations that were carried out while nothing had left."""
    if not any(line.cancelled_quantity for line in lines):
        return {}, {}
    rows = (
        CancellationLine.objects.filter(cancellation__order=order)
        .exclude(cancellation__status=CancellationStatus.REQUESTED)
        .values_list("order_line_id")
        .annotate(units=Sum("quantity"), minor=Sum("amount_minor"))
    )
    found = {pk: (units, minor) for pk, units, minor in rows}
    return {pk: units for pk, (units, _) in found.items()}, {pk: minor for pk, (_, minor) in found.items()}
