"""The task that carries out cancellations."""

from __future__ import annotations

from typing import Any

from celery import Task, shared_task
from django.utils import timezone

from myproject.jobs.retries import RETRY
from orders.actions import cancel


@shared_task(bind=True, name="orders.tasks.process_order_cancellation", business_keys={"order": "order_id"}, **RETRY)
def process_order_cancellation(self: Task[Any, Any], order_id: int) -> dict[str, Any]:
    """Carry out everything that waits to be cancelled on one order.

    Does: books the stock back and the money that is owed, plans one refund per cancellation and has it sent.
    Twice: only requested cancellations are touched, under the order's lock; a second run finds none.
    Retries: lost races, with backoff, ten times. Money that no payment has left ends it as `blocked`, with an event on
    the order; the sweep comes back to it every 15 minutes.
    Enqueued by: the request or import of a cancellation, the processing of an order that has some, and the sweep.
    """
    return cancel.process_order_cancellation(order_id=order_id, now=timezone.now())
