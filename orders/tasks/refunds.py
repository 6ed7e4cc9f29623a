"""Tasks that send refunds to the provider and look them up."""

from __future__ import annotations

from typing import Any

from celery import Task, shared_task
from django.utils import timezone

from myproject.jobs.retries import PERSISTENT
from orders.actions import refund_sending
from orders.tasks.policies import PROVIDER


@shared_task(
    bind=True, name="orders.tasks.initiate_juspay_refund", business_keys={"order": "order_id"}, **PROVIDER, **PERSISTENT
)
def initiate_juspay_refund(self: Task[Any, Any], order_id: int, amount: Any, refund_reason: str) -> dict[str, Any]:
    """Send the planned refund of that order, amount (major units, "12.50") and reason to Juspay.

    Does: claims the one refund row that fits, calls the provider with the row's own request id, records the answer.
    Twice: an earlier sent one is returned as it is; the provider takes a request id once, and a try whose outcome is
    unknown, also because its process died, is looked up before the same id is sent again.
    Retries: no answer, 429 (as long as the provider asks), an equal amount within five seconds (after six), unknown
    outcomes and lost races, with growing pauses, for days; a provider that is away is waited for. A refund that nobody
    planned and one that the provider refuses fail at once.
    Enqueued by: process_order_cancellation, a retry of a failed refund, and the sweep.
    """
    refund = refund_sending.send_planned_refund(
        order_id=order_id, amount=amount, refund_reason=refund_reason, now=timezone.now()
    )
    return {"refund_id": refund.pk, "request_id": refund.request_id, "status": refund.status}


@shared_task(
    bind=True, name="orders.tasks.check_refund", business_keys={"refund": "refund_id"}, **PROVIDER, **PERSISTENT
)
def check_refund(self: Task[Any, Any], refund_id: int) -> dict[str, Any]:
    """Ask the provider what became of a refund.

    Does: looks the refund's request id up and books what it says; sends the same id again when it never arrived.
    Twice: what is final stays; the provider takes a request id once, so a run that died asks again.
    Retries: as initiate_juspay_refund.
    Enqueued by: the sweep, for refunds whose webhook did not come in time or whose sender died.
    """
    refund = refund_sending.check_refund(refund_id=refund_id, now=timezone.now())
    return {"refund_id": refund.pk, "request_id": refund.request_id, "status": refund.status}
