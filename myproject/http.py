"""Calls to other systems over HTTP: one client per process, explicit timeouts, and an outcome for every failure.

What a failure means is decided here once. A call that cannot have reached the other side is retryable. A call that may
have been carried out (no answer in time, a cut connection, a 5xx, an answer that cannot be read) is retryable only when
repeating it changes nothing (`idempotent`); otherwise its outcome is unknown. A gateway's 502 or 503 is no exception:
a proxy answers so too when the server behind it did the work and died before it said so, and one look-up is cheaper
than a second refund. Nobody listening, and a look-up that is answered 503, is an outage: it is waited for and uses up
no try. 429 is the one refusal that says "not carried out, come again". Other 4xx answers go to the
caller, who knows what the provider means by them.

Neither bodies nor headers nor query strings are logged or put into messages.
"""

from __future__ import annotations

import email.utils
import json
import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import httpx

from myproject.errors import OutageError, RetryableError, TerminalError, UnknownOutcomeError

#: A connection is there within milliseconds or not at all; waiting longer only holds a worker.
CONNECT_TIMEOUT = 3.0
#: An order object of the payment provider is below 20 KB even with a hundred refunds.
MAX_ANSWER_BYTES = 2 * 1024 * 1024
#: Longest pause that another system may ask for; beyond it the sweep is the better clock.
MAX_RETRY_AFTER = 300.0
#: Seconds until an idle connection is given up: below gunicorn's 2 s, so that a call does not meet a closing one.
KEEPALIVE_EXPIRY = 1.5


class AccessDenied(TerminalError):
    """The other side does not accept our credentials: nothing was done. Read by the operator."""

    code = "access_denied"


@dataclass(frozen=True)
class Answer:
    """An answer that was read whole: its status (2xx or 4xx) and its JSON object, with numbers as exact Decimals."""

    status: int
    body: dict[str, Any]

    @property
    def ok(self) -> bool:
        """Whether the status is 2xx."""
        return 200 <= self.status < 300


@dataclass
class HttpService:
    """One other system: its address, credentials and timeout.

    The underlying client is made on the first call of each process, so a forked worker never shares a connection with
    its parent. Safe to use from several threads.
    """

    name: str
    base_url: str
    timeout: float
    username: str = ""
    password: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    transport: httpx.BaseTransport | None = None
    clock: Callable[[], float] = time.monotonic
    _client: httpx.Client | None = field(default=None, init=False, repr=False)
    _owner: int = field(default=0, init=False, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def call(
        self,
        method: str,
        path: str,
        *,
        idempotent: bool,
        json_body: Mapping[str, Any] | None = None,
        form: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send one request and return the answer when it is a 2xx or 4xx with a JSON object.

        Raises RetryableError, UnknownOutcomeError, AccessDenied (401, 403) or TerminalError (a redirect, a 4xx without
        a JSON object, an address that cannot be used).
        """
        what = f"{self.name} {method} {path}"
        try:
            response, content = self._exchange(method, path, json_body=json_body, form=form, headers=headers)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise OutageError(f"{what}: no connection ({type(error).__name__}); nothing was sent.") from error
        except httpx.PoolTimeout as error:
            raise RetryableError(f"{what}: no connection ({type(error).__name__}); nothing was sent.") from error
        except (httpx.UnsupportedProtocol, httpx.InvalidURL, httpx.LocalProtocolError) as error:
            raise TerminalError(f"{what}: the address or a header cannot be used ({type(error).__name__}).") from error
        except (httpx.HTTPError, httpx.StreamError) as error:
            raise _lost(f"{what}: no whole answer ({type(error).__name__})", idempotent=idempotent) from error
        return self._judge(what, response, content, idempotent=idempotent)

    def _exchange(
        self,
        method: str,
        path: str,
        *,
        json_body: Mapping[str, Any] | None,
        form: Mapping[str, str] | None,
        headers: Mapping[str, str] | None,
    ) -> tuple[httpx.Response, bytes]:
        """Send and read; the whole exchange, not just each read, ends after `timeout` seconds."""
        deadline = self.clock() + self.timeout
        with self._open_client().stream(method, path, json=json_body, data=form, headers=headers) as response:
            content = bytearray()
            for chunk in response.iter_bytes():
                content += chunk
                if len(content) > MAX_ANSWER_BYTES:
                    raise httpx.DecodingError(f"answer above {MAX_ANSWER_BYTES} bytes")
                if self.clock() > deadline:
                    raise httpx.ReadTimeout("answer trickled in for too long")
        return response, bytes(content)

    def _judge(self, what: str, response: httpx.Response, content: bytes, *, idempotent: bool) -> Answer:
        status = response.status_code
        if status == 429:
            wait = _retry_after(response)
            raise RetryableError(f"{what}: too many requests; nothing was done.", retry_after=wait, status=status)
        if status >= 500 or status == 408:
            wait = _retry_after(response)
            if status == 503 and idempotent:
                raise OutageError(f"{what}: answered 503.", retry_after=wait, status=status)
            raise _lost(f"{what}: answered {status}", idempotent=idempotent, retry_after=wait, status=status)
        if status in (401, 403):
            raise AccessDenied(f"{what}: answered {status}; check the credentials.", status=status)
        if 300 <= status < 400 or status < 200:
            raise TerminalError(f"{what}: answered {status}; redirects are not followed.", status=status)
        body = _read_object(content)
        if body is None and status >= 400:
            raise TerminalError(f"{what}: answered {status} without a JSON object.", status=status)
        if body is None:
            raise _lost(f"{what}: answered {status} with something unreadable", idempotent=idempotent, status=status)
        return Answer(status=status, body=body)

    def _open_client(self) -> httpx.Client:
        with self._lock:
            if self._client is None or self._owner != os.getpid():
                # The parent's client, if there is one, is dropped and not closed: its connections are the parent's.
                self._client = httpx.Client(
                    base_url=self.base_url,
                    auth=httpx.BasicAuth(self.username, self.password) if self.username else None,
                    headers={"Accept": "application/json", "User-Agent": "commerce-backend/1", **self.headers},
                    timeout=httpx.Timeout(self.timeout, connect=min(CONNECT_TIMEOUT, self.timeout)),
                    limits=httpx.Limits(keepalive_expiry=KEEPALIVE_EXPIRY),
                    follow_redirects=False,
                    trust_env=False,  # neither a proxy nor a .netrc of the environment gets to see credentials
                    transport=self.transport,
                )
                self._owner = os.getpid()
            return self._client

    def close(self) -> None:
        """Close this process's connections; the next call opens new ones."""
        with self._lock:
            if self._client is not None and self._owner == os.getpid():
                self._client.close()
            self._client = None


def _lost(
    message: str, *, idempotent: bool, retry_after: float | None = None, **fields: Any
) -> RetryableError | UnknownOutcomeError:
    if idempotent:
        return RetryableError(f"{message}.", retry_after=retry_after, **fields)
    return UnknownOutcomeError(f"{message}; it may have been carried out.", **fields)


def _retry_after(response: httpx.Response) -> float | None:
    """Return the pause that Retry-After asks for, in seconds or as a date; None when absent or not readable."""
    text = response.headers.get("Retry-After", "").strip()
    if not text:
        return None
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), MAX_RETRY_AFTER)
    try:
        moment = email.utils.parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
    return min(max(moment - time.time(), 0.0), MAX_RETRY_AFTER)


def _read_object(content: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(content, parse_float=Decimal, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):  # UnicodeDecodeError is a ValueError
        return None
    return value if isinstance(value, dict) else None


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")
