"""Rows that stopped on their way, and the sweep that finds them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from myproject.jobs.models import Job
from myproject.jobs.states import JobState
from orders.actions.sweep import sweep_stuck_orders
from orders.models import Cancellation, CancellationRequest, Order, Payment, Refund
from orders.states import PaymentStatus, RefundStatus
from tests.orders.factories import NOW
from tests.promises import Promises

#: A second before a row of NOW counts as stuck, and the moment when it does.
EARLY, LATE = NOW + timedelta(seconds=59), NOW + timedelta(seconds=60)


def touch(row: Any, moment: datetime = NOW, **changes: Any) -> Any:
    """Make a row look as if it had last been touched then."""
    times = {name: moment for name in ("created_at", "updated_at") if hasattr(row, name)}
    type(row).objects.filter(pk=row.pk).update(**(times | changes))
    row.refresh_from_db()
    return row


def make_payment(order: Order, status: str, sequence: int = 1, **changes: Any) -> Payment:
    payment = Payment.objects.create(
        order=order,
        sequence=sequence,
        provider_order_id=f"P{order.pk}N{sequence}",
        amount_minor=1530,
        currency="GBP",
        status=status,
        captured_minor=1530 if status == PaymentStatus.CAPTURED else 0,
    )
    return touch(payment, **changes)


def make_cancellation(order: Order, number: str = "C1", status: str = "processed") -> Cancellation:
    request = CancellationRequest.objects.create(
        source="feed", number=number, currency="GBP", actor="test", open_parts=1, requested_at=NOW
    )
    return touch(request.parts.create(order=order, status=status))


def make_refund(order: Order, status: str, number: str = "C1", **changes: Any) -> Refund:
    payment = order.payments.first() or make_payment(order, PaymentStatus.CAPTURED)
    refund = Refund.objects.create(
        cancellation=make_cancellation(order, number),
        payment=payment,
        amount_minor=510,
        currency="GBP",
        reason=f"cancellation {number}",
        request_id=f"R{order.pk}{number}",
        status=status,
        settled_at=NOW if status == RefundStatus.SETTLED else None,
    )
    return touch(refund, **changes)


def swept(sent: Promises, now: datetime) -> tuple[dict[str, int], list[tuple[Any, ...]]]:
    before = len(sent())
    counts = sweep_stuck_orders(now=now)
    return {kind: count for kind, count in counts.items() if count}, sent()[before:]


def end_jobs(state: JobState = JobState.SUCCEEDED) -> None:
    """Let every job end, with whatever outcome."""
    Job.objects.update(state=state)
