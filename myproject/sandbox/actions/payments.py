"""What the customer does on the payment page."""

from __future__ import annotations

import uuid
from datetime import datetime

from ..database import writing
from ..models import Entry, Order, Payment
from ..queries.orders import get_order_of_page
from ..states import move_order
from .record import add_entry
from .webhooks import add_event

# kind of the record's row -> events, in the order in which they are sent
EVENTS = {
    Entry.Kind.CHARGED: ("TXN_CREATED", "TXN_CHARGED", "ORDER_SUCCEEDED"),
    Entry.Kind.DECLINED: ("TXN_CREATED", "TXN_FAILED", "ORDER_FAILED"),
    Entry.Kind.ABANDONED: ("TXN_CREATED",),
}


def pay_order(*, page_id: str, action: str, decline_status: str, now: datetime) -> Order | None:
    """Carry out `action` (approve, decline, abandon) and return the order, or None when there is no such page.

    A paid order stays paid, whatever is pressed: the customer who presses twice is charged once.
    """
    with writing(wakes_background=True):
        order = get_order_of_page(page_id)
        if order is None or order.status == "CHARGED":
            return order
        if action == "approve":
            status, kind = "CHARGED", Entry.Kind.CHARGED
        elif action == "abandon":
            status, kind = "PENDING_VBV", Entry.Kind.ABANDONED
        else:
            status, kind = decline_status, Entry.Kind.DECLINED
        payment = _add_payment(order=order, status=status, now=now)
        move_order(order, status, latest_payment=payment)
        add_entry(
            kind=kind,
            order_id=order.order_id,
            reference=payment.txn_id,
            currency=order.currency,
            amount=order.amount,
            outcome=status,
            now=now,
        )
        for event in EVENTS[kind]:
            add_event(name=event, order=order, refunds=(), now=now)
        return order


def _add_payment(*, order: Order, status: str, now: datetime) -> Payment:
    identifier = uuid.uuid4().hex
    declined = status not in ("CHARGED", "PENDING_VBV")
    return Payment.objects.create(
        txn_id=f"sandbox-{order.order_id}-{identifier[:8]}",
        txn_uuid=f"mop{identifier[:29]}",
        order=order,
        status=status,
        gateway_reference=identifier[16:] if status == "CHARGED" else "",
        error_code=status if declined else "",
        error_message="The stand-in declined the payment." if declined else "",
        created_at=now,
    )
