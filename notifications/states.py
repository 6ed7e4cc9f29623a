"""The life of a message, as data."""

from django.db import models

from myproject.states import state_table


class MessageStatus(models.TextChoices):
    """Where a message stands. SENDING is committed before the channel is called."""

    PENDING = "pending", "To be sent"
    SENDING = "sending", "Being sent"
    SENT = "sent", "Sent"
    FAILED = "failed", "Failed for good"


MESSAGE = state_table(
    "message",
    {
        MessageStatus.PENDING: {MessageStatus.SENDING},
        # Back to PENDING: refused before it was taken, or the sender died and the lease ran out.
        MessageStatus.SENDING: {MessageStatus.SENT, MessageStatus.PENDING, MessageStatus.FAILED},
        MessageStatus.SENT: set(),
        MessageStatus.FAILED: {MessageStatus.PENDING},
    },
)
