"""What is asked about messages."""

from __future__ import annotations

from datetime import datetime

from django.db.models import Count, Q

from notifications.models import Message
from notifications.states import MessageStatus


def stuck_messages(*, before: datetime, now: datetime, limit: int) -> list[int]:
    """Return ids of messages that wait since before `before`, or whose sender died (lease over at `now`)."""
    return list(
        Message.objects.filter(
            Q(status=MessageStatus.PENDING, updated_at__lt=before)
            | Q(status=MessageStatus.SENDING, lease_until__lte=now)
        )
        .order_by("id")
        .values_list("id", flat=True)[:limit]
    )


def count_messages(*, event_prefix: str) -> dict[str, int]:
    """Return how many messages there are per status whose business event begins with `event_prefix`."""
    rows = (
        Message.objects.filter(business_event__startswith=event_prefix)
        .values("status")
        .annotate(number=Count("id"))
        .order_by("status")
    )
    return {row["status"]: row["number"] for row in rows}
