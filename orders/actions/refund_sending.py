"""Sending planned refunds: claim, commit, call, record. Never a network call inside a transaction.

The provider takes a request id once, so the id makes a resend safe and a look-up tells what became of the first one:
whatever dies or times out, the same id is looked up and, when it is absent, sent again.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, NoReturn

from django.conf import settings
from django.db import transaction

from myproject.errors import RetryableError, TerminalError, UnknownOutcomeError
from myproject.jobs.running import current_job, fence
from myproject.logging import bind_order
from myproject.money import MoneyError, parse_minor
from myproject.states import TransitionLost
from orders.actions.events import move_locked
from orders.actions.payments import apply_to_payment, read_provider_order
from orders.actions.refund_settlement import fail_refund
from orders.gateways import DuplicateCall, OrderSnapshot, RefundRefused, get_gateway
from orders.models import Order, Payment, Refund
from orders.states import RefundStatus

#: Seconds until an equal amount may be asked for again: the provider refuses it for five, and clocks differ a little.
EQUAL_AMOUNT_PAUSE = 6.0
#: Begins the reason of a refund that the provider refused for good: another try under a new id would be refused too.
REFUSED = "refused"


class RefundBusy(RetryableError):
    """Another process is sending this refund at this moment; come back when it must be done, or dead."""

    code = "refund_busy"


class NoPlannedRefund(TerminalError):
    """No refund of that order, amount and reason was planned: no money moved. Read by who enqueued the task."""

    code = "no_planned_refund"


def send_planned_refund(*, order_id: int, amount: object, refund_reason: str, now: datetime) -> Refund:
    """Send the one planned refund of that order, amount (major units) and reason; an earlier one is returned as it is.

    Raises NoPlannedRefund when none fits, and what `send_refund` raises.
    """
    wanted = f"order {order_id}, {amount}, {refund_reason!r}"
    order = Order.objects.filter(pk=order_id).only("currency").first()
    if order is None:
        raise NoPlannedRefund(f"There is no order for this refund: {wanted}.")
    try:
        amount_minor = parse_minor(amount, order.currency, field="amount")
    except MoneyError as error:
        raise NoPlannedRefund(f"No refund fits: {error}") from error
    fitting = list(
        Refund.objects.filter(
            cancellation__order_id=order_id, amount_minor=amount_minor, reason=refund_reason
        ).order_by("pk")
    )
    if not fitting:
        raise NoPlannedRefund(f"No refund was planned for this: {wanted}. No money moved.")
    refund = next((refund for refund in fitting if refund.status == RefundStatus.PLANNED), fitting[-1])
    return send_refund(refund_id=refund.pk, now=now)


def send_refund(*, refund_id: int, now: datetime) -> Refund:
    """Bring one refund to the provider, or find out what became of an earlier try; any other is returned as it is.

    A job that was delivered before looks the refund up at once, because its earlier run may have died while it sent;
    the look-up and the request id make that safe. Another job's refund is left to it for as long as a call takes.

    Raises RefundBusy and other RetryableErrors and UnknownOutcomeError (run again), RefundRefused (the refund is
    FAILED) and other TerminalErrors (it stays planned).
    """
    refund = _load(refund_id)
    if refund.status == RefundStatus.PLANNED:
        return _call(refund, now=now)
    if refund.status == RefundStatus.SENDING:
        job = current_job()
        rest = _rest_of_lease(refund, now)
        if rest > 0 and not (job is not None and job.counted):
            raise RefundBusy(f"refund {refund.request_id}: another process is sending it.", retry_after=rest)
    if refund.status in (RefundStatus.UNKNOWN, RefundStatus.SENDING):
        return check_refund(refund_id=refund_id, now=now)
    return refund


def check_refund(*, refund_id: int, now: datetime) -> Refund:
    """Look a refund up at the provider and apply what it says; when it never arrived, send it with the same id.

    Raises what `send_refund` raises.
    """
    refund = _load(refund_id)
    if refund.status == RefundStatus.PLANNED:
        return _call(refund, now=now)
    if refund.status in (RefundStatus.SETTLED, RefundStatus.FAILED) or refund.payment is None:
        return refund
    snapshot = read_provider_order(refund.payment)
    if snapshot is not None and snapshot.find_refund(refund.request_id) is not None:
        return _record(refund, snapshot, now=now)
    if refund.status == RefundStatus.SENDING:
        _move(refund, RefundStatus.UNKNOWN, now=now)
    if refund.status == RefundStatus.UNKNOWN:
        return _call(refund, now=now)
    # Accepted before and not shown now: the sweep asks again after it has been through the others.
    Refund.objects.filter(pk=refund_id, status=refund.status).update(updated_at=now)
    return refund


def _load(refund_id: int) -> Refund:
    refund = Refund.objects.select_related("payment", "cancellation__order").get(pk=refund_id)
    bind_order(refund.cancellation.order.number)
    return refund


def _rest_of_lease(refund: Refund, now: datetime) -> float:
    """Return the seconds until a sender must be dead: its call ends after JUSPAY_TIMEOUT, and as much to record it."""
    if refund.sent_at is None:
        return 0.0
    return max(0.0, 2 * settings.JUSPAY_TIMEOUT - (now - refund.sent_at).total_seconds())


def _move(refund: Refund, target: str, *, now: datetime, **changes: Any) -> None:
    move_locked(refund, target, actor="task", now=now, **changes)


def _call(refund: Refund, *, now: datetime) -> Refund:
    """Claim, commit, call, record. Whoever loses the claim stops there (TransitionLost)."""
    payment = refund.payment
    if payment is None:
        return refund
    _move(refund, RefundStatus.SENDING, now=now, sent_at=now)
    try:
        snapshot = get_gateway(payment.provider).create_refund(
            provider_order_id=payment.provider_order_id,
            request_id=refund.request_id,
            amount_minor=refund.amount_minor,
            currency=refund.currency,
        )
    except UnknownOutcomeError:
        _release(refund, RefundStatus.UNKNOWN, now=now)
        raise
    except DuplicateCall as error:
        return _tell_duplicates_apart(refund, payment, error, now=now)
    except RefundRefused as error:
        _refuse(refund, payment, error, now=now)
    except (RetryableError, TerminalError):
        _release(refund, RefundStatus.PLANNED, now=now)
        raise
    return _record(refund, snapshot, now=now)


def _tell_duplicates_apart(refund: Refund, payment: Payment, error: DuplicateCall, *, now: datetime) -> Refund:
    """Our id is there: the provider has this refund. It is absent: an equal amount came first, wait and resend."""
    _release(refund, RefundStatus.UNKNOWN, now=now)
    snapshot = read_provider_order(payment)
    if snapshot is not None and snapshot.find_refund(refund.request_id) is not None:
        return _record(refund, snapshot, now=now)
    message = f"refund {refund.request_id}: an equal amount of this order was refunded a moment ago."
    raise RetryableError(message, retry_after=EQUAL_AMOUNT_PAUSE) from error


def _refuse(refund: Refund, payment: Payment, error: RefundRefused, *, now: datetime) -> NoReturn:
    with transaction.atomic():
        fence()
        Order.objects.select_for_update().get(pk=refund.cancellation.order_id)
        Payment.objects.select_for_update().get(pk=payment.pk)
        reason = f"{REFUSED}: {error.message}"
        fail_refund(refund=refund, payment=payment, reason=reason, actor="task", now=now)
    raise error


def _release(refund: Refund, target: str, *, now: datetime) -> None:
    """Give the claim back, unless a webhook or a look-up has moved the refund on meanwhile."""
    try:
        _move(refund, target, now=now)
    except TransitionLost:
        refund.refresh_from_db(fields=["status"])


def _record(refund: Refund, snapshot: OrderSnapshot, *, now: datetime) -> Refund:
    if refund.payment is not None:
        apply_to_payment(payment=refund.payment, snapshot=snapshot, actor="provider", now=now)
    refund.refresh_from_db()
    return refund
