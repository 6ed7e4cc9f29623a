"""The task that finds what stopped on its way."""

from __future__ import annotations

from typing import Any

from celery import Task, shared_task
from django.utils import timezone

from myproject.jobs.retries import RETRY
from orders.actions import sweep

#: Seconds: it runs every minute, and what it found is logged.
RETENTION = 3_600


@shared_task(
    bind=True,
    name="orders.tasks.sweep_stuck_orders",
    mode="lease",
    on_unknown="resend",
    unique=True,
    retention=RETENTION,
    **(RETRY | {"max_retries": 0}),
)
def sweep_stuck_orders(self: Task[Any, Any]) -> dict[str, int]:
    """Have everything done again whose next step did not happen in time.

    Does: finds stuck webhooks, payments, orders, cancellations, refunds and messages, at most 500 of each kind, and
    enqueues their next step.
    Twice: what an open job covers is not enqueued again, so a run that died begins again, and every step is safe to do
    twice.
    Retries: never; the next minute's run does the same.
    Enqueued by: beat, every minute, and `manage.py sweep`.
    """
    return sweep.sweep_stuck_orders(now=timezone.now())
