"""A real SMTP server (aiosmtpd) in a thread of the test, which keeps what it is given."""

from __future__ import annotations

from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from aiosmtpd.controller import Controller

from tests.servers.processes import free_port


@dataclass
class SmtpServer:
    """Listens on loopback. `messages` holds every mail that was accepted, in order of arrival.

    While `refuse` is set, every mail is answered with that line instead (for example "451 4.3.0 try again later").
    """

    port: int = field(default_factory=free_port)
    messages: list[EmailMessage] = field(default_factory=list)
    refuse: str | None = None

    @property
    def url(self) -> str:
        """The server's address as EMAIL_URL takes it."""
        return f"smtp://127.0.0.1:{self.port}"

    def __enter__(self) -> SmtpServer:
        self._controller = Controller(_Keeper(self), hostname="127.0.0.1", port=self.port, ready_timeout=20)
        self._controller.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._controller.stop()

    def recipients(self) -> list[str]:
        """Return the address of each mail, in order of arrival."""
        return [str(message["To"]) for message in self.messages]


class _Keeper:
    def __init__(self, server: SmtpServer) -> None:
        self.server = server

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        if self.server.refuse:
            return self.server.refuse
        message = message_from_bytes(envelope.content, _class=EmailMessage, policy=policy.default)
        self.server.messages.append(message)
        return "250 OK"
