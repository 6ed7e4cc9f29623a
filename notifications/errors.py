"""The errors of messages."""

from __future__ import annotations

from myproject.errors import RetryableError, TerminalError


class UnknownTemplate(TerminalError):
    """No template of that name and language is shipped."""

    code = "unknown_template"


class ChannelUnavailable(RetryableError):
    """The channel did not take the message; nothing was sent."""

    code = "channel_unavailable"


class MessageRefused(TerminalError):
    """The channel will never take this message, for example because the address does not exist."""

    code = "message_refused"
