"""Planning refunds, and finding the planned one again by the mission's arguments."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.db import IntegrityError, transaction

from orders.actions.refund_sending import NoPlannedRefund, check_refund, send_planned_refund, send_refund
from orders.actions.refunds import RefundExceedsCaptured, plan_refund, refund_request_id
from orders.gateways.juspay import JuspayGateway
from orders.models import LedgerTransaction, Order, Payment, Refund
from orders.states import RefundStatus
from tests.orders.factories import NOW
from tests.orders.payments.refunds import accepted_by, captured, plan
from tests.promises import Promises
from tests.sandbox.merchant import Sandbox

Charged = Callable[..., Payment]


def test_a_request_id_follows_from_cancellation_sequence_and_attempt(charged: Charged):
    refund = plan(captured(charged, "P1"), 510)
    cancellation = refund.cancellation

    ids = {refund_request_id(cancellation=cancellation, sequence=s, attempt=a) for s in (1, 2) for a in (1, 2)}

    assert refund.request_id == refund_request_id(cancellation=cancellation, sequence=1, attempt=1)
    assert len(ids) == 4
    assert all(len(one) == 20 and one.isalnum() for one in ids)


def test_planning_reserves_the_amount_and_calls_nobody(charged: Charged, provider: Sandbox, sent: Promises):
    payment = captured(charged, "P2")
    before = len(sent())

    refund = plan(payment, 510, number="C536379", enqueue=True)

    assert (refund.status, refund.amount_minor, refund.payment_id) == (RefundStatus.PLANNED, 510, payment.pk)
    assert refund.reason == "cancellation C536379"
    payment.refresh_from_db()
    assert (payment.refund_planned_minor, payment.refunded_minor) == (510, 0)
    assert sent()[before:] == [
        ("orders.tasks.initiate_juspay_refund", payment.order_id, "5.10", "cancellation C536379")
    ]
    assert accepted_by(provider, payment) == []


def test_refunds_never_exceed_what_was_captured(charged: Charged, provider: Sandbox):
    payment = captured(charged, "P3")
    plan(payment, 1000)

    with pytest.raises(RefundExceedsCaptured):
        plan(payment, 531, number="C2")

    payment.refresh_from_db()
    assert payment.refund_planned_minor == 1000
    assert Refund.objects.count() == 1


def test_a_zero_amount_is_settled_at_once_without_a_call(
    charged: Charged, sent: Promises, monkeypatch: pytest.MonkeyPatch
):
    payment = captured(charged, "P4")
    before = len(sent())
    monkeypatch.setattr(JuspayGateway, "create_refund", lambda *_, **__: pytest.fail("called"))

    refund = plan(payment, 0, enqueue=True)

    assert (refund.status, refund.payment_id, refund.settled_at) == (RefundStatus.SETTLED, None, NOW)
    assert send_refund(refund_id=refund.pk, now=NOW).status == RefundStatus.SETTLED
    assert check_refund(refund_id=refund.pk, now=NOW).status == RefundStatus.SETTLED
    assert sent()[before:] == []
    assert not LedgerTransaction.objects.filter(kind="refund").exists()


def test_an_order_that_was_never_paid_gets_nothing_back(order_of: Callable[..., Order], sent: Promises):
    order = order_of("P5")
    payment = Payment(order=order)

    refund = plan(payment, 510, enqueue=True)

    assert (refund.status, refund.amount_minor, refund.payment_id) == (RefundStatus.SETTLED, 0, None)
    assert sent() == []


def test_a_cancellation_is_planned_once(charged: Charged):
    payment = captured(charged, "P6")
    refund = plan(payment, 510)

    with pytest.raises(IntegrityError), transaction.atomic():
        plan_refund(cancellation=refund.cancellation, amount_minor=510, now=NOW)

    payment.refresh_from_db()
    assert payment.refund_planned_minor == 510


@pytest.mark.parametrize("amount", ["5.10", "5.1", "5.100", 5.1, Decimal("5.10")])
def test_the_arguments_name_one_planned_refund(charged: Charged, provider: Sandbox, amount: object):
    payment = captured(charged, f"A{amount!r}"[:20])
    plan(payment, 520, number=f"C1{amount!r}")
    refund = plan(payment, 510, number=f"C2{amount!r}")

    sent = send_planned_refund(order_id=payment.order_id, amount=amount, refund_reason=refund.reason, now=NOW)

    assert (sent.pk, sent.status) == (refund.pk, RefundStatus.PENDING)
    assert accepted_by(provider, payment) == ["5.10"]


@pytest.mark.parametrize(
    "changes",
    [
        {"amount": "5.11"},
        {"amount": "5.101"},
        {"amount": "-5.10"},
        {"amount": "0"},
        {"amount": "a lot"},
        {"amount": None},
        {"amount": "NaN"},
        {"refund_reason": "cancellation C1"},
        {"refund_reason": ""},
        {"order_id": 0},
    ],
)
def test_arguments_that_fit_no_planned_refund_move_no_money(
    charged: Charged, provider: Sandbox, changes: dict[str, Any]
):
    payment = captured(charged, f"N{abs(hash(str(changes))) % 10**9}")
    refund = plan(payment, 510)
    arguments: dict[str, Any] = {"order_id": payment.order_id, "amount": "5.10", "refund_reason": refund.reason}

    with pytest.raises(NoPlannedRefund):
        send_planned_refund(**(arguments | changes), now=NOW)

    refund.refresh_from_db()
    assert refund.status == RefundStatus.PLANNED
    assert accepted_by(provider, payment) == []


def test_another_orders_refund_is_not_sent(charged: Charged, provider: Sandbox):
    mine, other = captured(charged, "N1"), captured(charged, "N2")
    refund = plan(mine, 510)

    with pytest.raises(NoPlannedRefund):
        send_planned_refund(order_id=other.order_id, amount="5.10", refund_reason=refund.reason, now=NOW)

    assert accepted_by(provider, mine) == accepted_by(provider, other) == []
