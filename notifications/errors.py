"""The errors of messages."""

from __future__ import annotations

from myproject.errors import OutageError, RetryableError, TerminalError


class UnknownTemplate(TerminalError):
    """No template of that name and language is shipped."""

    code = "unknown_template"


class ChannelUnavailable(RetryableError):
    """The channel did not take the message; nothing was sent."""

    code = "channel_unavailable"


class ChannelDown(ChannelUnavailable, OutageError):
    """The channel's server is away as a whole: no message was offered to it. It is waited for, however long."""

    code = "channel_down"


class MessageBusy(RetryableError):
    """Another job is sending this message; come back when its lease is over."""

    code = "message_busy"


class MessageRefused(TerminalError):
    """The channel will never take this message, for example because the address does not exist."""

    code = "message_refused"
