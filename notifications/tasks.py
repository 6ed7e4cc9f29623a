"""Tasks of messages."""

from __future__ import annotations

from typing import Any

from celery import Task, shared_task
from django.utils import timezone

from myproject.jobs.retries import RETRY
from notifications import actions


@shared_task(bind=True, name="notifications.tasks.deliver_message", **RETRY)
def deliver_message(self: Task[Any, Any], message_id: int) -> str:
    """Send one message.

    Does: claims the message, renders it, hands it to its channel, records the outcome.
    Twice: a message that is sent or being sent is left alone; after a crash it goes again with the same Message-ID.
    Retries: a channel that cannot be used, with backoff; after that the sweep, up to 60 attempts; a refusal is final.
    Enqueued by: whoever made the message row, and the sweep.
    """
    return actions.deliver_message(message_id=message_id, now=timezone.now())


@shared_task(bind=True, name="notifications.tasks.send_welcome_email", **RETRY)
def send_welcome_email(self: Task[Any, Any], user_id: int) -> dict[str, Any]:
    """Welcome a new user by mail.

    Does: makes the welcome message of that user and sends it.
    Twice: one message row per user; a second run answers `already_sent`.
    Retries: a channel that cannot be used, with backoff; after that the sweep.
    Enqueued by: registration.
    """
    return actions.send_welcome(user_id=user_id, now=timezone.now())
