"""Tasks of messages."""

from __future__ import annotations

from typing import Any

from celery import Task, shared_task
from django.utils import timezone

from myproject.jobs.retries import PERSISTENT
from notifications import actions

#: A mail server has no key by which a mail is known, so what may have left is sent once more under the same Message-ID:
#: the receiver's program shows one mail, and a mail too many is better than none.
MAIL: dict[str, Any] = {"mode": "lease", "on_unknown": "resend", **PERSISTENT}


@shared_task(bind=True, name="notifications.tasks.deliver_message", business_keys={"message": "message_id"}, **MAIL)
def deliver_message(self: Task[Any, Any], message_id: int) -> str:
    """Send one message.

    Does: claims the message, renders it, hands it to its channel, records the outcome.
    Twice: a message that was sent is left alone, and one that another job is sending is waited for; after a crash it
    goes again under the same Message-ID (the declared policy for mail, whose receivers know no key).
    Retries: a channel that refuses for now, up to 60 attempts in about four hours; a mail server that is away is waited
    for; a refusal is final.
    Enqueued by: whoever made the message row, and the sweep.
    """
    return actions.deliver_message(message_id=message_id, now=timezone.now())


@shared_task(bind=True, name="notifications.tasks.send_welcome_email", business_keys={"user": "user_id"}, **MAIL)
def send_welcome_email(self: Task[Any, Any], user_id: int) -> dict[str, Any]:
    """Welcome a new user by mail.

    Does: makes the welcome message of that user and sends it.
    Twice: one message row per user; a second run answers `already_sent`, and after a crash the mail goes again under
    the same Message-ID.
    Retries: as deliver_message.
    Enqueued by: registration.
    """
    return actions.send_welcome(user_id=user_id, now=timezone.now())
