"""Webhooks as rows: added with the effect they tell of, and marked after each attempt to deliver them."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db import transaction

from ..background.wakeup import wake_background
from ..configuration import configuration
from ..database import writing
from ..faults.choosing import choose_fault
from ..models import Entry, Order, Refund, Webhook
from ..queries.orders import describe_order
from .record import add_entry

# Seconds before each further attempt: 16 tries over about 24 hours. The provider publishes this schedule for its UPI
# product only; for Express Checkout it publishes none. SANDBOX_WEBHOOK_BACKOFF_SCALE shortens it.
BACKOFF = (60, *[300] * 2, *[600] * 5, *[3600] * 5, *[21_600] * 3)


def add_event(*, name: str, order: Order, refunds: Sequence[Refund], now: datetime) -> None:
    """Put the event on its way, as the merchant subscribed and the fault rules say. Call inside the transaction."""
    config = configuration()
    if not config.webhook_url or name not in config.webhook_events:
        return
    event_id = f"evt_V2_{uuid.uuid4().hex}"
    payload = {
        "id": event_id,
        "date_created": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "event_name": name,
        "content": {"order": describe_order(order, refunds)},
    }
    fault = choose_fault(endpoint="webhook", order_id=order.order_id, event=name)
    kind = fault.kind if fault else ""
    delay = timedelta(seconds=fault.seconds if fault else 0)
    copies = 1 + (fault.copies if fault and kind == "duplicate" else 0)
    Webhook.objects.bulk_create(
        Webhook(
            event_id=event_id,
            copy=copy,
            event_name=name,
            order_id=order.order_id,
            payload=json.dumps(payload, separators=(",", ":")),
            state=Webhook.State.WITHHELD if kind == "missing" else Webhook.State.WAITING,
            held_until_next=kind == "out_of_order",
            created_at=now,
            due_at=now + delay,
        )
        for copy in range(copies)
    )


def finish_attempt(*, webhook: Webhook, answer: str, delivered: bool, now: datetime) -> None:
    """Write down one attempt: delivered, due again by BACKOFF, or given up. `answer` is the status or the failure."""
    with writing():
        webhook.attempts += 1
        if delivered:
            webhook.state = Webhook.State.DELIVERED
        elif webhook.attempts > len(BACKOFF):
            webhook.state = Webhook.State.GIVEN_UP
        else:
            wait = BACKOFF[webhook.attempts - 1] * configuration().webhook_backoff_scale
            webhook.due_at = now + timedelta(seconds=wait)
        webhook.save(update_fields=["state", "attempts", "due_at"])
        add_entry(
            kind=Entry.Kind.WEBHOOK_SENT,
            order_id=webhook.order_id,
            reference=webhook.event_id,
            currency="",
            amount=0,
            outcome=f"{webhook.event_name[:30]} {answer}",
            now=now,
        )
        if delivered and any(rule.fault.kind == "out_of_order" for rule in configuration().rules):
            _release_held(webhook, now=now)


def _release_held(webhook: Webhook, *, now: datetime) -> None:
    """Let the earlier events of the order leave that were held back until a later one had arrived."""
    held = Webhook.objects.filter(order_id=webhook.order_id, held_until_next=True, pk__lt=webhook.pk)
    if held.filter(state=Webhook.State.WAITING).update(held_until_next=False, due_at=now):
        transaction.on_commit(wake_background)
