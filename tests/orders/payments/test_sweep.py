"""What the sweep finds, when, how much of it, and what it leaves alone."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.db import IntegrityError, connection
from django.test.utils import CaptureQueriesContext

from myproject.celery import app
from notifications.models import Message
from orders.actions import sweep
from orders.actions.payments import MISMATCH
from orders.actions.sweep import STEPS, sweep_stuck_orders
from orders.models import Order, Payment, Refund, WebhookEvent
from orders.states import OrderStatus, PaymentStatus, RefundStatus
from orders.tasks import sweep_stuck_orders as sweep_task
from tests.orders.factories import NOW
from tests.orders.payments.stuck import (
    EARLY,
    LATE,
    end_jobs,
    make_cancellation,
    make_payment,
    make_refund,
    swept,
    touch,
)
from tests.promises import Promises

pytestmark = pytest.mark.django_db

NOTHING = {step.kind: 0 for step in STEPS}


@pytest.fixture
def order(order_of: Callable[..., Order]) -> Order:
    """An order that waits for its payment."""
    made = order_of("536365")
    touch(made)
    return made


def test_when_nothing_is_stuck_nothing_is_enqueued(order: Order, sent: Promises):
    assert sweep_stuck_orders(now=NOW + timedelta(days=1)) == NOTHING
    assert sent() == []


@pytest.mark.parametrize("status", [PaymentStatus.CREATED, PaymentStatus.PENDING])
def test_an_open_payment_is_asked_about(order: Order, sent: Promises, status: str):
    payment = make_payment(order, status)

    assert swept(sent, EARLY) == ({}, [])
    assert swept(sent, LATE) == ({"payments": 1}, [("orders.tasks.check_payment", payment.pk)])


@pytest.mark.parametrize("status", [PaymentStatus.CAPTURED, PaymentStatus.FAILED, PaymentStatus.ABANDONED])
def test_a_payment_that_ended_is_left_alone(order: Order, sent: Promises, status: str):
    make_payment(order, status)

    assert swept(sent, NOW + timedelta(days=1)) == ({}, [])


def test_a_mismatch_is_left_to_the_operator(order: Order, sent: Promises):
    make_payment(order, PaymentStatus.PENDING, failure_reason=MISMATCH)

    assert swept(sent, NOW + timedelta(days=1)) == ({}, [])


def test_what_is_open_for_long_is_asked_about_seldom(order: Order, sent: Promises):
    payment = make_payment(order, PaymentStatus.PENDING)
    touch(payment, created_at=NOW - timedelta(hours=2))

    assert swept(sent, LATE)[0] == {}
    assert swept(sent, NOW + timedelta(minutes=15))[0] == {"payments": 1}


def test_a_webhook_that_was_received_is_processed(sent: Promises):
    event = WebhookEvent.objects.create(
        provider="juspay", event_id="e1", event_name="ORDER_SUCCEEDED", provider_order_id="P1", received_at=NOW
    )
    touch(event)

    assert swept(sent, EARLY) == ({}, [])
    assert swept(sent, LATE) == ({"webhooks": 1}, [("orders.tasks.process_webhook_event", event.pk)])


def test_a_paid_order_is_processed_and_a_waiting_one_is_not(order: Order, sent: Promises):
    assert swept(sent, LATE) == ({}, [])
    touch(order, status=OrderStatus.PAID, paid_at=NOW)

    assert swept(sent, LATE) == ({"paid_orders": 1}, [("orders.tasks.process_order", order.pk)])
    version = order.version
    order.refresh_from_db()
    assert order.version == version + 1


def test_an_order_that_costs_nothing_is_paid(order: Order, sent: Promises):
    touch(order, total_minor=0)

    counts, calls = swept(sent, LATE)

    order.refresh_from_db()
    assert order.status == OrderStatus.PAID
    assert (counts, calls) == ({"free_orders": 1}, [("orders.tasks.process_order", order.pk)])


def test_an_order_whose_cancellation_left_nothing_to_pay_is_paid(order: Order, sent: Promises):
    touch(order, cancelled_minor=1530)

    counts, calls = swept(sent, LATE)

    order.refresh_from_db()
    assert (order.status, order.cancelled_minor) == (OrderStatus.PAID, 1530)
    assert (counts, calls) == ({"free_orders": 1}, [("orders.tasks.process_order", order.pk)])


def test_an_order_that_is_being_cancelled_is_not_paid_before_that(order: Order, sent: Promises):
    touch(order, cancelled_minor=1530)
    make_cancellation(order, "C1", "requested")

    swept(sent, LATE)

    order.refresh_from_db()
    assert order.status == OrderStatus.PENDING_PAYMENT


def test_webhooks_that_fail_every_time_do_not_hide_later_ones(sent: Promises, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sweep, "BATCH", 2)
    events = [
        touch(
            WebhookEvent.objects.create(
                provider="juspay", event_id=f"e{number}", event_name="ORDER_SUCCEEDED", received_at=NOW
            ),
            NOW + timedelta(microseconds=number),
        )
        for number in (1, 2, 3)
    ]
    taken = [
        [arguments[0] for _, *arguments in swept(sent, LATE + timedelta(seconds=seconds))[1]] for seconds in (1, 2, 3)
    ]

    assert taken == [[events[0].pk, events[1].pk], [events[2].pk], []]


def test_a_webhook_that_fails_for_an_hour_is_tried_every_quarter(sent: Promises):
    event = WebhookEvent.objects.create(
        provider="juspay", event_id="e1", event_name="ORDER_SUCCEEDED", received_at=NOW - timedelta(hours=2)
    )
    touch(event)

    assert swept(sent, LATE)[0] == {}
    assert swept(sent, NOW + timedelta(minutes=15))[0] == {"webhooks": 1}


def test_a_cancellation_that_cannot_be_carried_out_is_tried_every_quarter(order: Order, sent: Promises):
    cancellation = make_cancellation(order, "C1", "requested")
    touch(cancellation, created_at=NOW - timedelta(hours=2))

    assert swept(sent, LATE)[0] == {}
    assert swept(sent, NOW + timedelta(minutes=15))[0] == {"cancellations": 1}


def test_the_cancellations_of_an_order_are_one_task(order: Order, sent: Promises):
    make_cancellation(order, "C1", "requested")
    make_cancellation(order, "C2", "requested")
    make_cancellation(order, "C3", "processed")

    assert swept(sent, LATE) == ({"cancellations": 2}, [("orders.tasks.process_order_cancellation", order.pk)])


def test_a_planned_refund_is_sent_by_its_task(order: Order, sent: Promises):
    make_refund(order, RefundStatus.PLANNED)

    assert swept(sent, EARLY) == ({}, [])
    call = ("orders.tasks.initiate_juspay_refund", order.pk, "5.10", "cancellation C1")
    assert swept(sent, LATE) == ({"planned_refunds": 1}, [call])


@pytest.mark.parametrize("status", [RefundStatus.SENDING, RefundStatus.UNKNOWN, RefundStatus.PENDING])
def test_a_refund_that_was_sent_is_asked_about(order: Order, sent: Promises, status: str):
    refund = make_refund(order, status)

    assert swept(sent, EARLY) == ({}, [])
    assert swept(sent, LATE) == ({"sent_refunds": 1}, [("orders.tasks.check_refund", refund.pk)])


def test_a_refund_in_review_is_asked_about_once_an_hour(order: Order, sent: Promises):
    refund = make_refund(order, RefundStatus.MANUAL_REVIEW)

    assert swept(sent, NOW + timedelta(minutes=59)) == ({}, [])
    hour = NOW + timedelta(hours=1)
    assert swept(sent, hour) == ({"refunds_in_review": 1}, [("orders.tasks.check_refund", refund.pk)])


def test_a_failed_refund_is_planned_again_after_five_minutes(order: Order, sent: Promises):
    refund = make_refund(order, RefundStatus.FAILED)

    assert swept(sent, NOW + timedelta(minutes=4)) == ({}, [])
    counts, calls = swept(sent, NOW + timedelta(minutes=5))

    refund.refresh_from_db()
    assert (refund.status, refund.attempt) == (RefundStatus.PLANNED, 2)
    assert counts == {"failed_refunds": 1}
    assert calls == [("orders.tasks.initiate_juspay_refund", order.pk, "5.10", "cancellation C1")]


@pytest.mark.parametrize("changes", [{"attempt": 4}, {"failure_reason": "refused: 400"}])
def test_a_refund_that_failed_for_good_is_left_to_people(order: Order, sent: Promises, changes: dict[str, Any]):
    refund = make_refund(order, RefundStatus.FAILED, **changes)

    assert swept(sent, NOW + timedelta(days=1)) == ({}, [])
    refund.refresh_from_db()
    assert refund.status == RefundStatus.FAILED


def test_a_settled_refund_is_left_alone(order: Order, sent: Promises):
    make_refund(order, RefundStatus.SETTLED)

    assert swept(sent, NOW + timedelta(days=1)) == ({}, [])


def test_a_message_that_was_not_delivered_is(sent: Promises):
    message = Message.objects.create(
        business_event="e", channel="mail", recipient="a@example.com", template="t", message_id="m"
    )
    touch(message)

    counts, calls = swept(sent, NOW + timedelta(minutes=2))

    assert (counts, calls) == ({"messages": 1}, [("notifications.tasks.deliver_message", message.pk)])


def test_what_was_taken_up_rests_until_it_is_stuck_again(order: Order, sent: Promises):
    make_payment(order, PaymentStatus.PENDING)
    make_refund(order, RefundStatus.PENDING)
    swept(sent, LATE)
    end_jobs()

    assert swept(sent, LATE + timedelta(seconds=59)) == ({}, [])
    assert swept(sent, LATE + timedelta(seconds=60))[0] == {"payments": 1, "sent_refunds": 1}


def test_the_oldest_come_first_and_no_more_than_a_batch(order: Order, sent: Promises, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sweep, "BATCH", 2)
    payments = [
        touch(make_payment(order, PaymentStatus.PENDING, number), NOW - timedelta(seconds=number))
        for number in (1, 2, 3)
    ]

    first, second = swept(sent, LATE), swept(sent, LATE)

    assert first[1] == [("orders.tasks.check_payment", payments[2].pk), ("orders.tasks.check_payment", payments[1].pk)]
    assert second[1] == [("orders.tasks.check_payment", payments[0].pk)]


def test_without_patience_everything_is_taken_up_at_once(order: Order, sent: Promises, settings: Any):
    settings.SWEEP_AFTER = 0
    make_payment(order, PaymentStatus.PENDING)
    make_refund(order, RefundStatus.MANUAL_REVIEW)

    assert swept(sent, NOW)[0] == {"payments": 1, "refunds_in_review": 1}


def test_a_row_that_cannot_be_helped_does_not_stop_the_others(order: Order, sent: Promises):
    make_refund(order, RefundStatus.FAILED, "C1")
    Payment.objects.update(refund_planned_minor=1530)  # nothing is left for another attempt
    make_refund(order, RefundStatus.PENDING, "C2")

    counts, calls = swept(sent, NOW + timedelta(minutes=5))

    assert counts == {"failed_refunds": 1, "sent_refunds": 1}
    assert [name for name, *_ in calls] == ["orders.tasks.check_refund"]
    assert Refund.objects.get(request_id=f"R{order.pk}C1").status == RefundStatus.FAILED


def test_a_refund_that_breaks_is_logged_and_the_others_are_planned(
    order: Order, sent: Promises, monkeypatch: pytest.MonkeyPatch
):
    bad, good = make_refund(order, RefundStatus.FAILED, "C1"), make_refund(order, RefundStatus.FAILED, "C2")
    retry = sweep.retry_refund

    def retry_or_break(*, refund_id: int, actor: str, now: datetime) -> Refund:
        if refund_id == bad.pk:
            raise IntegrityError("a row that is broken")
        return retry(refund_id=refund_id, actor=actor, now=now)

    monkeypatch.setattr(sweep, "retry_refund", retry_or_break)

    counts, calls = swept(sent, NOW + timedelta(minutes=5))

    assert counts == {"failed_refunds": 2}
    assert [name for name, *_ in calls] == ["orders.tasks.initiate_juspay_refund"]
    good.refresh_from_db()
    assert good.status == RefundStatus.PLANNED
    bad.refresh_from_db()
    assert bad.status == RefundStatus.FAILED
    assert swept(sent, NOW + timedelta(minutes=5, seconds=59))[0] == {}


def test_an_idle_sweep_costs_one_search_per_status(django_assert_num_queries: Any):
    with django_assert_num_queries(13):
        sweep_stuck_orders(now=NOW)


@pytest.mark.sqlite
def test_every_search_walks_an_index(sent: Promises):
    with CaptureQueriesContext(connection) as queries:
        sweep_stuck_orders(now=NOW)

    for query in queries:
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN QUERY PLAN {query['sql']}")
            plan = " | ".join(row[3] for row in cursor.fetchall())
        if "notifications_message" in query["sql"]:
            continue  # the other app's own search
        assert "USING" in plan, f"{query['sql']}\n{plan}"
        assert "TEMP B-TREE" not in plan, f"{query['sql']}\n{plan}"
        assert not plan.startswith("SCAN"), f"{query['sql']}\n{plan}"


def test_the_command_prints_what_was_taken_up(order: Order, sent: Promises):
    make_payment(order, PaymentStatus.PENDING, updated_at=NOW - timedelta(days=1))
    output = StringIO()

    call_command("sweep", stdout=output)

    lines = dict(line.split() for line in output.getvalue().splitlines())
    assert list(lines) == [step.kind for step in STEPS]
    assert lines["payments"] == "1"


def test_the_task_returns_counts_per_kind(sent: Promises):
    assert sweep_task.run() == NOTHING


def test_every_step_says_why_it_waits_and_has_one_way_to_be_done():
    assert len({step.kind for step in STEPS}) == len(STEPS)
    for step in STEPS:
        assert step.reason
        assert bool(step.task) != bool(step.act)
        assert bool(step.task) == bool(step.key)
        if step.task:
            assert step.key in app.tasks[step.task].business_keys
