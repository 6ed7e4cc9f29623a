"""Planning refunds: which payment, how much, under which id. Nothing here talks to the provider.

Lock order everywhere: the order, its payments by primary key, then stock.
"""

from __future__ import annotations

import base64
import hashlib
from datetime import datetime

from django.db import transaction
from django.db.models import F, Sum

from myproject.errors import Conflict, NotFound, TerminalError
from myproject.jobs.sending import enqueue
from myproject.money import format_minor
from orders.actions.events import move, record_event
from orders.actions.ledger import post
from orders.actions.sources import EXCESS
from orders.models import Account, Cancellation, CancellationLine, CancellationRequest, Order, Payment, Refund
from orders.states import CancellationStatus, PaymentStatus, RefundStatus


class RefundExceedsCaptured(TerminalError):
    """No payment of the order has that much left: nothing was planned. Read by the operator."""

    code = "refund_exceeds_captured"


class RefundNotFailed(Conflict):
    """Only a refund that the provider failed can be tried under a new id. Read by the operator."""

    code = "refund_not_failed"


def refund_request_id(*, cancellation: Cancellation, sequence: int, attempt: int) -> str:
    """Return the provider's idempotency key of one attempt: 20 characters A-Z and 2-7, the same for the same input."""
    request, order = cancellation.request, cancellation.order
    fact = ("refund", request.source, request.number, order.source, order.number, str(sequence), str(attempt))
    return base64.b32encode(hashlib.sha256("\0".join(fact).encode()).digest())[:20].decode()


def plan_refund(*, cancellation: Cancellation, amount_minor: int, now: datetime, actor: str = "task") -> Refund:
    """Plan the money of one cancellation, in the caller's transaction, which holds the lock on the order.

    Locks the order's captured payments and reserves the amount on one of them. Nothing to refund (an amount of zero,
    an order that was never paid) gives a refund of zero that is settled at once, without any call: its cancellation
    can be completed by the caller. Raises RefundExceedsCaptured.
    """
    if amount_minor < 0:
        raise RefundExceedsCaptured(f"cancellation {cancellation.pk}: a refund of {amount_minor} cannot be planned.")
    payment = _find_payment(cancellation.order, amount_minor) if amount_minor else None
    refund = Refund.objects.create(
        cancellation=cancellation,
        payment=payment,
        amount_minor=amount_minor if payment is not None else 0,
        currency=cancellation.order.currency,
        reason=f"cancellation {cancellation.request.number}"[:191],
        request_id=refund_request_id(cancellation=cancellation, sequence=1, attempt=1),
    )
    if payment is None:
        return move(refund, RefundStatus.SETTLED, actor=actor, now=now, settled_at=now)
    Payment.objects.filter(pk=payment.pk).update(
        refund_planned_minor=F("refund_planned_minor") + amount_minor, updated_at=now
    )
    record_event(
        order_id=cancellation.order_id,
        kind="refund.planned",
        subject=f"refund {refund.pk}",
        to_status=RefundStatus.PLANNED,
        actor=actor,
        data={"amount": format_minor(amount_minor, refund.currency), "request_id": refund.request_id},
        now=now,
    )
    return refund


def _find_payment(order: Order, amount_minor: int) -> Payment | None:
    """Return the first captured payment with that much left, locked; None for an order that was never paid."""
    captured = list(
        Payment.objects.select_for_update().filter(order=order, status=PaymentStatus.CAPTURED).order_by("pk")
    )
    for payment in captured:
        if payment.captured_minor - payment.refund_planned_minor >= amount_minor:
            return payment
    if captured:
        wanted = format_minor(amount_minor, order.currency)
        raise RefundExceedsCaptured(f"order {order.number}: no payment has {wanted} left.")
    return None


def enqueue_refund(refund: Refund) -> None:
    """Have a planned refund sent when the transaction commits; a settled one needs nothing."""
    if refund.status == RefundStatus.PLANNED:
        amount = format_minor(refund.amount_minor, refund.currency)
        order_id = refund.cancellation.order_id
        enqueue("orders.tasks.initiate_juspay_refund", order_id, amount, refund.reason)


def retry_refund(*, refund_id: int, actor: str, now: datetime) -> Refund:
    """Plan a failed refund again, under a new id, because the provider never takes one twice; and have it sent.

    Raises NotFound, RefundNotFailed and RefundExceedsCaptured.
    """
    with transaction.atomic():
        refund = (
            Refund.objects.select_related("cancellation__request", "cancellation__order").filter(pk=refund_id).first()
        )
        if refund is None or refund.payment_id is None:
            raise NotFound("There is no such refund.")
        Order.objects.select_for_update().get(pk=refund.cancellation.order_id)
        payment = Payment.objects.select_for_update().get(pk=refund.payment_id)
        refund.refresh_from_db(fields=["status", "attempt"])
        if refund.status != RefundStatus.FAILED:
            raise RefundNotFailed(f"Refund {refund.request_id} is {refund.status}.", current=refund.status)
        if payment.captured_minor - payment.refund_planned_minor < refund.amount_minor:
            raise RefundExceedsCaptured(f"refund {refund.request_id}: its payment has not that much left.")
        attempt = refund.attempt + 1
        request_id = refund_request_id(cancellation=refund.cancellation, sequence=refund.sequence, attempt=attempt)
        data = {"previous_request_id": refund.request_id, "request_id": request_id, "attempt": attempt}
        move(refund, RefundStatus.PLANNED, actor=actor, now=now, data=data, request_id=request_id, attempt=attempt)
        Payment.objects.filter(pk=payment.pk).update(
            refund_planned_minor=F("refund_planned_minor") + refund.amount_minor, updated_at=now
        )
        enqueue_refund(refund)
        return refund


def plan_excess_refund(*, payment: Payment, now: datetime, actor: str = "task") -> Refund | None:
    """Send back what the order's payments hold above the value of what is left of it; None when they do not.

    That is so when a cancellation was carried out between the start of a payment and its capture, when the order was
    cancelled altogether, or when two payments were captured. The money needs a document of its own, because the
    cancellations themselves were completed without any. Runs in the transaction that captured the payment.
    """
    order = payment.order
    excess = _held_minor(order) - (order.total_minor - _carried_out_minor(order))
    if excess <= 0:
        return None
    request = CancellationRequest.objects.create(
        source=EXCESS,
        number=payment.provider_order_id,
        customer_id=order.customer_id,
        currency=order.currency,
        reason="captured above the amount due",
        actor=actor,
        open_parts=1,
        requested_at=now,
    )
    cancellation = Cancellation.objects.create(request=request, order=order, refund_minor=excess)
    move(cancellation, CancellationStatus.PROCESSED, actor=actor, now=now, processed_at=now)
    refund = plan_refund(cancellation=cancellation, amount_minor=excess, actor=actor, now=now)
    post(
        operation_key=f"payment:{payment.pk}:excess",
        kind="excess",
        legs=((Account.CUSTOMER_PREPAYMENTS, excess), (Account.REFUNDS_PAYABLE, -excess)),
        currency=order.currency,
        order_id=order.pk,
        now=now,
    )
    enqueue_refund(refund)
    return refund


def _held_minor(order: Order) -> int:
    """Return what the order's payments captured and no refund has taken or will take."""
    sums = order.payments.aggregate(captured=Sum("captured_minor"), planned=Sum("refund_planned_minor"))
    return (sums["captured"] or 0) - (sums["planned"] or 0)


def _carried_out_minor(order: Order) -> int:
    """Return the value of the cancellations that were carried out; those still requested plan their own refund."""
    lines = CancellationLine.objects.filter(cancellation__order=order)
    carried_out = lines.exclude(cancellation__status=CancellationStatus.REQUESTED)
    return carried_out.aggregate(value=Sum("amount_minor"))["value"] or 0
