"""Payments: started at the provider, and settled by what the provider says when it is asked.

A webhook, a poll and the sweep all end in `apply_provider_order`; none of them moves money by itself.
"""

from __future__ import annotations

import base64
import hashlib
from datetime import datetime, timedelta

import structlog
from django.conf import settings
from django.db import transaction

from myproject.errors import Conflict, NotFound, TerminalError, UnknownOutcomeError
from myproject.jobs.running import fence
from myproject.jobs.sending import enqueue
from myproject.logging import bind_order
from myproject.money import format_minor
from myproject.states import TransitionLost
from orders.actions.events import move, move_locked, record_event
from orders.actions.ledger import post
from orders.actions.refund_settlement import apply_refunds
from orders.actions.refunds import plan_excess_refund
from orders.gateways import NewSession, OrderOutcome, OrderSnapshot, SessionConflict, get_gateway
from orders.models import Account, Order, Payment
from orders.states import OrderStatus, PaymentStatus

logger = structlog.get_logger(__name__)

#: Statuses of a payment that the customer can still make.
OPEN = (PaymentStatus.CREATED, PaymentStatus.PENDING)
#: A payment page that nobody finished for a day is given up; money that comes later still counts.
ABANDON_AFTER = timedelta(hours=24)
#: Marks a payment whose money does not fit: the sweep leaves it to the operator.
MISMATCH = "mismatch"
#: The provider's words for money that it gave back by itself. After a capture no booking of ours fits that.
REVERSED = frozenset({"AUTO_REFUNDED", "VOIDED"})


class OrderNotPayable(Conflict):
    """The order does not wait for a payment. Read by the caller of the API."""

    code = "order_not_payable"


class PaymentMismatch(TerminalError):
    """The provider holds another amount or currency than was asked for: nothing was booked. Read by the operator."""

    code = "payment_mismatch"


def provider_order_id(*, source: str, number: str, sequence: int) -> str:
    """Return the provider's id for an order's payment: 20 characters A-Z and 2-7, the same for the same input."""
    digest = hashlib.sha256(f"payment\0{source}\0{number}\0{sequence}".encode()).digest()
    return base64.b32encode(digest)[:20].decode()


def start_payment(*, order_id: int, actor: str, now: datetime) -> Payment:
    """Return a payment of the order that the customer can make, with its link: the open one, or a new one.

    The row and its provider id are committed before the provider is called, so whatever dies or times out, the next
    call goes on with the same order at the provider. Raises NotFound, OrderNotPayable, RetryableError,
    UnknownOutcomeError (ask again) and TerminalError.
    """
    payment, order = _open_payment(order_id=order_id, actor=actor, now=now)
    if payment.status == PaymentStatus.PENDING:
        return payment
    new = NewSession(
        provider_order_id=payment.provider_order_id,
        amount_minor=payment.amount_minor,
        currency=payment.currency,
        customer_reference=f"customer{order.customer_id}",
        description=f"Order {order.number}",
        return_url=f"{settings.SITE_URL}/",
    )
    gateway = get_gateway(payment.provider)
    try:
        session = gateway.create_session(new=new)
    except (SessionConflict, UnknownOutcomeError):
        return _resume_payment(payment, new=new, actor=actor, now=now)
    return _record_session(payment, link=session.payment_link, actor=actor, now=now)


def _open_payment(*, order_id: int, actor: str, now: datetime) -> tuple[Payment, Order]:
    """Return the order's open payment of the amount that is due; make it when there is none."""
    with transaction.atomic():
        order = Order.objects.select_for_update().filter(pk=order_id).first()
        if order is None:
            raise NotFound("There is no such order.")
        bind_order(order.number)
        due = order.total_minor - order.cancelled_minor
        if order.status != OrderStatus.PENDING_PAYMENT or due <= 0:
            raise OrderNotPayable(f"Order {order.number} does not wait for a payment.", current=order.status)
        payments = list(order.payments.order_by("sequence"))
        for payment in payments:
            if payment.status in OPEN and payment.amount_minor == due:
                return payment, order
            if payment.status in OPEN:  # a cancellation changed what is due, and a session's amount is fixed
                move(payment, PaymentStatus.ABANDONED, actor=actor, now=now, failure_reason="amount changed")
        sequence = payments[-1].sequence + 1 if payments else 1
        payment = Payment.objects.create(
            order=order,
            sequence=sequence,
            provider_order_id=provider_order_id(source=order.source, number=order.number, sequence=sequence),
            amount_minor=due,
            currency=order.currency,
        )
        return payment, order


def _resume_payment(payment: Payment, *, new: NewSession, actor: str, now: datetime) -> Payment:
    """Find out what became of a session call, and ask once more under the same id when that is still needed."""
    gateway = get_gateway(payment.provider)
    snapshot = gateway.read_order(provider_order_id=payment.provider_order_id, currency=payment.currency)
    if snapshot is not None and snapshot.outcome is not OrderOutcome.OPEN:
        return apply_to_payment(payment=payment, snapshot=snapshot, actor=actor, now=now)
    link = snapshot.payment_link if snapshot is not None else ""
    if not link:
        try:
            link = gateway.create_session(new=new).payment_link
        except SessionConflict as error:
            raise TerminalError(error.message, **error.fields) from error
    return _record_session(payment, link=link, actor=actor, now=now)


def _record_session(payment: Payment, *, link: str, actor: str, now: datetime) -> Payment:
    try:
        return move_locked(payment, PaymentStatus.PENDING, actor=actor, now=now, payment_link=link)
    except TransitionLost:
        # The other click of a double click, or a webhook that came before the session's answer.
        Payment.objects.filter(pk=payment.pk, payment_link="").update(payment_link=link)
        payment.refresh_from_db()
        return payment


def settle_payment(*, payment_id: int, actor: str = "task", now: datetime) -> Payment:
    """Read the payment's order back at the provider and apply what it says; give up a page nobody finished in a day.

    Raises RetryableError when the provider cannot be asked now, and what `apply_provider_order` raises.
    """
    payment = Payment.objects.select_related("order").get(pk=payment_id)
    bind_order(payment.order.number)
    snapshot = read_provider_order(payment)
    if snapshot is not None:
        payment = apply_to_payment(payment=payment, snapshot=snapshot, actor=actor, now=now)
    if payment.status not in OPEN:
        return payment
    if payment.created_at > now - ABANDON_AFTER:
        # Asked and still open: the sweep comes back to it after it has been through the others.
        Payment.objects.filter(pk=payment_id, status=payment.status).update(updated_at=now)
        return payment
    return move_locked(payment, PaymentStatus.ABANDONED, actor=actor, now=now, failure_reason="not finished in a day")


def read_provider_order(payment: Payment) -> OrderSnapshot | None:
    """Return what the provider says now of the payment's order. Never inside a transaction."""
    gateway = get_gateway(payment.provider)
    return gateway.read_order(provider_order_id=payment.provider_order_id, currency=payment.currency)


def apply_provider_order(*, payment_id: int, snapshot: OrderSnapshot, actor: str, now: datetime) -> Payment:
    """Apply what was read back: capture or fail the payment, and move every refund of ours that it shows.

    Safe with a snapshot that is old, doubled or out of order: what is final stays. Raises PaymentMismatch after its
    event is committed.
    """
    payment = Payment.objects.get(pk=payment_id)
    return apply_to_payment(payment=payment, snapshot=snapshot, actor=actor, now=now)


def apply_to_payment(*, payment: Payment, snapshot: OrderSnapshot, actor: str, now: datetime) -> Payment:
    """Do the same for a payment that was read before; it is read again under its lock."""
    with transaction.atomic():
        fence()
        payment, mismatch = apply_in_transaction(payment=payment, snapshot=snapshot, actor=actor, now=now)
    if mismatch is not None:
        raise mismatch
    return payment


def apply_in_transaction(
    *, payment: Payment, snapshot: OrderSnapshot, actor: str, now: datetime
) -> tuple[Payment, PaymentMismatch | None]:
    """Do the work of `apply_provider_order` in the caller's transaction and return the payment as it is then.

    A mismatch is returned and not raised, so that its event is committed.
    """
    order = Order.objects.select_for_update().get(pk=payment.order_id)
    bind_order(order.number)
    payment = Payment.objects.select_for_update().get(pk=payment.pk)
    payment.order = order
    if snapshot.outcome is OrderOutcome.CHARGED and payment.status != PaymentStatus.CAPTURED:
        if (snapshot.amount_minor, snapshot.currency) != (payment.amount_minor, payment.currency):
            return payment, _note_mismatch(payment, snapshot, actor=actor, now=now)
        _capture(payment, order, actor=actor, now=now)
    elif snapshot.outcome is OrderOutcome.FAILED and payment.status in OPEN:
        move(payment, PaymentStatus.FAILED, actor=actor, now=now, failure_reason=snapshot.status)
    elif snapshot.status in REVERSED and payment.status == PaymentStatus.CAPTURED:
        _note_reversal(payment, snapshot, actor=actor, now=now)
    if snapshot.refunds:
        apply_refunds(payment=payment, snapshot=snapshot, actor=actor, now=now)
    return payment, None


def _capture(payment: Payment, order: Order, *, actor: str, now: datetime) -> None:
    """Book the money and let the order go on; what is above the amount due goes back."""
    amount = payment.amount_minor
    move(
        payment,
        PaymentStatus.CAPTURED,
        actor=actor,
        now=now,
        captured_minor=amount,
        captured_at=now,
        failure_reason="",
    )
    post(
        operation_key=f"payment:{payment.pk}:capture",
        kind="capture",
        legs=((Account.PROVIDER_CLEARING, amount), (Account.CUSTOMER_PREPAYMENTS, -amount)),
        currency=payment.currency,
        order_id=order.pk,
        now=now,
    )
    waiting = order.status == OrderStatus.PENDING_PAYMENT
    if waiting:
        move(order, OrderStatus.PAID, actor=actor, now=now, paid_at=now)
        enqueue("orders.tasks.process_order", order.pk)
    if not waiting or order.cancelled_minor:  # else the amount is the whole total, and the only payment
        plan_excess_refund(payment=payment, actor=actor, now=now)


def _note_mismatch(payment: Payment, snapshot: OrderSnapshot, *, actor: str, now: datetime) -> PaymentMismatch:
    """Write the mismatch down once, without moving anything, and return the error for the operator."""
    found = f"{format_minor(snapshot.amount_minor, payment.currency)} {snapshot.currency}"
    expected = f"{format_minor(payment.amount_minor, payment.currency)} {payment.currency}"
    if payment.failure_reason != MISMATCH:
        Payment.objects.filter(pk=payment.pk).update(failure_reason=MISMATCH, updated_at=now)
        record_event(
            order_id=payment.order_id,
            kind="payment.mismatch",
            subject=f"payment {payment.pk}",
            actor=actor,
            data={"expected": expected, "found": found},
            now=now,
        )
    return PaymentMismatch(
        f"payment {payment.provider_order_id}: the provider holds {found}, asked for was {expected}.",
        payment=payment.pk,
    )


def _note_reversal(payment: Payment, snapshot: OrderSnapshot, *, actor: str, now: datetime) -> None:
    """Write down once that captured money went back without us; what to do about the order is the operator's to say."""
    if payment.failure_reason:
        return
    logger.error("the provider gave captured money back by itself", payment=payment.pk, status=snapshot.status)
    Payment.objects.filter(pk=payment.pk).update(failure_reason=snapshot.status, updated_at=now)
    record_event(
        order_id=payment.order_id,
        kind="payment.reversed",
        subject=f"payment {payment.pk}",
        actor=actor,
        data={"status": snapshot.status},
        now=now,
    )
