"""Planning, sending and settling refunds: the planned amount, once, under one id."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.db import connection

from myproject.errors import AppError, NotFound, RetryableError, UnknownOutcomeError
from myproject.states import TransitionLost
from orders.actions.payments import settle_payment
from orders.actions.refund_sending import RefundBusy, check_refund, send_planned_refund, send_refund
from orders.actions.refunds import (
    RefundNotFailed,
    retry_refund,
)
from orders.gateways import RefundRefused
from orders.gateways.juspay import JuspayGateway
from orders.models import Cancellation, LedgerTransaction, OrderEvent, Payment, Refund
from orders.states import CancellationStatus, RefundStatus
from tests.orders.factories import NOW
from tests.orders.payments.refunds import accepted_by, balance, captured, plan
from tests.promises import Promises
from tests.sandbox.merchant import WINDOW, Sandbox

Charged = Callable[..., Payment]
LATER = NOW + timedelta(minutes=5)


def send(refund: Refund) -> Refund:
    return send_refund(refund_id=refund.pk, now=NOW)


def test_a_refund_is_claimed_sent_pending_and_settled(charged: Charged, provider: Sandbox):
    payment = captured(charged, "R1")
    refund = plan(payment, 510)

    pending = send(refund)

    assert (pending.status, pending.sent_at, pending.settled_at) == (RefundStatus.PENDING, NOW, None)
    provider.settled(payment.provider_order_id)
    settle_payment(payment_id=payment.pk, now=LATER)
    refund.refresh_from_db()
    assert (refund.status, refund.settled_at) == (RefundStatus.SETTLED, LATER)
    assert refund.provider_reference
    payment.refresh_from_db()
    assert (payment.refund_planned_minor, payment.refunded_minor) == (510, 510)
    cancellation = Cancellation.objects.get()
    assert (cancellation.status, cancellation.completed_at) == (CancellationStatus.COMPLETED, LATER)
    assert balance("refunds_payable") == 0
    assert balance("provider_clearing") == 1530 - 510
    kinds = list(OrderEvent.objects.filter(subject=f"refund {refund.pk}").values_list("kind", flat=True))
    assert kinds == ["refund.planned", "refund.sending", "refund.pending", "refund.settled"]


def test_every_step_twice_is_one_refund(charged: Charged, provider: Sandbox):
    payment = captured(charged, "R2")
    refund = plan(payment, 510)

    for _ in range(2):
        send_planned_refund(order_id=payment.order_id, amount="5.10", refund_reason=refund.reason, now=NOW)
        check_refund(refund_id=refund.pk, now=NOW)
    provider.settled(payment.provider_order_id)
    for _ in range(2):
        check_refund(refund_id=refund.pk, now=LATER)
        settle_payment(payment_id=payment.pk, now=LATER)
        send_planned_refund(order_id=payment.order_id, amount="5.10", refund_reason=refund.reason, now=LATER)

    assert accepted_by(provider, payment) == ["5.10"]
    assert LedgerTransaction.objects.filter(kind="refund").count() == 1
    payment.refresh_from_db()
    assert payment.refunded_minor == 510
    assert OrderEvent.objects.filter(kind="cancellation.completed").count() == 1


@pytest.mark.parametrize("number", ["R-LOST", "R-BEFORE", "R-502", "R-503", "R-HALF", "R-FALSE"])
def test_an_unknown_outcome_is_looked_up_and_sent_again_only_under_the_same_id(
    charged: Charged, provider: Sandbox, number: str
):
    payment = captured(charged, number)
    refund = plan(payment, 510)

    with pytest.raises(UnknownOutcomeError):
        send(refund)

    refund.refresh_from_db()
    assert refund.status == RefundStatus.UNKNOWN
    assert send(refund).status in (RefundStatus.PENDING, RefundStatus.SETTLED)
    assert accepted_by(provider, payment) == ["5.10"]
    shown = provider.status(payment.provider_order_id)["refunds"]
    assert [entry["unique_request_id"] for entry in shown] == [refund.request_id]


@pytest.mark.parametrize("answer", ["busy", "down"])
def test_a_call_that_never_arrived_leaves_the_refund_planned(
    charged: Charged, provider: Sandbox, settings: Any, answer: str
):
    payment = captured(charged, "R-BUSY" if answer == "busy" else "R-DOWN")
    refund = plan(payment, 510)
    address = provider.url
    if answer == "down":
        settings.JUSPAY_BASE_URL = "http://127.0.0.1:1"

    with pytest.raises(RetryableError) as caught:
        send(refund)

    refund.refresh_from_db()
    assert refund.status == RefundStatus.PLANNED
    assert caught.value.retry_after == (1.0 if answer == "busy" else None)
    assert accepted_by(provider, payment) == []
    settings.JUSPAY_BASE_URL = address
    assert send(refund).status == RefundStatus.PENDING


def test_an_equal_amount_within_the_window_waits_and_goes_out_under_its_own_id(charged: Charged, provider: Sandbox):
    payment = captured(charged, "R3")
    first, second = plan(payment, 510, number="CA"), plan(payment, 510, number="CB")
    send(first)

    with pytest.raises(RetryableError) as caught:
        send(second)

    assert caught.value.retry_after == 6
    assert accepted_by(provider, payment) == ["5.10"]
    threading.Event().wait(WINDOW)
    second.refresh_from_db()
    assert send(second).status == RefundStatus.PENDING
    assert accepted_by(provider, payment) == ["5.10", "5.10"]
    first.refresh_from_db()
    assert {first.request_id, second.request_id} == {
        entry["unique_request_id"] for entry in provider.status(payment.provider_order_id)["refunds"]
    }


def test_a_duplicate_that_is_our_own_is_found_and_not_sent_again(
    charged: Charged, provider: Sandbox, monkeypatch: pytest.MonkeyPatch
):
    """Another sender got through with our id between our claim and our call."""
    payment = captured(charged, "R4")
    refund = plan(payment, 510)
    provider.refund(payment.provider_order_id, "5.10", refund.request_id)

    assert send(refund).status in (RefundStatus.PENDING, RefundStatus.SETTLED)

    assert accepted_by(provider, payment) == ["5.10"]


def test_a_refund_that_the_provider_refuses_fails_and_frees_its_amount(
    charged: Charged, provider: Sandbox, sent: Promises
):
    payment = captured(charged, "R5")
    provider.refund(payment.provider_order_id, "15.00")  # somebody refunded by hand in the provider's dashboard
    refund = plan(payment, 510)

    with pytest.raises(RefundRefused):
        send(refund)

    refund.refresh_from_db()
    payment.refresh_from_db()
    assert (refund.status, payment.refund_planned_minor) == (RefundStatus.FAILED, 0)
    assert refund.failure_reason.startswith("refused: ")
    assert accepted_by(provider, payment) == ["15.00"]
    assert Cancellation.objects.get().status == CancellationStatus.PROCESSED
    assert not LedgerTransaction.objects.filter(kind="refund").exists()


def test_wrong_credentials_leave_the_refund_planned(charged: Charged, provider: Sandbox, settings: Any):
    refund = plan(captured(charged, "R6"), 510)
    settings.JUSPAY_API_KEY = "wrong"

    with pytest.raises(AppError):
        send(refund)

    refund.refresh_from_db()
    assert refund.status == RefundStatus.PLANNED


def test_a_failed_refund_is_planned_again_under_a_new_id(charged: Charged, provider: Sandbox, sent: Promises):
    payment = captured(charged, "R-FAIL")
    refund = plan(payment, 510)
    send(refund)
    provider.settled(payment.provider_order_id)
    check_refund(refund_id=refund.pk, now=LATER)
    refund.refresh_from_db()
    payment.refresh_from_db()
    assert (refund.status, refund.failure_reason) == (RefundStatus.FAILED, "REFUND_FAILED")
    assert payment.refund_planned_minor == 0
    first = refund.request_id
    before = len(sent())

    again = retry_refund(refund_id=refund.pk, actor="user:1", now=LATER)

    assert (again.status, again.attempt) == (RefundStatus.PLANNED, 2)
    assert again.request_id != first
    payment.refresh_from_db()
    assert payment.refund_planned_minor == 510
    assert [name for name, *_ in sent()[before:]] == ["orders.tasks.initiate_juspay_refund"]
    threading.Event().wait(WINDOW)
    send(again)
    provider.settled(payment.provider_order_id)
    assert check_refund(refund_id=refund.pk, now=LATER).status == RefundStatus.SETTLED
    shown = provider.status(payment.provider_order_id)
    assert [entry["status"] for entry in shown["refunds"]] == ["FAILURE", "SUCCESS"]
    assert shown["amount_refunded"] == 5.1


@pytest.mark.parametrize("status", [RefundStatus.PLANNED, RefundStatus.PENDING])
def test_only_a_failed_refund_gets_a_new_id(charged: Charged, provider: Sandbox, status: str):
    refund = plan(captured(charged, f"R7{status}"), 510)
    if status == RefundStatus.PENDING:
        send(refund)

    with pytest.raises(RefundNotFailed):
        retry_refund(refund_id=refund.pk, actor="user:1", now=NOW)
    with pytest.raises(NotFound):
        retry_refund(refund_id=0, actor="user:1", now=NOW)

    before = refund.request_id
    refund.refresh_from_db()
    assert (refund.status, refund.request_id, refund.attempt) == (status, before, 1)


def test_manual_review_is_kept_for_people(charged: Charged, provider: Sandbox):
    payment = captured(charged, "R-HUMAN")
    refund = plan(payment, 510)
    send(refund)
    provider.settled(payment.provider_order_id)

    checked = check_refund(refund_id=refund.pk, now=LATER)

    assert checked.status == RefundStatus.MANUAL_REVIEW
    payment.refresh_from_db()
    assert (payment.refund_planned_minor, payment.refunded_minor) == (510, 0)
    assert Cancellation.objects.get().status == CancellationStatus.PROCESSED
    assert send(refund).status == RefundStatus.MANUAL_REVIEW
    assert accepted_by(provider, payment) == ["5.10"]


def test_our_id_with_another_amount_is_kept_for_people_and_not_booked(charged: Charged, provider: Sandbox):
    payment = captured(charged, "R8")
    refund = plan(payment, 510)
    provider.refund(payment.provider_order_id, "5.11", refund.request_id)
    provider.settled(payment.provider_order_id)

    settle_payment(payment_id=payment.pk, now=NOW)

    refund.refresh_from_db()
    assert (refund.status, refund.failure_reason) == (RefundStatus.MANUAL_REVIEW, "amount differs at the provider")
    assert not LedgerTransaction.objects.filter(kind="refund").exists()


def test_somebody_elses_refund_on_our_order_is_left_alone(charged: Charged, provider: Sandbox):
    payment = captured(charged, "R9")
    refund = plan(payment, 510)
    provider.refund(payment.provider_order_id, "1.00")

    settle_payment(payment_id=payment.pk, now=NOW)

    refund.refresh_from_db()
    payment.refresh_from_db()
    assert (refund.status, payment.refunded_minor) == (RefundStatus.PLANNED, 0)


def test_a_claim_that_is_young_is_left_to_its_owner(
    charged: Charged, provider: Sandbox, monkeypatch: pytest.MonkeyPatch
):
    refund = plan(captured(charged, "R10"), 510)
    Refund.objects.filter(pk=refund.pk).update(status=RefundStatus.SENDING, sent_at=NOW)
    monkeypatch.setattr(JuspayGateway, "create_refund", lambda *_, **__: pytest.fail("called"))
    monkeypatch.setattr(JuspayGateway, "read_order", lambda *_, **__: pytest.fail("called"))

    with pytest.raises(RefundBusy) as refused:
        send_refund(refund_id=refund.pk, now=NOW + timedelta(seconds=5))

    assert refused.value.retry_after == 2 * settings.JUSPAY_TIMEOUT - 5
    refund.refresh_from_db()
    assert refund.status == RefundStatus.SENDING


def test_a_webhook_that_settles_while_the_call_is_under_way_is_no_harm(
    charged: Charged, provider: Sandbox, monkeypatch: pytest.MonkeyPatch
):
    payment = captured(charged, "R11")
    refund = plan(payment, 510)
    real = JuspayGateway.create_refund

    def slow(self: JuspayGateway, **kwargs: Any) -> Any:
        snapshot = real(self, **kwargs)
        provider.settled(payment.provider_order_id)
        settle_payment(payment_id=payment.pk, now=LATER)  # the webhook's look-up
        return snapshot

    monkeypatch.setattr(JuspayGateway, "create_refund", slow)

    assert send(refund).status == RefundStatus.SETTLED

    assert LedgerTransaction.objects.filter(kind="refund").count() == 1


def test_whoever_loses_the_claim_does_not_call(charged: Charged, provider: Sandbox, monkeypatch: pytest.MonkeyPatch):
    payment = captured(charged, "R12")
    refund = plan(payment, 510)
    stale = Refund.objects.select_related("payment", "cancellation").get(pk=refund.pk)
    send(refund)
    monkeypatch.setattr("orders.actions.refund_sending._load", lambda refund_id: stale)

    with pytest.raises(TransitionLost):
        send(refund)

    assert accepted_by(provider, payment) == ["5.10"]


@pytest.mark.mariadb
@pytest.mark.django_db(transaction=True)
def test_two_threads_that_send_the_same_refund_are_one_refund(charged: Charged, provider: Sandbox):
    payment = captured(charged, "THREADS")
    refund = plan(payment, 510)
    start, results = threading.Barrier(2), []

    def run() -> None:
        start.wait(10)
        try:
            results.append(send_refund(refund_id=refund.pk, now=NOW).status)
        except (TransitionLost, RefundBusy):
            results.append("lost")
        finally:
            connection.close()

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert len(results) == 2
    assert accepted_by(provider, payment) == ["5.10"]
    refund.refresh_from_db()
    assert refund.status == RefundStatus.PENDING
