"""The link that tests make fail does what it says."""

from __future__ import annotations

import socket
import socketserver
import threading
from collections.abc import Iterator

import pytest

from tests.servers.processes import wait_until
from tests.servers.proxy import Proxy


class Echo(socketserver.BaseRequestHandler):
    """Answers every line in capitals."""

    def handle(self) -> None:
        while data := self.request.recv(4096):
            self.request.sendall(data.upper())


@pytest.fixture
def link() -> Iterator[Proxy]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Echo) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with Proxy(server.server_address[1]) as proxy:
            yield proxy
        server.shutdown()


def connect(link: Proxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", link.port), timeout=30)


def ask(client: socket.socket, text: bytes) -> bytes:
    client.sendall(text)
    return client.recv(4096)


def test_what_is_said_passes(link: Proxy) -> None:
    with connect(link) as client:
        assert ask(client, b"hello") == b"HELLO"


def test_a_cut_resets_what_is_open_and_serves_what_comes(link: Proxy) -> None:
    with connect(link) as client:
        ask(client, b"hello")
        assert link.cut() == 1
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    with connect(link) as client:
        assert ask(client, b"again") == b"AGAIN"


def test_a_refusing_link_resets_until_it_is_healed(link: Proxy) -> None:
    link.refuse()
    with pytest.raises(ConnectionResetError), connect(link) as client:
        client.recv(1)
    link.heal()
    with connect(link) as client:
        assert ask(client, b"again") == b"AGAIN"


def test_a_silent_link_tells_neither_side_and_new_ones_pass(link: Proxy) -> None:
    with connect(link) as client:
        ask(client, b"hello")
        assert link.go_silent() == 1
        client.sendall(b"anybody?")
        client.settimeout(0.2)
        with pytest.raises(TimeoutError):
            client.recv(1)
        with connect(link) as other:
            assert ask(other, b"here") == b"HERE"


def test_a_dropped_answer_was_asked_for_and_never_comes(link: Proxy) -> None:
    dropped = link.drop_answer(lambda request: b"commit" in request)
    with connect(link) as client:
        assert ask(client, b"begin") == b"BEGIN"
        client.sendall(b"commit")
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    assert dropped.wait(30)
    with connect(link) as client:
        assert ask(client, b"commit") == b"COMMIT"


def test_connections_that_end_are_forgotten(link: Proxy) -> None:
    with connect(link) as client:
        ask(client, b"hello")
    wait_until(lambda: link.connections() == 0, timeout=30, what="the link forgetting a closed connection")
