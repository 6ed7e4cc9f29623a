"""One attempt to deliver a webhook, over a connection that stays open."""

from __future__ import annotations

import http.client
from base64 import b64encode
from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Attempt:
    """What came of it: the HTTP status, or in a word why there is none."""

    answer: str
    delivered: bool


class Postman:
    """Posts JSON to one address. For one thread: it keeps its connection between calls.

    The standard library's client, because it costs a fifth of the processor time of a client with pools, redirects
    and cookies, none of which is wanted here: a redirect is simply not a success.
    """

    def __init__(self, *, url: str, user: str, password: str, timeout: float) -> None:
        self._parts = urlsplit(url)
        self._timeout = timeout
        self._connection: http.client.HTTPConnection | None = None
        credentials = b64encode(f"{user}:{password}".encode()).decode()
        self._headers = {"Content-Type": "application/json", "Authorization": f"Basic {credentials}"}

    def post(self, payload: str) -> Attempt:
        """Deliver `payload` once. Anything but 2xx, and no answer at all, is a failure that is reported, not raised."""
        reused = self._connection is not None
        try:
            return self._post(payload)
        except (http.client.RemoteDisconnected, ConnectionError) as error:
            self.close()
            if not reused:
                return Attempt(type(error).__name__, delivered=False)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            return Attempt(type(error).__name__, delivered=False)
        # The merchant closed an idle connection: that is no failed attempt, but a second one on a new connection is.
        try:
            return self._post(payload)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            return Attempt(type(error).__name__, delivered=False)

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _post(self, payload: str) -> Attempt:
        if self._connection is None:
            kind = http.client.HTTPSConnection if self._parts.scheme == "https" else http.client.HTTPConnection
            self._connection = kind(self._parts.hostname or "", self._parts.port, timeout=self._timeout)
        target = (self._parts.path or "/") + (f"?{self._parts.query}" if self._parts.query else "")
        self._connection.request("POST", target, body=payload.encode(), headers=self._headers)
        response = self._connection.getresponse()
        response.read()
        return Attempt(str(response.status), delivered=200 <= response.status < 300)
