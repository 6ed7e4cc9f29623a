"""kill -9 on every line between the plan and the settlement: the sweep goes on, and the provider refunds once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from orders.actions import refund_sending
from orders.actions.payments import settle_payment
from orders.gateways.juspay import JuspayGateway
from orders.models import Cancellation, LedgerTransaction, Order, Payment, Refund, WebhookEvent
from orders.states import CancellationStatus, OrderStatus, PaymentStatus, RefundStatus, WebhookStatus
from orders.tasks import check_payment, check_refund, initiate_juspay_refund, process_webhook_event
from tests.orders.factories import NOW
from tests.orders.payments.refunds import accepted_by, balance, captured, plan, sweep_and_work
from tests.promises import Promises
from tests.sandbox.merchant import WINDOW, Sandbox

Charged = Callable[..., Payment]


class Killed(BaseException):
    """Stands for kill -9 on that line."""


def dying(*_: Any, **__: Any) -> Any:
    raise Killed


def dying_after(real: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        real(*args, **kwargs)
        raise Killed

    return call


# Where the sender dies, and how many refunds the provider holds at that moment.
POINTS: dict[str, tuple[Any, str, Callable[[Any], Any], int]] = {
    "after the claim": (JuspayGateway, "create_refund", lambda real: dying, 0),
    "after the call": (JuspayGateway, "create_refund", dying_after, 1),
    "before the record": (refund_sending, "_record", lambda real: dying, 1),
    "inside the record": (refund_sending, "apply_to_payment", lambda real: dying, 1),
    "after the record": (refund_sending, "_record", dying_after, 1),
}


@pytest.mark.parametrize("point", POINTS)
def test_a_sender_that_dies_leaves_exactly_one_refund(
    charged: Charged, provider: Sandbox, monkeypatch: pytest.MonkeyPatch, point: str
):
    payment = captured(charged, f"K{list(POINTS).index(point)}")
    refund = plan(payment, 510)
    owner, name, wound, held = POINTS[point]
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, wound(getattr(owner, name)))
        with pytest.raises(Killed):
            initiate_juspay_refund.run(payment.order_id, "5.10", refund.reason)
    assert len(accepted_by(provider, payment)) == held

    sweep_and_work()
    provider.settled(payment.provider_order_id)
    sweep_and_work(now=NOW + timedelta(days=2))

    assert accepted_by(provider, payment) == ["5.10"]
    refund.refresh_from_db()
    assert (refund.status, refund.attempt) == (RefundStatus.SETTLED, 1)
    assert Cancellation.objects.get().status == CancellationStatus.COMPLETED
    assert LedgerTransaction.objects.filter(kind="refund").count() == 1
    assert balance("refunds_payable") == 0
    assert balance("provider_clearing") == 1530 - 510


def test_a_settlement_that_dies_is_booked_by_the_next_look_up(
    charged: Charged, provider: Sandbox, monkeypatch: pytest.MonkeyPatch
):
    payment = captured(charged, "K8")
    refund = plan(payment, 510)
    initiate_juspay_refund.run(payment.order_id, "5.10", refund.reason)
    provider.settled(payment.provider_order_id)
    with monkeypatch.context() as patch:
        patch.setattr("orders.actions.refund_settlement.complete_cancellation", dying)
        with pytest.raises(Killed):
            settle_payment(payment_id=payment.pk, now=NOW)
    payment.refresh_from_db()
    assert payment.refunded_minor == 0
    assert not LedgerTransaction.objects.filter(kind="refund").exists()

    sweep_and_work()

    payment.refresh_from_db()
    assert payment.refunded_minor == 510
    assert Cancellation.objects.get().status == CancellationStatus.COMPLETED


def test_messages_that_were_lost_on_the_way_are_sent_by_the_sweep(charged: Charged, provider: Sandbox, sent: Promises):
    """The webhook never came, the refund's message was lost, its webhook never came either."""
    payment = charged("K9")

    sweep_and_work()
    payment.refresh_from_db()
    assert payment.status == PaymentStatus.CAPTURED
    assert ("orders.tasks.process_order", payment.order_id) in sent()

    refund = plan(payment, 510)
    sweep_and_work(now=NOW + timedelta(days=2))
    provider.settled(payment.provider_order_id)
    sweep_and_work(now=NOW + timedelta(days=3))

    refund.refresh_from_db()
    assert refund.status == RefundStatus.SETTLED
    assert accepted_by(provider, payment) == ["5.10"]


def test_a_webhook_whose_worker_died_is_processed_by_the_sweep(charged: Charged, provider: Sandbox):
    payment = charged("K10")
    event = WebhookEvent.objects.create(
        provider="juspay",
        event_id="evt1",
        event_name="ORDER_SUCCEEDED",
        provider_order_id=payment.provider_order_id,
        received_at=NOW,
    )

    sweep_and_work()

    event.refresh_from_db()
    assert event.status == WebhookStatus.PROCESSED
    assert Order.objects.get().status == OrderStatus.PROCESSED
    assert LedgerTransaction.objects.filter(kind="capture").count() == 1


def test_a_bank_that_always_refuses_is_tried_four_times_and_then_left_to_people(charged: Charged, provider: Sandbox):
    payment = captured(charged, "R-NEVER")
    refund = plan(payment, 510)

    for day in range(1, 6):
        threading.Event().wait(WINDOW)  # an equal amount is refused for that long
        sweep_and_work(now=NOW + timedelta(days=2 * day))
        provider.settled(payment.provider_order_id)
        sweep_and_work(now=NOW + timedelta(days=2 * day + 1))

    refund.refresh_from_db()
    payment.refresh_from_db()
    assert (refund.status, refund.attempt, payment.refund_planned_minor) == (RefundStatus.FAILED, 4, 0)
    statuses = [entry["status"] for entry in provider.status(payment.provider_order_id)["refunds"]]
    assert statuses == ["FAILURE"] * 4
    assert balance("refunds_payable") == -510


def test_every_task_delivered_twice_changes_nothing(charged: Charged, provider: Sandbox):
    payment = charged("K11")
    event = WebhookEvent.objects.create(
        provider="juspay",
        event_id="evt2",
        event_name="ORDER_SUCCEEDED",
        provider_order_id=payment.provider_order_id,
        received_at=NOW,
    )
    for _ in range(2):
        assert process_webhook_event.run(event.pk) == {"status": "processed"}
        assert check_payment.run(payment.pk) == {"payment_id": payment.pk, "status": "captured"}
    refund = plan(payment, 510)
    for _ in range(2):
        initiate_juspay_refund.run(payment.order_id, "5.10", refund.reason)
    provider.settled(payment.provider_order_id)
    for _ in range(2):
        outcome = check_refund.run(refund.pk)
        assert outcome == {"refund_id": refund.pk, "request_id": refund.request_id, "status": "settled"}

    assert accepted_by(provider, payment) == ["5.10"]
    assert Refund.objects.count() == 1
    assert LedgerTransaction.objects.count() == 3  # capture, the plan's own, refund
