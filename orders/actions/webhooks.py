"""Webhooks of payment providers: kept as hints, each processed by reading the truth back."""

from __future__ import annotations

from datetime import datetime

import structlog
from django.db import IntegrityError, transaction

from myproject.jobs.running import fence
from myproject.jobs.sending import enqueue
from myproject.states import transition
from orders.actions.payments import apply_in_transaction, read_provider_order
from orders.models import Payment, WebhookEvent
from orders.states import WEBHOOK, WebhookStatus

logger = structlog.get_logger(__name__)

#: Events after which money may have moved. The others only repeat them (TXN_*, REFUND_INITIATED) or are about things
#: that this shop does not use (mandates, notifications): they are kept by name and never processed.
SUPPORTED_EVENTS = frozenset(
    {
        "AUTO_REFUND_FAILED",
        "AUTO_REFUND_SUCCEEDED",
        "ORDER_FAILED",
        "ORDER_REFUNDED",
        "ORDER_REFUND_FAILED",
        "ORDER_SUCCEEDED",
        "REFUND_MANUAL_REVIEW_NEEDED",
    }
)


def receive_webhook(
    *, provider: str, event_id: str, event_name: str, provider_order_id: str, now: datetime
) -> WebhookEvent:
    """Keep the hint and promise its processing in one transaction; a repeated event is returned as it is."""
    supported = event_name in SUPPORTED_EVENTS
    try:
        with transaction.atomic():
            event = WebhookEvent.objects.create(
                provider=provider,
                event_id=event_id,
                event_name=event_name,
                provider_order_id=provider_order_id,
                status=WebhookStatus.RECEIVED if supported else WebhookStatus.IGNORED,
                received_at=now,
            )
            if supported:
                enqueue("orders.tasks.process_webhook_event", event.pk)
            return event
    except IntegrityError:
        return WebhookEvent.objects.get(provider=provider, event_id=event_id)


def process_webhook_event(*, event_pk: int, now: datetime) -> str:
    """Read the event's order back, apply it and return the event's status; one that is not ours is ignored.

    One look-up and one transaction, which closes the event together with what it brought. Raises RetryableError when
    the provider cannot be asked now, and PaymentMismatch after its event is committed.
    """
    event = WebhookEvent.objects.get(pk=event_pk)
    if event.status != WebhookStatus.RECEIVED:
        return event.status
    payment = Payment.objects.filter(provider=event.provider, provider_order_id=event.provider_order_id).first()
    if payment is None:
        with transaction.atomic():
            return transition(event, WebhookStatus.IGNORED, table=WEBHOOK, now=now).status
    snapshot = read_provider_order(payment)
    mismatch = None
    with transaction.atomic():
        fence()
        if snapshot is not None:
            _, mismatch = apply_in_transaction(payment=payment, snapshot=snapshot, actor="webhook", now=now)
        else:
            logger.error("the provider does not know an order of its own webhook", payment=payment.pk)
        transition(event, WebhookStatus.PROCESSED, table=WEBHOOK, now=now)
    if mismatch is not None:
        raise mismatch
    return event.status
