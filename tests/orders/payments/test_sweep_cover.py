"""The sweep and the jobs: what an open job covers is left alone, what a parked one covers waits for a person."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from catalog.models import Stock
from myproject.celery import app
from myproject.jobs.queries.standing import standing_calls
from myproject.jobs.sending import enqueue
from myproject.jobs.states import JobState
from notifications.models import Message
from orders.actions import sweep
from orders.actions.sweep import sweep_stuck_orders
from orders.models import Order, WebhookEvent
from orders.states import OrderStatus, PaymentStatus, RefundStatus
from tests.orders.factories import NOW, bring_order, line, make_variant, pay
from tests.orders.payments.stuck import LATE, end_jobs, make_cancellation, make_payment, make_refund, swept, touch
from tests.promises import Promises

pytestmark = pytest.mark.django_db


@pytest.fixture
def order(order_of: Callable[..., Order]) -> Order:
    """An order that waits for its payment."""
    made = order_of("536365")
    touch(made)
    return made


CALLS: dict[str, tuple[Any, ...]] = {
    "webhooks": ("orders.tasks.process_webhook_event", lambda row: (row.pk,)),
    "payments": ("orders.tasks.check_payment", lambda row: (row.pk,)),
    "paid_orders": ("orders.tasks.process_order", lambda row: (row.pk,)),
    "cancellations": ("orders.tasks.process_order_cancellation", lambda row: (row.order_id,)),
    "planned_refunds": (
        "orders.tasks.initiate_juspay_refund", lambda row: (row.cancellation.order_id, "5.10", row.reason)
    ),
    "sent_refunds": ("orders.tasks.check_refund", lambda row: (row.pk,)),
    "messages": ("notifications.tasks.deliver_message", lambda row: (row.pk,)),
}  # fmt: skip


@pytest.fixture(params=sorted(CALLS))
def stuck(request: pytest.FixtureRequest, order: Order) -> tuple[str, str, tuple[Any, ...]]:
    """A stuck row of each kind: the kind, and the task and the arguments of its next step."""
    row: Any
    if request.param == "webhooks":
        row = touch(
            WebhookEvent.objects.create(provider="juspay", event_id="e1", event_name="ORDER_SUCCEEDED", received_at=NOW)
        )
    elif request.param == "payments":
        row = make_payment(order, PaymentStatus.PENDING)
    elif request.param == "paid_orders":
        row = touch(order, status=OrderStatus.PAID, paid_at=NOW)
    elif request.param == "cancellations":
        row = make_cancellation(order, "C1", "requested")
    elif request.param == "messages":
        row = touch(
            Message.objects.create(
                business_event="e", channel="mail", recipient="a@b.example", template="t", message_id="m"
            )
        )
    else:
        status = RefundStatus.PLANNED if request.param == "planned_refunds" else RefundStatus.SENDING
        row = make_refund(order, status)
    task, arguments = CALLS[request.param]
    return request.param, task, arguments(row)


@pytest.mark.parametrize("state", [JobState.SCHEDULED, JobState.QUEUED, JobState.RUNNING])
def test_what_an_open_job_covers_is_not_stuck(stuck: tuple[str, str, tuple[Any, ...]], sent: Promises, state: JobState):
    _, task, arguments = stuck
    enqueue(task, *arguments)
    end_jobs(state)

    assert swept(sent, NOW + timedelta(minutes=2)) == ({}, [])


def test_what_no_job_covers_is_promised_again(stuck: tuple[str, str, tuple[Any, ...]], sent: Promises):
    kind, task, arguments = stuck
    enqueue(task, *arguments)
    end_jobs()

    assert swept(sent, NOW + timedelta(minutes=2)) == ({kind: 1}, [(task, *arguments)])


def test_a_row_whose_job_is_parked_waits_for_a_person(
    stuck: tuple[str, str, tuple[Any, ...]], sent: Promises, caplog: pytest.LogCaptureFixture
):
    kind, task, arguments = stuck
    enqueue(task, *arguments)
    end_jobs(JobState.PARKED)

    assert swept(sent, NOW + timedelta(minutes=2)) == ({}, [])
    (line,) = [record.msg for record in caplog.records if record.levelname == "WARNING"]
    assert (line["event"], line[kind]) == ("stuck rows wait for a person, because their jobs are parked", 1)  # type: ignore[index]
    end_jobs(JobState.DISCARDED)
    assert swept(sent, NOW + timedelta(minutes=4))[0] == {kind: 1}


def test_a_job_of_another_row_covers_nothing(stuck: tuple[str, str, tuple[Any, ...]], sent: Promises):
    kind, task, arguments = stuck
    enqueue(task, arguments[0] + 1, *arguments[1:])
    if arguments[1:]:
        enqueue(task, arguments[0], "5.10", "cancellation C2")

    assert swept(sent, NOW + timedelta(minutes=2))[0] == {kind: 1}


def test_a_call_by_an_old_name_and_by_keywords_covers_as_well(order: Order, sent: Promises):
    make_refund(order, RefundStatus.PLANNED)
    app.tasks["tasks.initiate_juspay_refund"].apply_async(
        kwargs={"order_id": order.pk, "refund_reason": "cancellation C1", "amount": "5.10"}
    )

    assert swept(sent, LATE) == ({}, [])


@pytest.mark.parametrize("status", [RefundStatus.SENDING, RefundStatus.UNKNOWN])
def test_a_refund_whose_own_job_is_still_at_it_is_not_looked_up_beside_it(order: Order, sent: Promises, status: str):
    refund = make_refund(order, status)
    enqueue("orders.tasks.initiate_juspay_refund", order.pk, "5.10", refund.reason)

    assert swept(sent, LATE) == ({}, [])
    end_jobs()
    assert swept(sent, LATE + timedelta(minutes=2))[0] == {"sent_refunds": 1}


def test_what_is_covered_does_not_keep_later_rows_waiting(
    order: Order, sent: Promises, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sweep, "BATCH", 2)
    messages = [
        touch(
            Message.objects.create(
                business_event=f"e{number}", channel="mail", recipient="a@b.example", template="t", message_id=number
            )
        )
        for number in range(3)
    ]
    for message in messages[:2]:
        enqueue("notifications.tasks.deliver_message", message.pk)

    assert swept(sent, NOW + timedelta(minutes=2)) == ({}, [])
    last = ("notifications.tasks.deliver_message", messages[2].pk)
    assert swept(sent, NOW + timedelta(minutes=2)) == ({"messages": 1}, [last])


def test_what_should_not_be_found_is_an_error_and_what_others_owe_is_not(
    order: Order, sent: Promises, caplog: pytest.LogCaptureFixture
):
    make_payment(order, PaymentStatus.PENDING)
    make_refund(order, RefundStatus.PLANNED)

    sweep_stuck_orders(now=LATE)

    said = {record.levelname: record.msg for record in caplog.records if record.name == "orders.actions.sweep"}
    assert said["INFO"] == said["INFO"] | {"event": "the sweep asks again", "payments": 1}  # type: ignore[operator]
    assert said["ERROR"] == said["ERROR"] | {"event": "the sweep found what no job covers", "planned_refunds": 1}  # type: ignore[operator]
    assert set(said) == {"INFO", "ERROR"}


def test_an_order_whose_stock_is_missing_has_a_job_that_waits(sent: Promises, run_jobs: Any):
    make_variant(on_hand=0)
    order = bring_order(line())
    pay(order)
    order.refresh_from_db()
    enqueue("orders.tasks.process_order", order.pk)

    for _ in range(3):
        assert [run.state for run in run_jobs(countdowns=True)] == ["IGNORED"]
    touch(order)
    assert swept(sent, LATE) == ({}, [])

    Stock.objects.update(on_hand=6)
    assert run_jobs(countdowns=True)[0].result == {"status": "ok", "order_id": order.pk}


@pytest.mark.sqlite
def test_standing_calls_are_found_along_indexes(order: Order):
    enqueue("orders.tasks.process_order", order.pk)
    with CaptureQueriesContext(connection) as queries:
        found = standing_calls(task="orders.tasks.process_order", key="order", values=[order.pk, 0])

    assert (found.open, found.parked) == ({(order.pk,)}, frozenset())  # type: ignore[comparison-overlap]
    *_, query = queries  # after the one that writes the row of the call
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN QUERY PLAN {query['sql']}")
        plan = " | ".join(row[3] for row in cursor.fetchall())
    assert "job_key_value" in plan
    assert "SCAN" not in plan, plan
