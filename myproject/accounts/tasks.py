"""Tasks of accounts."""

from __future__ import annotations

from celery import shared_task
from django.utils import timezone

from myproject.accounts.actions import delete_expired_sessions
from myproject.api.idempotency import delete_old_records
from myproject.api.receipts import delete_old_receipts
from myproject.jobs.retries import RETRY


@shared_task(name="myproject.accounts.tasks.cleanup_sessions", mode="lease", on_unknown="resend", unique=True, **RETRY)
def cleanup_sessions() -> dict[str, int]:
    """Delete what nobody needs any more.

    Does: deletes expired browser sessions, answers kept for repeated API requests, and receipts of tasks long gone.
    Twice: the second run finds nothing left to delete, so one that died begins again; it commits as it goes.
    Retries: none of its own; the next run takes the rest.
    Enqueued by: beat, every hour and every night at two (the mission names both schedules).
    """
    now = timezone.now()
    return {
        "sessions": delete_expired_sessions(now=now),
        "answers": delete_old_records(now=now),
        "receipts": delete_old_receipts(now=now),
    }
