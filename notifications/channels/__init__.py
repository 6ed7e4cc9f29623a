"""How messages leave the house: one module per channel, all behind the same Protocol."""

from __future__ import annotations

from typing import Protocol

from notifications.channels.mail import MailChannel
from notifications.channels.rendering import Rendered
from notifications.models import Channel


class MessageChannel(Protocol):
    """Delivers one rendered message. Holds no rows and opens no transaction."""

    def send(self, *, recipient: str, rendered: Rendered, message_id: str) -> None:
        """Hand the message over. Raises ChannelUnavailable (nothing was sent) or MessageRefused (never will be)."""


#: Adding a channel is one module and one entry here.
CHANNELS: dict[str, MessageChannel] = {Channel.MAIL: MailChannel()}
