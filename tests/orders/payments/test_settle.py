"""What the provider says about a payment, booked once, whatever is late, doubled or out of order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from myproject.errors import RetryableError
from orders.actions.events import move
from orders.actions.payments import (
    PaymentMismatch,
    apply_provider_order,
    read_provider_order,
    settle_payment,
    start_payment,
)
from orders.gateways import OrderOutcome, OrderSnapshot
from orders.models import CancellationRequest, LedgerEntry, LedgerTransaction, Order, OrderEvent, Payment, Refund
from orders.states import OrderStatus, PaymentStatus, RefundStatus
from tests.orders.factories import NOW
from tests.orders.payments.conftest import customer_presses
from tests.promises import Promises
from tests.sandbox.merchant import Sandbox

OrderOf = Callable[..., Order]
Charged = Callable[..., Payment]


def ledger(key: str) -> list[tuple[str, int]]:
    entries = LedgerEntry.objects.filter(transaction__operation_key=key).order_by("leg")
    return list(entries.values_list("account", "amount_minor"))


def snapshot_of(payment: Payment, **changes: Any) -> OrderSnapshot:
    snapshot = OrderSnapshot(
        provider_order_id=payment.provider_order_id,
        outcome=OrderOutcome.CHARGED,
        status="CHARGED",
        amount_minor=payment.amount_minor,
        currency=payment.currency,
        payment_link="",
        refunds=(),
    )
    return replace(snapshot, **changes)


def apply(payment: Payment, **changes: Any) -> Payment:
    return apply_provider_order(
        payment_id=payment.pk, snapshot=snapshot_of(payment, **changes), actor="webhook", now=NOW
    )


@pytest.fixture
def open_payment(order_of: OrderOf) -> Callable[..., Payment]:
    """Return a function that makes an order with a payment that waits for its customer, without any provider."""

    def make(number: str = "536365", status: str = PaymentStatus.PENDING) -> Payment:
        order = order_of(number)
        return Payment.objects.create(
            order=order,
            sequence=1,
            provider_order_id=f"P{order.pk}",
            amount_minor=order.total_minor,
            currency=order.currency,
            status=status,
        )

    return make


def test_a_charged_payment_is_captured_booked_and_the_order_goes_on(charged: Charged, sent: Promises):
    payment = charged("C1")

    settled = settle_payment(payment_id=payment.pk, now=NOW)

    assert (settled.status, settled.captured_minor, settled.captured_at) == (PaymentStatus.CAPTURED, 1530, NOW)
    order = Order.objects.get()
    assert (order.status, order.paid_at) == (OrderStatus.PAID, NOW)
    assert ledger(f"payment:{payment.pk}:capture") == [("provider_clearing", 1530), ("customer_prepayments", -1530)]
    assert sent() == [("orders.tasks.process_order", order.pk)]
    events = list(OrderEvent.objects.filter(kind__in=("payment.captured", "order.paid")).values_list("kind", "actor"))
    assert events == [("payment.captured", "task"), ("order.paid", "task")]


def test_the_second_time_nothing_changes(charged: Charged, sent: Promises):
    payment = charged("C2")
    settle_payment(payment_id=payment.pk, now=NOW)
    rows = (OrderEvent.objects.count(), LedgerTransaction.objects.count())

    again = settle_payment(payment_id=payment.pk, now=NOW + timedelta(hours=1))

    assert again.captured_at == NOW
    assert (OrderEvent.objects.count(), LedgerTransaction.objects.count()) == rows
    assert len(sent()) == 1


def test_a_webhook_before_the_sessions_answer_is_no_harm(open_payment: Callable[..., Payment]):
    payment = open_payment(status=PaymentStatus.CREATED)

    assert apply(payment).status == PaymentStatus.CAPTURED


@pytest.mark.parametrize("outcome", [OrderOutcome.OPEN, OrderOutcome.FAILED])
def test_an_older_answer_after_the_capture_is_no_harm(
    open_payment: Callable[..., Payment], sent: Promises, outcome: OrderOutcome
):
    payment = open_payment()
    apply(payment)

    stale = apply(payment, outcome=outcome, status="AUTHORIZATION_FAILED")

    assert stale.status == PaymentStatus.CAPTURED
    assert Order.objects.get().status == OrderStatus.PAID
    assert len(sent()) == 1


def test_a_failed_payment_fails_and_nothing_is_booked(
    charged: Charged, order_of: OrderOf, provider: Sandbox, sent: Promises
):
    payment = start_payment(order_id=order_of("DECLINED").pk, actor="user:1", now=NOW)
    customer_presses(payment, "decline")

    settled = settle_payment(payment_id=payment.pk, now=NOW)

    assert (settled.status, settled.failure_reason) == (PaymentStatus.FAILED, "AUTHORIZATION_FAILED")
    assert Order.objects.get().status == OrderStatus.PENDING_PAYMENT
    assert LedgerTransaction.objects.count() == 0
    assert sent() == []


@pytest.mark.parametrize("status", [PaymentStatus.FAILED, PaymentStatus.ABANDONED])
def test_money_that_comes_after_we_gave_up_counts(open_payment: Callable[..., Payment], status: str):
    payment = open_payment()
    with transaction.atomic():
        move(payment, status, actor="test", now=NOW, failure_reason="gone")

    captured = apply(payment)

    assert (captured.status, captured.failure_reason) == (PaymentStatus.CAPTURED, "")
    assert Order.objects.get().status == OrderStatus.PAID


@pytest.mark.parametrize("changes", [{"amount_minor": 1529}, {"amount_minor": 1531}, {"currency": "INR"}])
def test_another_amount_or_currency_books_nothing_and_tells_the_operator_once(
    open_payment: Callable[..., Payment], sent: Promises, changes: dict[str, Any]
):
    payment = open_payment()

    for _ in range(2):
        with pytest.raises(PaymentMismatch):
            apply(payment, **changes)

    payment.refresh_from_db()
    assert (payment.status, payment.captured_minor) == (PaymentStatus.PENDING, 0)
    assert Order.objects.get().status == OrderStatus.PENDING_PAYMENT
    assert LedgerTransaction.objects.count() == 0
    assert sent() == []
    (event,) = OrderEvent.objects.filter(kind="payment.mismatch")
    assert event.data["expected"] == "15.30 GBP"


def test_captured_money_that_the_provider_gave_back_is_noted_once_and_not_booked(
    open_payment: Callable[..., Payment], sent: Promises
):
    payment = open_payment()
    apply(payment)

    for _ in range(2):
        apply(payment, outcome=OrderOutcome.FAILED, status="AUTO_REFUNDED")

    payment.refresh_from_db()
    assert payment.status == PaymentStatus.CAPTURED
    assert OrderEvent.objects.filter(kind="payment.reversed").count() == 1
    assert LedgerTransaction.objects.count() == 1
    assert Refund.objects.count() == 0


def test_an_open_payment_is_asked_for_a_day_and_then_given_up(order_of: OrderOf, provider: Sandbox, sent: Promises):
    payment = start_payment(order_id=order_of("LEFT").pk, actor="user:1", now=NOW)
    customer_presses(payment, "abandon")
    created = payment.created_at

    early = settle_payment(payment_id=payment.pk, now=created + timedelta(hours=23, minutes=59))
    late = settle_payment(payment_id=payment.pk, now=created + timedelta(hours=24))

    assert early.status == PaymentStatus.PENDING
    assert late.status == PaymentStatus.ABANDONED
    assert Order.objects.get().status == OrderStatus.PENDING_PAYMENT
    assert sent() == []


@pytest.mark.parametrize("number", ["O-503", "O-HALF"])
def test_a_look_up_that_failed_moves_nothing_and_is_tried_again(charged: Charged, sent: Promises, number: str):
    payment = charged(number)

    with pytest.raises(RetryableError):
        settle_payment(payment_id=payment.pk, now=NOW)

    assert Order.objects.get().status == OrderStatus.PENDING_PAYMENT
    assert sent() == []
    assert settle_payment(payment_id=payment.pk, now=NOW).status == PaymentStatus.CAPTURED


def test_the_order_is_locked_before_its_payment_and_both_before_anything_is_written(
    open_payment: Callable[..., Payment], monkeypatch: pytest.MonkeyPatch
):
    payment = open_payment()
    locked: list[str] = []
    for model in (Order, Payment):
        manager = model.objects

        def spy(*args: Any, _name: str = model.__name__, _real: Any = manager.select_for_update, **kwargs: Any) -> Any:
            locked.append(_name)
            return _real(*args, **kwargs)

        monkeypatch.setattr(manager, "select_for_update", spy)

    with CaptureQueriesContext(
        connection,
    ) as queries:
        apply(payment)

    assert locked[:2] == ["Order", "Payment"]
    verbs = [query["sql"].split()[0] for query in queries if not query["sql"].startswith(("SAVEPOINT", "RELEASE"))]
    assert verbs[:3] == ["SELECT", "SELECT", "SELECT"]
    assert len(verbs) <= 11  # the last two are the next step: its job and the job's business key


def test_a_capture_on_a_cancelled_order_goes_back(open_payment: Callable[..., Payment], sent: Promises):
    payment = open_payment()
    with transaction.atomic():
        move(payment.order, OrderStatus.CANCELLED, actor="test", now=NOW)
    cancel_units(payment.order, payment.order.total_minor)

    captured = apply(payment)

    refund = Refund.objects.get()
    assert (refund.status, refund.amount_minor, refund.payment_id) == (RefundStatus.PLANNED, 1530, payment.pk)
    captured.refresh_from_db()
    assert (captured.status, captured.refund_planned_minor) == (PaymentStatus.CAPTURED, 1530)
    assert Order.objects.get().status == OrderStatus.CANCELLED
    assert ledger(f"payment:{payment.pk}:excess") == [("customer_prepayments", 1530), ("refunds_payable", -1530)]
    reason = f"cancellation {payment.provider_order_id}"
    assert sent() == [("orders.tasks.initiate_juspay_refund", payment.order_id, "15.30", reason)]


def test_a_capture_of_more_than_is_left_sends_the_rest_back(open_payment: Callable[..., Payment], sent: Promises):
    payment = open_payment()
    cancel_units(payment.order, 510)

    apply(payment)

    assert Refund.objects.get().amount_minor == 510
    assert [name for name, *_ in sent()] == ["orders.tasks.process_order", "orders.tasks.initiate_juspay_refund"]


def test_a_cancellation_that_was_only_asked_for_sends_nothing_back_yet(
    open_payment: Callable[..., Payment], sent: Promises
):
    payment = open_payment()
    cancel_units(payment.order, 510, carried_out=False)

    apply(payment)

    assert Refund.objects.count() == 0
    assert [name for name, *_ in sent()] == ["orders.tasks.process_order"]


def test_a_second_payment_of_the_same_order_goes_back_whole(open_payment: Callable[..., Payment]):
    first = open_payment()
    second = Payment.objects.create(
        order=first.order, sequence=2, provider_order_id="SECOND", amount_minor=1530, currency="GBP"
    )
    apply(first)

    apply(second)

    refund = Refund.objects.get()
    assert refund.amount_minor == 1530
    assert OrderEvent.objects.filter(kind="order.paid").count() == 1


def cancel_units(order: Order, amount_minor: int, *, carried_out: bool = True) -> None:
    """Put a cancellation of that value on record, as orders.actions.cancel leaves it for an order that is not paid."""
    request = CancellationRequest.objects.create(
        source="web", number=f"X{order.pk}", currency="GBP", actor="test", open_parts=1, requested_at=NOW
    )
    cancellation = request.parts.create(order=order, status="completed" if carried_out else "requested")
    cancellation.lines.create(
        number=1, order_line=order.lines.get(), quantity=1, amount_minor=amount_minor, credited_minor=amount_minor
    )
    Order.objects.filter(pk=order.pk).update(cancelled_minor=amount_minor)
    order.refresh_from_db()


def test_the_provider_is_never_asked_inside_a_transaction(charged: Charged):
    payment = charged("GUARD")

    with pytest.raises(AssertionError, match="while a transaction is open"), transaction.atomic():
        read_provider_order(payment)
