"""Typed reading of the environment: a wrong variable stops the start and says its name, what was read, what may be."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import SplitResult, parse_qsl, quote, urlencode, urlsplit, urlunsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from celery.app.backends import BACKEND_ALIASES
from celery.utils.imports import load_extension_class_names
from celery.utils.time import rate
from django.core.exceptions import ImproperlyConfigured
from environs import Env, EnvError

env = Env()

_QUEUE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]{0,126}")
REDIS_SCHEMES = ("redis", "rediss", "redis+socket", "sentinel")
BROKER_SCHEMES = (*REDIS_SCHEMES, "amqp", "amqps", "pyamqp", "memory")


def refuse(name: str, raw: object, *, allowed: str, secret: bool = False) -> ImproperlyConfigured:
    """Return the error for variable `name`: what was read, never when it is a `secret`, and what is allowed."""
    shown = "nothing" if raw is None else "a value that is not shown" if secret else repr(raw)
    return ImproperlyConfigured(f"{name}: read {shown}; allowed is {allowed}.")


def read(kind: str, name: str, default: Any = ..., *, allowed: str, secret: bool = False) -> Any:
    """Return variable `name` read as `kind` (a reader of `environs.Env`: "str", "int", "bool", "list" ...).

    `allowed` says in words what may stand there; it is shown when the value is missing or wrong. The value of a
    `secret` is never shown. Raises ImproperlyConfigured.
    """
    reader: Callable[..., Any] = getattr(env, kind)
    try:
        return reader(name) if default is ... else reader(name, default)
    except EnvError as error:
        # The library's own error repeats what it read.
        raise refuse(name, env.str(name, None), allowed=allowed, secret=secret) from (None if secret else error)


def read_positive(name: str, default: float, *, unit: str, kind: str = "int") -> Any:
    """Return a number above zero from variable `name`. Raises ImproperlyConfigured."""
    allowed = f"a number above 0 ({unit})"
    value = read(kind, name, default, allowed=allowed)
    if not 0 < value < math.inf:
        raise refuse(name, value, allowed=allowed)
    return value


def read_between(name: str, default: int, *, low: int, high: int, what: str) -> int:
    """Return a whole number from `low` to `high` from variable `name`. Raises ImproperlyConfigured."""
    allowed = f"{what} from {low} to {high}"
    value: int = read("int", name, default, allowed=allowed)
    if not low <= value <= high:
        raise refuse(name, value, allowed=allowed)
    return value


def read_port(name: str, default: int) -> int:
    """Return a TCP port from variable `name`. Raises ImproperlyConfigured."""
    return read_between(name, default, low=1, high=65_535, what="a TCP port")


def read_choice(name: str, default: str, choices: tuple[str, ...]) -> str:
    """Return one of `choices` from variable `name`. Raises ImproperlyConfigured."""
    value: str = read("str", name, default, allowed=" or ".join(choices))
    if value not in choices:
        raise refuse(name, value, allowed=" or ".join(choices))
    return value


def read_time_zone(name: str, default: str) -> str:
    """Return the name of a time zone that this machine knows. Raises ImproperlyConfigured."""
    allowed = "a time zone name such as Asia/Kolkata"
    value: str = read("str", name, default, allowed=allowed)
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise refuse(name, value, allowed=allowed) from error
    return value


def read_rate(name: str, default: str) -> str:
    """Return a rate limit as Celery reads it: a number, alone or with /s, /m or /h. Raises ImproperlyConfigured."""
    allowed = "a rate as Celery reads it, such as 100/s, 50/m, 10/h or 100"
    value: str = read("str", name, default, allowed=allowed).strip()
    try:
        per_second = rate(value)
    except (KeyError, ValueError) as error:
        raise refuse(name, value, allowed=allowed) from error
    if not value or not 0 <= per_second < math.inf:
        raise refuse(name, value, allowed=allowed)
    return value


def read_queue_name(name: str, default: str) -> str:
    """Return the name of a queue. Raises ImproperlyConfigured."""
    allowed = "a queue name (letters, digits, _ . : -, at most 127)"  # commas and spaces would end it in `-Q`
    value: str = read("str", name, default, allowed=allowed)
    if not _QUEUE_NAME.fullmatch(value):
        raise refuse(name, value, allowed=allowed)
    return value


def read_web_url(name: str, default: str = "") -> str:
    """Return an http(s) address without a slash at its end; nothing only where that is the default.

    Raises ImproperlyConfigured. What was read is shown without user and password.
    """
    allowed = "http(s)://host or http(s)://host:port"
    value: str = read("str", name, default, allowed=allowed).strip().rstrip("/")
    if not value and not default:
        return ""
    parts = split_url(name, value, allowed=allowed)
    bare = re.fullmatch(r"[\w.:\[\]-]+", parts.netloc)
    if parts.scheme not in {"http", "https"} or not parts.hostname or not bare or parts.query or parts.fragment:
        shown = "an address with a user or password" if "@" in parts.netloc else repr(value)
        raise ImproperlyConfigured(f"{name}: read {shown}; allowed is {allowed}.")
    return value


def split_url(name: str, url: str, *, allowed: str) -> SplitResult:
    """Return the parts of `url`, of which the port is a port. Raises ImproperlyConfigured without showing it."""
    try:
        parts = urlsplit(url)
        if parts.port == 0:
            raise ValueError
    except ValueError:  # its text may hold a part of the password
        raise ImproperlyConfigured(
            f"{name}: read an address with a wrong host or port; allowed is {allowed}."
        ) from None
    return parts


def read_broker(name: str, default: str) -> str:
    """Return the address of a message broker. Raises ImproperlyConfigured."""
    allowed = "redis://, rediss://, redis+socket://, sentinel://, amqp:// or amqps:// with a host"
    value: str = read("str", name, default, allowed=allowed, secret=True) or default
    for url in value.split(";"):
        _check_server(name, url, schemes=BROKER_SCHEMES, allowed=allowed)
    return value


def read_result_backend(name: str, default: str) -> str:
    """Return the address of a result backend of a kind that Celery knows. Raises ImproperlyConfigured."""
    allowed = "a result backend of Celery such as redis://host:port/1, django-db or rpc://"
    value: str = read("str", name, default, allowed=allowed, secret=True) or default
    kind = re.split(r"\+|://", value, maxsplit=1)[0]
    extensions = {entry[0] for entry in load_extension_class_names("celery.result_backends")}
    if kind not in set(BACKEND_ALIASES) | extensions:
        raise ImproperlyConfigured(f"{name}: read an unknown kind of backend; allowed is {allowed}.")
    if kind in REDIS_SCHEMES:
        _check_server(name, value, schemes=REDIS_SCHEMES, allowed=allowed)
    return value


def _check_server(name: str, url: str, *, schemes: tuple[str, ...], allowed: str) -> None:
    parts = split_url(name, url, allowed=allowed)
    if parts.scheme not in schemes:
        shown = f"scheme {parts.scheme!r}" if parts.scheme and "://" in url else "an address without a scheme"
        raise ImproperlyConfigured(f"{name}: read {shown}; allowed is {allowed}.")
    if parts.scheme == "redis+socket":
        number = dict(parse_qsl(parts.query)).get("virtual_host", "0")
        if not parts.path.strip("/"):
            raise ImproperlyConfigured(f"{name}: read no path of a socket; allowed is {allowed}.")
    else:
        number = parts.path.strip("/") if parts.scheme in REDIS_SCHEMES else "0"
        if not parts.hostname and parts.scheme != "memory":
            raise ImproperlyConfigured(f"{name}: read an address without a host; allowed is {allowed}.")
    if not re.fullmatch(r"[0-9]*", number):
        raise ImproperlyConfigured(f"{name}: read database {number!r}; allowed is a number.")


def read_redis(prefix: str, *, default_database: int) -> str:
    """Return the URL of the Redis server that `prefix` (for example "REDIS") names.

    `<prefix>_URL` wins; else it is put together from `<prefix>_HOST`, `_PORT`, `_DB` and `_PASSWORD`.
    Raises ImproperlyConfigured.
    """
    allowed = "redis://[:password@]host:port/database, rediss://, redis+socket:// or sentinel://"
    url: str = read("str", f"{prefix}_URL", "", allowed=allowed, secret=True)
    if url:
        _check_server(f"{prefix}_URL", url, schemes=REDIS_SCHEMES, allowed=allowed)
        return url
    host: str = read("str", f"{prefix}_HOST", "127.0.0.1", allowed="a host name")
    if not re.fullmatch(r"[A-Za-z0-9._-]+|\[?[0-9A-Fa-f:.]+\]?", host):
        raise refuse(f"{prefix}_HOST", host, allowed="a host name or an address")
    port = read_port(f"{prefix}_PORT", 6379)
    database = read_between(f"{prefix}_DB", default_database, low=0, high=9_999, what="a database number")
    password = read("str", f"{prefix}_PASSWORD", "", allowed="a password", secret=True)
    credentials = f":{quote(password, safe='')}@" if password else ""
    bracketed = f"[{host}]" if ":" in host and not host.startswith("[") else host
    return f"redis://{credentials}{bracketed}:{port}/{database}"


def neighbour_database(url: str, offset: int) -> str:
    """Return `url` with its Redis database number raised by `offset`: results and cache stand beside the broker."""
    parts = urlsplit(url)
    if parts.scheme == "redis+socket":
        query = dict(parse_qsl(parts.query))
        query["virtual_host"] = str(int(query.get("virtual_host", "0")) + offset)
        return f"redis+socket://{parts.path}?{urlencode(query)}"
    number = parts.path.strip("/") or "0"
    return urlunsplit(parts._replace(path=f"/{int(number) + offset}"))


def client_url(url: str) -> str:
    """Return `url` as redis-py writes it: a unix socket is `unix://` there and `redis+socket://` in Celery."""
    parts = urlsplit(url)
    if parts.scheme != "redis+socket":
        return url
    query = dict(parse_qsl(parts.query))
    return f"unix://{parts.path}?db={query.get('virtual_host', '0')}"
