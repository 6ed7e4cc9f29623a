"""What makes and delivers messages."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.contrib.auth import get_user_model
from django.db import IntegrityError, transaction

from myproject.errors import NotFound
from myproject.jobs.running import current_job, fence
from myproject.jobs.sending import enqueue
from myproject.states import transition
from notifications.channels import CHANNELS
from notifications.channels.rendering import render_message
from notifications.errors import ChannelDown, ChannelUnavailable, MessageBusy, MessageRefused, UnknownTemplate
from notifications.models import Channel, Message
from notifications.states import MESSAGE, MessageStatus

logger = structlog.get_logger(__name__)

#: A sender that died leaves its message SENDING. Its own job takes it over within seconds; any other one after this.
#: Mail servers answer within the 10 s timeout, so a minute means that nobody is at work.
LEASE = timedelta(seconds=60)

#: Refusals before a message counts as failed: with the tasks' pauses of up to ten minutes they span about four hours,
#: as long as mail servers keep strangers waiting.
MAX_ATTEMPTS = 60


def _message_id(business_event: str, channel: str, recipient: str) -> str:
    digest = hashlib.sha256("\n".join((business_event, channel, recipient)).encode()).hexdigest()[:40]
    return f"<{digest}@messages.shop.example.com>"


def create_message(
    *,
    business_event: str,
    channel: str,
    recipient: str,
    template: str,
    context: dict[str, Any],
    now: datetime,
    language: str = "en",
) -> Message:
    """Return the message about `business_event` for `recipient`, made now or before: nobody hears it twice.

    Nothing is sent: the caller enqueues `notifications.tasks.deliver_message`. Safe within a transaction that another
    process races (the unique key decides).
    """
    fields = {"business_event": business_event, "channel": channel, "recipient": recipient}
    existing = Message.objects.filter(**fields).first()
    if existing is not None:
        return existing
    try:
        with transaction.atomic():
            return Message.objects.create(
                **fields,
                template=template,
                language=language,
                context=context,
                message_id=_message_id(business_event, channel, recipient),
            )
    except IntegrityError:
        return Message.objects.get(**fields)


def _claim(*, message_id: int, now: datetime) -> Message | None:
    """Take the message for sending, committed before the channel is called; None when it is not to be sent.

    A job takes over at once what it claimed itself: its earlier run died. Raises MessageBusy, NotFound.
    """
    job = current_job()
    with transaction.atomic():
        fence()
        message = Message.objects.select_for_update().filter(pk=message_id).first()
        if message is None:
            raise NotFound(f"message: there is no row {message_id}.")
        if message.status == MessageStatus.SENDING:
            rest = (message.lease_until - now).total_seconds() if message.lease_until else 0.0
            if rest > 0 and not (job is not None and job.id == message.held_by):
                raise MessageBusy(f"message {message_id}: another job is sending it.", retry_after=rest)
            # Its sender died before or after the mail server took it. The policy for mail is to send again; the
            # Message-ID is the same, so the receiving side shows one mail.
            if message.attempts >= MAX_ATTEMPTS:
                _give_up(message, now=now)
                return None
            transition(message, MessageStatus.PENDING, table=MESSAGE, now=now)
        if message.status != MessageStatus.PENDING:
            return None
        return transition(
            message,
            MessageStatus.SENDING,
            table=MESSAGE,
            now=now,
            attempts=message.attempts + 1,
            lease_until=now + LEASE,
            held_by=job.id if job is not None else "",
        )


def _give_up(message: Message, *, now: datetime) -> None:
    """Fail a message whose senders died every time: whatever kills them would go on for ever."""
    reason = f"{message.attempts} attempts did not end"
    transition(message, MessageStatus.FAILED, table=MESSAGE, now=now, lease_until=None, failure_reason=reason)
    logger.error("message failed for good", message=message.pk, reason=reason)


def _release(message: Message, target: str, *, now: datetime, reason: str, **changes: Any) -> None:
    with transaction.atomic():
        fence()
        transition(message, target, table=MESSAGE, now=now, lease_until=None, failure_reason=reason[:191], **changes)


def deliver_message(*, message_id: int, now: datetime) -> str:
    """Send one message and return its status afterwards; a message that was sent is left alone.

    Raises ChannelUnavailable, after which the message waits to be sent again, MessageBusy and NotFound.
    """
    message = _claim(message_id=message_id, now=now)
    if message is None:
        return str(Message.objects.values_list("status", flat=True).get(pk=message_id))
    try:
        rendered = render_message(
            channel=message.channel, template=message.template, language=message.language, context=message.context
        )
        CHANNELS[message.channel].send(recipient=message.recipient, rendered=rendered, message_id=message.message_id)
    except ChannelDown as error:  # it was offered to nobody, so it is no attempt
        _release(message, MessageStatus.PENDING, now=now, reason=error.message, attempts=message.attempts - 1)
        raise
    except ChannelUnavailable as error:
        exhausted = message.attempts >= MAX_ATTEMPTS
        _release(message, MessageStatus.FAILED if exhausted else MessageStatus.PENDING, now=now, reason=error.message)
        if exhausted:
            return MessageStatus.FAILED
        raise
    except (MessageRefused, UnknownTemplate) as error:
        _release(message, MessageStatus.FAILED, now=now, reason=error.message)
        logger.error("message failed for good", message=message.pk, reason=error.message)
        return MessageStatus.FAILED
    with transaction.atomic():
        fence()
        transition(message, MessageStatus.SENT, table=MESSAGE, now=now, sent_at=now, lease_until=None)
    return MessageStatus.SENT


def retry_message(*, message_id: int, now: datetime) -> None:
    """Give a failed message another round; an operator's action. Raises TransitionRefused for one that did not fail."""
    with transaction.atomic():
        message = Message.objects.select_for_update().get(pk=message_id)
        transition(message, MessageStatus.PENDING, table=MESSAGE, now=now, attempts=0, failure_reason="")
        enqueue("notifications.tasks.deliver_message", message.pk)


def send_welcome(*, user_id: int, now: datetime) -> dict[str, Any]:
    """Welcome a new user once: the message row is the guard that the document's EmailLog was."""
    user = get_user_model().objects.filter(pk=user_id, is_active=True).first()
    if user is None:
        return {"status": "not_found"}
    message = create_message(
        business_event=f"welcome:{user_id}",
        channel=Channel.MAIL,
        recipient=user.email,
        template="welcome",
        context={"name": user.get_short_name()},
        now=now,
    )
    if message.status == MessageStatus.SENT:
        return {"status": "already_sent"}
    return {"status": deliver_message(message_id=message.pk, now=now)}
