"""What production refuses: values that are set, and that a stranger guesses or a demonstration uses."""

from __future__ import annotations

import re
from ipaddress import ip_address
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured

# As Django's check security.W009, which only warns.
KEY_LENGTH, KEY_DIFFERENT, KEY_PREFIX = 50, 5, "django-insecure-"
PASSWORD_LENGTH = 12
_HOST = re.compile(
    r"\.?[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*|\[[0-9A-Fa-f:.]+\]"
)
# Names that are reachable from inside only, or reserved for tests and examples (RFC 2606, RFC 6761, RFC 6762).
_INSIDE = ("localhost", "local", "localdomain", "internal", "intranet", "lan", "home", "test", "example", "invalid")


def check_secret_key(key: str) -> None:
    """Refuse a key that is short, repeats itself or was made for development. Raises ImproperlyConfigured."""
    weak = len(key) < KEY_LENGTH or len(set(key)) < KEY_DIFFERENT or key.startswith((KEY_PREFIX, "insecure-"))
    if weak:
        raise ImproperlyConfigured(
            f"SECRET_KEY: read a default, short or uniform key; allowed is {KEY_LENGTH} or more random characters, "
            f"{KEY_DIFFERENT} or more of them different, without the prefix {KEY_PREFIX!r}."
        )


def check_hosts(hosts: list[str]) -> None:
    """Refuse a list of hosts that lets every host in, or holds what is none. Raises ImproperlyConfigured."""
    for host in hosts or [""]:
        if not _HOST.fullmatch(host):
            raise ImproperlyConfigured(
                f"ALLOWED_HOSTS: read {host!r} in the list; allowed is host names with commas, and no '*'."
            )


def check_flower(logins: str) -> None:
    """Refuse a user of Flower without a name or with a short password. Raises ImproperlyConfigured."""
    for pair in logins.split(","):
        user, _, password = pair.partition(":")
        if not user.strip() or len(password.strip()) < PASSWORD_LENGTH:
            raise ImproperlyConfigured(
                "FLOWER_BASIC_AUTH: read a pair without user or with a short password (not shown); allowed is "
                f"user:password with {PASSWORD_LENGTH} or more characters of password, several with commas."
            )


def check_provider(url: str) -> None:
    """Refuse a payment provider that is not the real one: our stand-in, its sandbox. Raises ImproperlyConfigured."""
    parts = urlsplit(url)
    host = (parts.hostname or "").rstrip(".").lower()
    if parts.scheme != "https" or not is_public(host) or "sandbox" in host:
        raise ImproperlyConfigured(
            f"JUSPAY_BASE_URL: read {url!r}; allowed is https:// with a public host; the stand-in and the provider's "
            "sandbox are refused in production."
        )


def is_public(host: str) -> bool:
    """Tell whether `host` is a name or an address of the public network, by its form alone."""
    try:
        return ip_address(host).is_global
    except ValueError:
        labels = host.split(".")
        # The last label of a name is never a number: `127.1` is a short form of an address.
        return len(labels) > 1 and labels[-1] not in _INSIDE and not labels[-1][:1].isdigit()


def check_mail(backend: str) -> None:
    """Refuse mail that reaches nobody. Raises ImproperlyConfigured."""
    if backend != "django.core.mail.backends.smtp.EmailBackend":
        raise ImproperlyConfigured(
            "EMAIL_URL: read a kind that reaches no customer; allowed in production is smtp://, smtps:// or submission://."
        )
