"""Guard: no network call while a database transaction is open.

A call inside a transaction holds row locks for as long as a stranger takes to answer, and happens even when the
transaction is rolled back. Database sockets are exempt by nature: the MySQL driver is C and SQLite has none. What a
double answers without a socket (an HTTP mock, mail in memory, a broker in memory) counts as well, because in
production it is a call.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from django.core.mail import EmailMessage
from django.db import connections
from kombu.messaging import Producer

GUARDED: tuple[tuple[type[Any], str], ...] = (
    (socket.socket, "connect"),
    (socket.socket, "connect_ex"),
    (socket.socket, "send"),
    (socket.socket, "sendall"),
    (socket.socket, "sendto"),
    (socket.socket, "sendmsg"),
    (httpx.Client, "send"),
    (httpx.AsyncClient, "send"),
    (Producer, "publish"),
    (EmailMessage, "send"),
)


class NetworkInTransaction(AssertionError):
    """Somebody calls another machine while this thread holds a transaction open. Read by who wrote the code."""


def open_depth(alias: str) -> int:
    """Return how many atomic blocks are open on a connection of this thread, without those around a whole test.

    Django marks the blocks in which its TestCase wraps a test; one of unittest's opens them inside the guard.
    """
    blocks = connections[alias].atomic_blocks
    return sum(not getattr(block, "_from_testcase", False) for block in blocks)


@contextmanager
def guarded() -> Iterator[None]:
    """Refuse network calls in any atomic block that is opened while this context lasts.

    The blocks that are open already belong to the test itself.
    """
    own = {connection.alias: open_depth(connection.alias) for connection in connections.all(initialized_only=True)}
    with pytest.MonkeyPatch.context() as patch:
        for owner, name in GUARDED:
            patch.setattr(owner, name, _refusing(owner, name, own))
        yield


def _refusing(owner: type[Any], name: str, own: dict[str, int]) -> Callable[..., Any]:
    original = getattr(owner, name)

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        for connection in connections.all(initialized_only=True):
            if open_depth(connection.alias) > own.get(connection.alias, 0):
                raise NetworkInTransaction(
                    f"{owner.__module__}.{owner.__qualname__}.{name} while a transaction is open on "
                    f"{connection.alias!r}: claim the row, commit, call, record."
                )
        return original(self, *args, **kwargs)

    return call
