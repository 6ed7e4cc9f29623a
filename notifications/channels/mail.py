"""Mail, through whichever backend EMAIL_URL names (SMTP, console, files)."""

from __future__ import annotations

import smtplib
import threading

from django.conf import settings
from django.core.mail import EmailMultiAlternatives, get_connection
from django.core.mail.backends.base import BaseEmailBackend

from notifications.channels.rendering import Rendered
from notifications.errors import ChannelDown, ChannelUnavailable, MessageRefused

_local = threading.local()


def _connection() -> BaseEmailBackend:
    """Return this thread's backend: it keeps one connection to the mail server across messages."""
    if getattr(_local, "backend_name", None) != settings.EMAIL_BACKEND:
        _local.backend = get_connection()
        _local.backend_name = settings.EMAIL_BACKEND
    backend: BaseEmailBackend = _local.backend
    return backend


class MailChannel:
    """Sends mail with a fixed Message-ID, so that a mail sent twice after a crash is recognised as one.

    Source of the header: RFC 5322, section 3.6.4.
    """

    def send(self, *, recipient: str, rendered: Rendered, message_id: str) -> None:
        """Hand the mail to the server. Raises ChannelUnavailable (ChannelDown: nobody is there), MessageRefused."""
        mail = EmailMultiAlternatives(
            subject=rendered.subject,
            body=rendered.text,
            to=[recipient],
            headers={"Message-ID": message_id, "Auto-Submitted": "auto-generated"},
            connection=_connection(),
        )
        if rendered.html:
            mail.attach_alternative(rendered.html, "text/html")
        self._open(mail.connection)
        try:
            mail.send()
        except smtplib.SMTPRecipientsRefused as error:
            codes = [code for code, _ in error.recipients.values()]
            if all(500 <= code < 600 for code in codes):
                raise MessageRefused(f"The mail server refuses the recipient for good (codes {codes}).") from error
            self._drop()
            raise ChannelUnavailable(f"The mail server refuses the recipient for now (codes {codes}).") from error
        except smtplib.SMTPResponseException as error:
            self._drop()
            if 500 <= error.smtp_code < 600 and not isinstance(error, smtplib.SMTPAuthenticationError):
                raise MessageRefused(f"The mail server refuses the mail for good (code {error.smtp_code}).") from error
            raise ChannelUnavailable(f"The mail server answers {error.smtp_code}.") from error
        except (smtplib.SMTPException, OSError) as error:
            self._drop()
            raise ChannelUnavailable(f"The mail server cannot be used: {type(error).__name__}.") from error

    def _open(self, backend: BaseEmailBackend | None) -> None:
        """Connect first, when there is no connection yet: whoever cannot has offered nothing to anybody."""
        assert backend is not None
        try:
            backend.open()
        except smtplib.SMTPAuthenticationError as error:
            self._drop()
            raise ChannelUnavailable(f"The mail server answers {error.smtp_code}.") from error
        except (smtplib.SMTPException, OSError) as error:
            self._drop()
            raise ChannelDown(f"The mail server is away: {type(error).__name__}.") from error

    @staticmethod
    def _drop() -> None:
        """Forget the connection: after an error the next mail starts with a new one."""
        _local.backend_name = None
