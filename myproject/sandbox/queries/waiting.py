"""What is still to happen without a request: refunds to settle and webhooks to deliver."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from ..models import Refund, Webhook


def count_waiting() -> dict[str, int]:
    """Return how many refunds are pending and how many webhooks wait for delivery."""
    return {
        "refunds_pending": Refund.objects.filter(status="PENDING").count(),
        "webhooks_waiting": Webhook.objects.filter(state=Webhook.State.WAITING).count(),
    }


def list_next_webhooks(*, limit: int, leave_out: Collection[int]) -> list[Webhook]:
    """Return the webhooks that are due first, due or not, without those in `leave_out` (being delivered now)."""
    waiting = Webhook.objects.filter(state=Webhook.State.WAITING).order_by("due_at", "pk")
    return [webhook for webhook in waiting[: limit + len(leave_out)] if webhook.pk not in leave_out][:limit]


def get_next_settlement() -> datetime | None:
    """Return when the next refund is due."""
    return Refund.objects.filter(status="PENDING").order_by("due_at").values_list("due_at", flat=True).first()
