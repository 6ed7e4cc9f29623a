"""Tasks that read payments back from the provider."""

from __future__ import annotations

from typing import Any

from celery import Task, shared_task
from django.utils import timezone

from myproject.jobs.retries import PERSISTENT
from orders.actions import payments, webhooks
from orders.tasks.policies import PROVIDER


@shared_task(
    bind=True, name="orders.tasks.process_webhook_event", business_keys={"event": "event_pk"}, **PROVIDER, **PERSISTENT
)
def process_webhook_event(self: Task[Any, Any], event_pk: int) -> dict[str, Any]:
    """Process a webhook that was received.

    Does: reads the event's order back from the provider and books what it says, in one transaction with the event.
    Twice: it asks and books, so a run that died asks again; a processed event is left alone, capture and settlement
    have a final status and a ledger key each.
    Retries: a provider that cannot be asked and lost races, with growing pauses (or as long as the provider asks), for
    days; an amount that does not match fails at once and is left to the operator.
    Enqueued by: the webhook view, once per event, and the sweep.
    """
    return {"status": webhooks.process_webhook_event(event_pk=event_pk, now=timezone.now())}


@shared_task(
    bind=True, name="orders.tasks.check_payment", business_keys={"payment": "payment_id"}, **PROVIDER, **PERSISTENT
)
def check_payment(self: Task[Any, Any], payment_id: int) -> dict[str, Any]:
    """Ask the provider what became of a payment.

    Does: reads the payment's order back and books what it says; gives a page up that nobody finished in a day.
    Twice: it asks and books, so a run that died asks again; what is final stays, so an answer that was booked before
    changes nothing.
    Retries: as process_webhook_event.
    Enqueued by: the sweep, for payments whose webhook did not come in time.
    """
    payment = payments.settle_payment(payment_id=payment_id, now=timezone.now())
    return {"payment_id": payment.pk, "status": payment.status}
