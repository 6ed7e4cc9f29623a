"""Accepting refunds and settling them."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta

from .. import errors
from ..configuration import configuration
from ..database import writing
from ..faults.choosing import choose_fault
from ..models import Entry, Order, Refund
from ..queries.orders import find_refunds
from ..states import REFUNDS_THAT_HOLD_MONEY, move_refund
from .record import add_entry
from .webhooks import add_event

OUTCOMES = {"refund_failure": "FAILURE", "refund_manual_review": "MANUAL_REVIEW"}
EVENTS = {
    "SUCCESS": "ORDER_REFUNDED",
    "FAILURE": "ORDER_REFUND_FAILED",
    "MANUAL_REVIEW": "REFUND_MANUAL_REVIEW_NEEDED",
}
# Refunds settled in one transaction: a burst of the replay fits, and requests wait for the lock a few milliseconds.
SETTLED_AT_ONCE = 50


@dataclass(frozen=True)
class NewRefund:
    """A refund as asked for; `amount` None is the whole order, `amount` 0 stands for text that is no amount."""

    unique_request_id: str
    amount: int | None
    refund_type: str = "STANDARD"


def accept_refund(*, order: Order, new: NewRefund, now: datetime) -> Refund:
    """Accept the refund as PENDING. Raises ApiError with the provider's own answer when a rule forbids it."""
    with writing(wakes_background=True):
        order.refresh_from_db(fields=["status"])
        amount = _check_refund(order=order, new=new, now=now)
        fault = choose_fault(endpoint="settlement", order_id=order.order_id)
        delay = configuration().settlement_delay + (fault.seconds if fault else 0)
        refund = Refund.objects.create(
            order=order,
            unique_request_id=new.unique_request_id,
            amount=amount,
            refund_type=new.refund_type,
            outcome=OUTCOMES.get(fault.kind, "SUCCESS") if fault else "SUCCESS",
            created_at=now,
            due_at=now + timedelta(seconds=delay),
        )
        _record(Entry.Kind.REFUND_ACCEPTED, refund, now=now)
        add_event(name="REFUND_INITIATED", order=order, refunds=find_refunds(order), now=now)
        return refund


def _check_refund(*, order: Order, new: NewRefund, now: datetime) -> int:
    if Refund.objects.filter(unique_request_id=new.unique_request_id).exists():
        raise errors.duplicate_request_id()
    amount = order.amount if new.amount is None else new.amount
    if amount < max(1, configuration().minimum_refund.get(order.currency, 1)):
        raise errors.invalid_amount()
    if order.status != "CHARGED":
        raise errors.order_not_charged()
    earlier = find_refunds(order)
    window = timedelta(seconds=configuration().refund_window)
    if any(refund.amount == amount and now - refund.created_at < window for refund in earlier):
        raise errors.duplicate_amount()
    held = sum(refund.amount for refund in earlier if refund.status in REFUNDS_THAT_HOLD_MONEY)
    if held + amount > order.amount:
        raise errors.amount_exceeded()
    return amount


def settle_due_refunds(*, now: datetime) -> int:
    """Settle the refunds whose time has come, oldest first, and return how many."""
    due = Refund.objects.filter(status="PENDING", due_at__lte=now)
    with writing():
        refunds = list(due.select_related("order__latest_payment").order_by("due_at", "pk")[:SETTLED_AT_ONCE])
        for refund in refunds:
            reference = uuid.uuid4().hex[:24] if refund.outcome == "SUCCESS" else ""
            move_refund(refund, refund.outcome, gateway_reference=reference, now=now)
            _record(Entry.Kind.REFUND_SETTLED, refund, now=now)
            add_event(name=EVENTS[refund.status], order=refund.order, refunds=find_refunds(refund.order), now=now)
        return len(refunds)


def _record(kind: Entry.Kind, refund: Refund, *, now: datetime) -> None:
    add_entry(
        kind=kind,
        order_id=refund.order.order_id,
        reference=refund.unique_request_id,
        currency=refund.order.currency,
        amount=refund.amount,
        outcome=refund.status,
        now=now,
    )
