"""What was said to whom, about what, once."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from myproject.fields import CodeField, TimestampedModel
from notifications.states import MessageStatus


class Channel(models.TextChoices):
    """How a message travels."""

    MAIL = "mail", "E-mail"


class Message(TimestampedModel):
    """One message. Unique per business event, channel and recipient: nobody hears the same thing twice.

    `context` holds the plain values that the template needs. `message_id` is the mail's Message-ID, derived from the
    three unique columns, so that a mail that was sent twice is recognised as one by whoever receives it.
    """

    business_event = CodeField(max_length=128, help_text="For example order-confirmed:web:W00000012.")
    channel = models.CharField(max_length=16, choices=Channel.choices)
    recipient = models.CharField(max_length=191)
    template = models.CharField(max_length=64)
    language = models.CharField(max_length=8, default="en")
    context = models.JSONField(default=dict)
    message_id = CodeField(max_length=128, unique=True)
    status = models.CharField(max_length=16, choices=MessageStatus.choices, default=MessageStatus.PENDING)
    attempts = models.PositiveSmallIntegerField(default=0)
    lease_until = models.DateTimeField(null=True, blank=True)
    held_by = CodeField(max_length=191, blank=True, db_default="", help_text="The job that claimed it last.")
    sent_at = models.DateTimeField(null=True, blank=True)
    failure_reason = models.CharField(max_length=191, blank=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("business_event", "channel", "recipient"), name="message_once"),
            models.CheckConstraint(condition=Q(status__in=MessageStatus.values), name="message_status_known"),
        )
        indexes = (models.Index(fields=("status", "updated_at"), name="message_status_updated"),)

    def __str__(self) -> str:
        return self.business_event
