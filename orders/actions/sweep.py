"""Finding what stopped on its way and having its next step done again.

Two things stop an order. Others do not come back to us: a webhook that never came, a customer who left the page, a
refund that the bank is still at. Asking about those is the sweep's work (`asks`). And what we promised ourselves was
not done; a job is as safe as the order's own row, so that is a mistake of the code, and what is found is logged as one.

What an open job covers is not stuck, and what a parked job covers waits for the person who decides about that job. The
next step of everything else is promised again; every step is safe to run twice. Each search reads an index from its
oldest entry and takes at most `BATCH` rows; what was looked at is marked, so that the same rows do not keep the others
waiting.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.conf import settings
from django.db import models, transaction
from django.db.models import F, Q

from myproject.errors import AppError
from myproject.jobs.queries.standing import standing_calls
from myproject.jobs.sending import enqueue
from myproject.money import format_minor
from notifications.models import Message
from notifications.queries import stuck_messages
from orders.actions.importing import pay_if_free
from orders.actions.payments import MISMATCH
from orders.actions.refund_sending import REFUSED
from orders.actions.refunds import retry_refund
from orders.models import Cancellation, Order, Payment, Refund, WebhookEvent
from orders.states import CancellationStatus, OrderStatus, PaymentStatus, RefundStatus, WebhookStatus

logger = structlog.get_logger(__name__)

#: Rows of one kind per run: 500 messages are sent in about half a second, and a backlog of a day is gone in an hour.
BATCH = 500
#: How often a refund that the provider failed is tried again by itself; after that a person decides (retry_refund).
AUTOMATIC_RETRIES = 3
#: What is open for longer than this is asked about less often: customers come back within the hour or not at all.
FRESH = timedelta(hours=1)
SELDOM = 15

Found = Sequence[tuple[Any, ...]]


@dataclass(frozen=True)
class Moment:
    """When a search runs: `before` is the newest moment that counts as stuck, `now - before` the step's patience."""

    now: datetime
    before: datetime
    seldom: datetime


@dataclass(frozen=True, kw_only=True)
class Also:
    """Another task that works on a step's rows: `calls` gives its arguments for each of these primary keys."""

    task: str
    key: str
    calls: Callable[[Sequence[int]], dict[int, tuple[Any, ...]]]


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step that may not have happened: how its rows are found and what does it.

    `find` returns rows of (primary key, *arguments of the task). `patience` is in multiples of SWEEP_AFTER, with its
    reason. A step without a task is done here, by `act`. `key` is the business key of the task's first argument;
    `also` names another task, and its calls, that are at work on the same rows. A step that `asks` others is expected
    to find something; any other finds what should not be.
    """

    kind: str
    reason: str
    find: Callable[[Moment], Found]
    model: type[models.Model] | None = None
    task: str = ""
    key: str = ""
    also: Also | None = None
    asks: bool = False
    act: Callable[[int, datetime], object] | None = None
    patience: float = 1


def sweep_stuck_orders(*, now: datetime) -> dict[str, int]:
    """Have every step done again that did not happen in time; return how many rows of each kind no job covered."""
    counts, parked = {}, {}
    for step in STEPS:
        after = settings.SWEEP_AFTER * step.patience
        moment = Moment(
            now=now,
            before=now - timedelta(seconds=after),
            seldom=now - timedelta(seconds=after * SELDOM),
        )
        found = step.find(moment)
        stuck, parked[step.kind] = _uncovered(step, found) if found else ([], 0)
        counts[step.kind] = len(stuck)
        if found:
            _take_up(step, found, stuck, now=now)
    _report(counts, parked)
    return counts


def _report(counts: dict[str, int], parked: dict[str, int]) -> None:
    """Log what was found: asking others is usual, anything else should not be there to be found."""
    usual = {step.kind: counts[step.kind] for step in STEPS if step.asks and counts[step.kind]}
    left = {step.kind: counts[step.kind] for step in STEPS if not step.asks and counts[step.kind]}
    waiting = {kind: count for kind, count in parked.items() if count}
    if usual:
        logger.info("the sweep asks again", **usual)
    if left:
        logger.error("the sweep found what no job covers", **left)
    if waiting:
        logger.warning("stuck rows wait for a person, because their jobs are parked", **waiting)


def _uncovered(step: Step, found: Found) -> tuple[Found, int]:
    """Return the rows whose step no job stands for, and how many have a parked job only."""
    if not step.task:
        return found, 0
    standing = standing_calls(task=step.task, key=step.key, values=[row[1] for row in found])
    at_work: set[int] = set()
    if step.also is not None:
        calls = step.also.calls([row[0] for row in found])
        others = standing_calls(task=step.also.task, key=step.also.key, values=[call[0] for call in calls.values()])
        at_work = {pk for pk, call in calls.items() if call in others.open}
    unopened = [row for row in found if row[1:] not in standing.open and row[0] not in at_work]
    stuck = [row for row in unopened if row[1:] not in standing.parked]
    return stuck, len(unopened) - len(stuck)


def _take_up(step: Step, found: Found, stuck: Found, *, now: datetime) -> None:
    """Mark everything that was found as looked at, and have the next step of what is stuck done."""
    with transaction.atomic():
        if step.model is not None:
            _mark(step.model, [row[0] for row in found], now=now)
        for arguments in dict.fromkeys(row[1:] for row in stuck) if step.task else ():
            enqueue(step.task, *arguments)
    if step.act is not None:
        for row in stuck:
            _act(step, row[0], now=now)


def _act(step: Step, key: int, *, now: datetime) -> None:
    """Do the step for one row. Whatever goes wrong with it is logged and leaves the other rows their turn."""
    assert step.act is not None
    try:
        step.act(key, now)
    except AppError as error:
        logger.warning("sweep could not help", kind=step.kind, row=key, reason=error.message)
    except Exception:
        logger.exception("sweep failed on a row", kind=step.kind, row=key)


def _mark(model: type[models.Model], keys: Sequence[int], *, now: datetime) -> None:
    changes: dict[str, Any] = {"updated_at": now}
    if model is Order:
        changes["version"] = F("version") + 1
    model._default_manager.filter(pk__in=keys).update(**changes)


def _oldest(model: type[models.Model], status: str, moment: Moment, *fields: str, **filters: Any) -> list[Any]:
    """Return the rows of one status that nothing has touched since `before`, oldest first: a walk along one index."""
    rows = model._default_manager.filter(status=status, updated_at__lte=moment.before, **filters)
    return list(rows.order_by("updated_at").values_list("pk", *fields)[:BATCH])


def _young_often(
    model: type[models.Model],
    statuses: Sequence[str],
    moment: Moment,
    *conditions: Q,
    born: str = "created_at",
    argument: str = "pk",
) -> Found:
    """Return the rows of these statuses that nothing has touched lately: young ones each time, old ones seldom."""
    due = Q((f"{born}__gte", moment.now - FRESH)) | Q(updated_at__lte=moment.seldom)
    found: list[tuple[Any, ...]] = []
    for status in statuses:
        rows = model._default_manager.filter(due, *conditions, status=status, updated_at__lte=moment.before)
        found += rows.order_by("updated_at").values_list("pk", argument)[: BATCH - len(found)]
    return found


def _open_payments(moment: Moment) -> Found:
    statuses = (PaymentStatus.CREATED, PaymentStatus.PENDING)
    return _young_often(Payment, statuses, moment, ~Q(failure_reason=MISMATCH))


def _webhooks(moment: Moment) -> Found:
    return _young_often(WebhookEvent, (WebhookStatus.RECEIVED,), moment, born="received_at")


def _paid_orders(moment: Moment) -> Found:
    return [(pk, pk) for (pk,) in _oldest(Order, OrderStatus.PAID, moment)]


def _free_orders(moment: Moment) -> Found:
    recent = moment.now - timedelta(days=1)  # of the many that wait for a payment, look at a day's only
    nothing_due = {"total_minor": F("cancelled_minor"), "updated_at__gte": recent}
    return _oldest(Order, OrderStatus.PENDING_PAYMENT, moment, **nothing_due)


def _cancellations(moment: Moment) -> Found:
    return _young_often(Cancellation, (CancellationStatus.REQUESTED,), moment, argument="order_id")


_REFUND_CALL = ("cancellation__order_id", "amount_minor", "currency", "reason")


def _planned_refunds(moment: Moment) -> Found:
    rows = _oldest(Refund, RefundStatus.PLANNED, moment, *_REFUND_CALL)
    return [(pk, order, format_minor(amount, currency), reason) for pk, order, amount, currency, reason in rows]


def _sending_calls(keys: Sequence[int]) -> dict[int, tuple[Any, ...]]:
    """Return the call by which each of these refunds was sent first; its job may still be waiting for an answer."""
    rows = Refund.objects.filter(pk__in=keys).values_list("pk", *_REFUND_CALL)
    return {pk: (order, format_minor(amount, currency), reason) for pk, order, amount, currency, reason in rows}


def _sent_refunds(moment: Moment) -> Found:
    return _young_often(Refund, (RefundStatus.UNKNOWN, RefundStatus.SENDING, RefundStatus.PENDING), moment)


def _refunds_in_review(moment: Moment) -> Found:
    return [(pk, pk) for (pk,) in _oldest(Refund, RefundStatus.MANUAL_REVIEW, moment)]


def _failed_refunds(moment: Moment) -> Found:
    rows = Refund.objects.filter(
        status=RefundStatus.FAILED, updated_at__lte=moment.before, attempt__lte=AUTOMATIC_RETRIES
    ).exclude(failure_reason__startswith=REFUSED)
    return list(rows.order_by("updated_at").values_list("pk")[:BATCH])


def _messages(moment: Moment) -> Found:
    return [(pk, pk) for pk in stuck_messages(before=moment.before, now=moment.now, limit=BATCH)]


def _pay_free_order(order_id: int, now: datetime) -> None:
    with transaction.atomic():
        order = Order.objects.select_for_update().get(pk=order_id)
        # One whose cancellation was not carried out yet may have nothing left; that is found when it is.
        if order.status == OrderStatus.PENDING_PAYMENT and not _is_being_cancelled(order):
            pay_if_free(order=order, actor="task", now=now)


def _is_being_cancelled(order: Order) -> bool:
    return order.cancellations.filter(status=CancellationStatus.REQUESTED).exists()


def _retry_refund(refund_id: int, now: datetime) -> None:
    retry_refund(refund_id=refund_id, actor="task", now=now)


#: Everything that can stop, in the order in which money and goods travel.
STEPS: tuple[Step, ...] = (
    Step(
        kind="webhooks",
        reason="a webhook is processed within a second of its arrival",
        find=_webhooks,
        model=WebhookEvent,
        task="orders.tasks.process_webhook_event",
        key="event",
    ),
    Step(
        kind="payments",
        reason="the webhook of a payment may never come, and a customer needs about a minute on the page",
        find=_open_payments,
        model=Payment,
        task="orders.tasks.check_payment",
        key="payment",
        asks=True,
    ),
    Step(
        kind="free_orders",
        reason="an order with nothing left to pay is paid where that is found, in the same transaction",
        find=_free_orders,
        model=Order,
        act=_pay_free_order,
    ),
    Step(
        kind="paid_orders",
        reason="a paid order is processed within seconds; one whose stock is missing has a job that waits for it",
        find=_paid_orders,
        model=Order,
        task="orders.tasks.process_order",
        key="order",
    ),
    Step(
        kind="cancellations",
        reason="a cancellation is carried out within seconds of its request; one that cannot be waits for people",
        find=_cancellations,
        model=Cancellation,
        task="orders.tasks.process_order_cancellation",
        key="order",
        asks=True,
    ),
    Step(
        kind="planned_refunds",
        reason="a planned refund is sent within seconds; one that the provider cannot take has a job that waits",
        find=_planned_refunds,
        model=Refund,
        task="orders.tasks.initiate_juspay_refund",
        key="order",
    ),
    Step(
        kind="sent_refunds",
        reason="a refund that was sent is settled by a webhook that may never come",
        find=_sent_refunds,
        model=Refund,
        task="orders.tasks.check_refund",
        key="refund",
        also=Also(task="orders.tasks.initiate_juspay_refund", key="order", calls=_sending_calls),
        asks=True,
    ),
    Step(
        kind="refunds_in_review",
        reason="people at the provider decide these: asking once an hour is often enough",
        find=_refunds_in_review,
        model=Refund,
        task="orders.tasks.check_refund",
        key="refund",
        asks=True,
        patience=60,
    ),
    Step(
        kind="failed_refunds",
        reason="a bank that refused is given five minutes before the next attempt",
        find=_failed_refunds,
        model=Refund,
        act=_retry_refund,
        asks=True,
        patience=5,
    ),
    Step(
        kind="messages",
        reason="a message is delivered within seconds; one that nobody takes has a job that waits",
        find=_messages,
        model=Message,
        task="notifications.tasks.deliver_message",
        key="message",
    ),
)
