"""The locks of the money path, read from the SQL itself: a missing lock is invisible to a test of behaviour."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from orders.actions.events import move_locked
from orders.actions.payments import apply_provider_order, settle_payment, start_payment
from orders.actions.refund_sending import send_refund
from orders.actions.refunds import retry_refund
from orders.gateways import OrderOutcome, OrderSnapshot, RefundOutcome, RefundSnapshot
from orders.models import Order, Payment, Refund
from orders.states import RefundStatus
from tests.orders.factories import NOW, pay
from tests.orders.payments.refunds import plan
from tests.orders.threads import in_threads

pytestmark = [pytest.mark.mariadb, pytest.mark.django_db]

OrderOf = Callable[..., Order]


def steps(queries: CaptureQueriesContext) -> list[str]:
    """Return the locks and writes in order: "lock orders_order", "write orders_payment" ..."""
    found = []
    for query in queries:
        words = query["sql"].replace("`", "").split()
        if "FOR UPDATE" in query["sql"]:
            found.append(f"lock {words[words.index('FROM') + 1]}")
        elif words[0] == "UPDATE":
            found.append(f"write {words[1]}")
        elif words[0] == "INSERT":
            found.append(f"write {words[2]}")
    return found


def test_a_capture_locks_the_order_then_the_payment_before_it_writes(order_of: OrderOf, sent: Any):
    order = order_of("L1")
    payment = Payment.objects.create(
        order=order, sequence=1, provider_order_id="L1", amount_minor=1530, currency="GBP", status="pending"
    )
    snapshot = OrderSnapshot(
        provider_order_id="L1", outcome=OrderOutcome.CHARGED, status="CHARGED", amount_minor=1530, currency="GBP",
        payment_link="", refunds=(),
    )  # fmt: skip

    with CaptureQueriesContext(connection) as queries:
        apply_provider_order(payment_id=payment.pk, snapshot=snapshot, actor="webhook", now=NOW)

    assert steps(queries)[:3] == ["lock orders_order", "lock orders_payment", "write orders_payment"]


def test_a_settlement_locks_order_payment_and_cancellation_in_that_order(order_of: OrderOf, sent: Any):
    payment = pay(order_of("L2"))
    refund = plan(payment, 510)
    Refund.objects.filter(pk=refund.pk).update(status=RefundStatus.PENDING)
    shown = RefundSnapshot(
        request_id=refund.request_id, outcome=RefundOutcome.SUCCESS, amount_minor=510, reference="x", error=""
    )
    snapshot = OrderSnapshot(
        provider_order_id=payment.provider_order_id, outcome=OrderOutcome.CHARGED, status="CHARGED",
        amount_minor=1530, currency="GBP", payment_link="", refunds=(shown,),
    )  # fmt: skip

    with CaptureQueriesContext(connection) as queries:
        apply_provider_order(payment_id=payment.pk, snapshot=snapshot, actor="webhook", now=NOW)

    locks = [step for step in steps(queries) if step.startswith("lock")]
    assert locks == ["lock orders_order", "lock orders_payment", "lock orders_cancellation"]
    assert steps(queries).index("lock orders_payment") < steps(queries).index("write orders_refund")


def test_planning_locks_the_payments_by_primary_key_before_it_writes(order_of: OrderOf, sent: Any):
    payment = pay(order_of("L3"))

    with CaptureQueriesContext(connection) as queries:
        plan(payment, 510)

    (lock,) = [query["sql"] for query in queries if "FOR UPDATE" in query["sql"]]
    assert lock.endswith("ORDER BY `orders_payment`.`id` ASC FOR UPDATE")
    found = steps(queries)
    assert found.index("lock orders_payment") < found.index("write orders_refund") < found.index("write orders_payment")


def test_another_attempt_locks_the_order_then_the_payment_before_it_writes(order_of: OrderOf, sent: Any):
    payment = pay(order_of("L4"))
    refund = plan(payment, 510)
    with transaction.atomic():
        Refund.objects.filter(pk=refund.pk).update(status=RefundStatus.FAILED)
        Payment.objects.update(refund_planned_minor=0)

    with CaptureQueriesContext(connection) as queries:
        retry_refund(refund_id=refund.pk, actor="user:1", now=NOW)

    assert steps(queries)[:3] == ["lock orders_order", "lock orders_payment", "write orders_refund"]


def test_sending_a_refund_locks_the_order_before_each_status_that_it_writes(
    charged: Callable[..., Payment], provider: Any, sent: Any
):
    refund = plan(settle_payment(payment_id=charged("L5").pk, now=NOW), 510)

    with CaptureQueriesContext(connection) as queries:
        send_refund(refund_id=refund.pk, now=NOW)

    found = steps(queries)
    assert found[:3] == ["lock orders_order", "write orders_refund", "write orders_orderevent"]
    assert found[3:5] == ["lock orders_order", "lock orders_payment"]


def test_a_session_that_was_opened_locks_the_order_before_its_payment_is_written(
    order_of: OrderOf, provider: Any, sent: Any
):
    order = order_of("L6")

    with CaptureQueriesContext(connection) as queries:
        start_payment(order_id=order.pk, actor="user:1", now=NOW)

    found = steps(queries)
    assert found[:2] == ["lock orders_order", "write orders_payment"]
    assert found[2:] == ["lock orders_order", "write orders_payment", "write orders_orderevent"]


def test_giving_up_a_payment_locks_the_order_first(order_of: OrderOf, provider: Any, sent: Any):
    payment = start_payment(order_id=order_of("L7").pk, actor="user:1", now=NOW)

    with CaptureQueriesContext(connection) as queries:
        settle_payment(payment_id=payment.pk, now=NOW + timedelta(days=2))

    assert steps(queries)[-3:] == ["lock orders_order", "write orders_payment", "write orders_orderevent"]


@pytest.mark.django_db(transaction=True)
def test_a_sender_and_a_process_that_holds_the_order_do_not_deadlock(order_of: OrderOf, sent: Any):
    payment = pay(order_of("L8"))
    refund = plan(payment, 510)
    holding, released = threading.Event(), threading.Event()

    def hold_the_order() -> None:
        with transaction.atomic():
            Order.objects.select_for_update().get(pk=payment.order_id)
            holding.set()
            released.wait(timeout=1)
            Refund.objects.select_for_update().get(pk=refund.pk)

    def send() -> None:
        holding.wait(timeout=60)
        move_locked(refund, RefundStatus.SENDING, actor="task", now=NOW, sent_at=NOW)

    assert in_threads(hold_the_order, send) == []
    refund.refresh_from_db()
    assert refund.status == RefundStatus.SENDING
