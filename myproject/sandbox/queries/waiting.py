"""What is still to happen without a request: refunds to settle and webhooks to deliver."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from django.db.models import Min

from ..models import Refund, Webhook


def count_waiting() -> dict[str, int]:
    """Return how many refunds are pending and how many webhooks wait for delivery."""
    return {
        "refunds_pending": Refund.objects.filter(status="PENDING").count(),
        "webhooks_waiting": Webhook.objects.filter(state=Webhook.State.WAITING).count(),
    }


def find_due_webhooks(*, now: datetime, limit: int, leave_out: Collection[int]) -> list[Webhook]:
    """Return webhooks whose time has come, oldest first, without those in `leave_out` (being delivered now)."""
    due = Webhook.objects.filter(state=Webhook.State.WAITING, due_at__lte=now).order_by("due_at", "pk")
    return [webhook for webhook in due[: limit + len(leave_out)] if webhook.pk not in leave_out][:limit]


def find_next_due(*, leave_out: Collection[int]) -> datetime | None:
    """Return when something is due next, without the webhooks in `leave_out`."""
    waiting = Webhook.objects.filter(state=Webhook.State.WAITING).order_by("due_at", "pk")
    webhooks = waiting.values_list("pk", "due_at")[: 1 + len(leave_out)]
    times = [due_at for pk, due_at in webhooks if pk not in leave_out][:1]
    refund = Refund.objects.filter(status="PENDING").aggregate(first=Min("due_at"))["first"]
    return min([*times, *([refund] if refund else [])], default=None)
