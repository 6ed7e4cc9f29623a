"""Typed reading of the environment: a wrong variable stops the start and says its name, what was read, what may be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from django.core.exceptions import ImproperlyConfigured
from environs import Env, EnvError

env = Env()


def read(kind: str, name: str, default: Any = ..., *, allowed: str, secret: bool = False) -> Any:
    """Return variable `name` read as `kind` (a reader of `environs.Env`: "str", "int", "bool", "list" ...).

    `allowed` says in words what may stand there; it is shown when the value is missing or wrong. The value of a
    `secret` is never shown. Raises ImproperlyConfigured.
    """
    reader: Callable[..., Any] = getattr(env, kind)
    try:
        return reader(name) if default is ... else reader(name, default)
    except EnvError as error:
        raw = env.str(name, None)
        shown = "nothing" if raw is None else "a value that is not shown" if secret else repr(raw)
        raise ImproperlyConfigured(f"{name}: read {shown}; allowed is {allowed}.") from error


def read_positive(name: str, default: float, *, unit: str, kind: str = "int") -> Any:
    """Return a number above zero from variable `name`. Raises ImproperlyConfigured."""
    allowed = f"a number above 0 ({unit})"
    value = read(kind, name, default, allowed=allowed)
    if value <= 0:
        raise ImproperlyConfigured(f"{name}: read {value!r}; allowed is {allowed}.")
    return value


def read_choice(name: str, default: str, choices: tuple[str, ...]) -> str:
    """Return one of `choices` from variable `name`. Raises ImproperlyConfigured."""
    value: str = read("str", name, default, allowed=" or ".join(choices))
    if value not in choices:
        raise ImproperlyConfigured(f"{name}: read {value!r}; allowed is {' or '.join(choices)}.")
    return value


def read_redis(prefix: str, *, default_database: int) -> str:
    """Return the URL of the Redis server that `prefix` (for example "REDIS") names.

    `<prefix>_URL` wins; else it is put together from `<prefix>_HOST`, `_PORT`, `_DB` and `_PASSWORD`.
    Raises ImproperlyConfigured.
    """
    url: str = read("str", f"{prefix}_URL", "", allowed="redis://[:password@]host:port/database", secret=True)
    if not url:
        host = read("str", f"{prefix}_HOST", "127.0.0.1", allowed="a host name")
        port = read_positive(f"{prefix}_PORT", 6379, unit="TCP port")
        database = read("int", f"{prefix}_DB", default_database, allowed="a database number")
        password = read("str", f"{prefix}_PASSWORD", "", allowed="a password", secret=True)
        credentials = f":{quote(password, safe='')}@" if password else ""
        url = f"redis://{credentials}{host}:{port}/{database}"
    if urlsplit(url).scheme not in {"redis", "rediss", "redis+socket", "sentinel"}:
        allowed = "redis://, rediss://, redis+socket:// or sentinel://"
        raise ImproperlyConfigured(f"{prefix}_URL: read scheme {urlsplit(url).scheme!r}; allowed is {allowed}.")
    return url


def neighbour_database(url: str, offset: int) -> str:
    """Return `url` with its Redis database number raised by `offset`: results and cache stand beside the broker."""
    parts = urlsplit(url)
    if parts.scheme == "redis+socket":
        query = dict(parse_qsl(parts.query))
        query["virtual_host"] = str(int(query.get("virtual_host", "0")) + offset)
        return f"redis+socket://{parts.path}?{urlencode(query)}"
    number = parts.path.strip("/") or "0"
    if not number.isdigit():
        raise ImproperlyConfigured(f"REDIS_URL: read database {number!r}; allowed is a number.")
    return urlunsplit(parts._replace(path=f"/{int(number) + offset}"))


def client_url(url: str) -> str:
    """Return `url` as redis-py writes it: a unix socket is `unix://` there and `redis+socket://` in Celery."""
    parts = urlsplit(url)
    if parts.scheme != "redis+socket":
        return url
    query = dict(parse_qsl(parts.query))
    return f"unix://{parts.path}?db={query.get('virtual_host', '0')}"
