"""What each kind of failure of a call to another system means: retryable, terminal or unknown."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import httpx
import pytest

from myproject.errors import AppError, RetryableError, TerminalError, UnknownOutcomeError
from myproject.http import AccessDenied, Answer, HttpService

SECRET = "key-that-nobody-may-see"
Handler = Callable[[httpx.Request], httpx.Response]


def service(handler: Handler, **changes: Any) -> HttpService:
    values: dict[str, Any] = {
        "name": "shop-bank",
        "base_url": "http://bank.example",
        "timeout": 5.0,
        "username": SECRET,
        "transport": httpx.MockTransport(handler),
    }
    return HttpService(**values | changes)


def post(service: HttpService, *, idempotent: bool = False) -> Answer:
    return service.call("POST", "/pay", idempotent=idempotent, form={"amount": "12.50", "card": "4111"})


def failing(error: type[Exception]) -> Handler:
    def handle(request: httpx.Request) -> httpx.Response:
        raise error("a text with 4111 in it")

    return handle


def answering(status: int, content: bytes = b"{}", headers: dict[str, str] | None = None) -> Handler:
    return lambda request: httpx.Response(status, content=content, headers=headers)


def test_an_answer_is_an_object_with_exact_numbers():
    answer = post(service(answering(200, b'{"amount": 0.1, "count": 3}')))

    assert answer == Answer(status=200, body={"amount": Decimal("0.1"), "count": 3})
    assert answer.ok


def test_the_request_carries_credentials_headers_and_form():
    seen: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json={})

    one = service(handle, headers={"x-merchantid": "shop"})
    one.call("POST", "/pay", idempotent=False, form={"amount": "12.50"}, headers={"x-routing-id": "c1"})

    (request,) = seen
    assert request.url == "http://bank.example/pay"
    assert request.headers["authorization"] == httpx.BasicAuth(SECRET, "")._auth_header
    assert request.headers["x-merchantid"] == "shop"
    assert request.headers["x-routing-id"] == "c1"
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"
    assert request.content == b"amount=12.50"


@pytest.mark.parametrize("idempotent", [True, False])
@pytest.mark.parametrize("error", [httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout])
def test_without_a_connection_nothing_was_sent(error: type[Exception], idempotent: bool):
    with pytest.raises(RetryableError):
        post(service(failing(error)), idempotent=idempotent)


LOST = [
    failing(httpx.ReadTimeout),
    failing(httpx.WriteTimeout),
    failing(httpx.ReadError),
    failing(httpx.WriteError),
    failing(httpx.RemoteProtocolError),
    answering(500),
    answering(502),
    answering(503),
    answering(504),
    answering(408),
    answering(200, b'{"status": "half'),
    answering(200, b"[]"),
    answering(200, b""),
    answering(200, b'{"amount": NaN}'),
    answering(200, b"\xff\xfe"),
    answering(200, b"[" * 100_000),
]


@pytest.mark.parametrize("handler", LOST)
def test_a_call_that_may_have_been_carried_out_is_unknown(handler: Handler):
    with pytest.raises(UnknownOutcomeError):
        post(service(handler))


@pytest.mark.parametrize("handler", LOST)
def test_the_same_failure_of_a_call_that_changes_nothing_is_retryable(handler: Handler):
    with pytest.raises(RetryableError):
        post(service(handler), idempotent=True)


@pytest.mark.parametrize(
    ("header", "pause"),
    [("7", 7.0), ("100000", 300.0), ("soon", None), ("", None), ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0), ("-1", None)],
)
def test_too_many_requests_names_the_pause(header: str, pause: float | None):
    with pytest.raises(RetryableError) as caught:
        post(service(answering(429, headers={"Retry-After": header})))

    assert caught.value.retry_after == pause


@pytest.mark.parametrize("status", [401, 403])
def test_refused_credentials_are_terminal(status: int):
    with pytest.raises(AccessDenied):
        post(service(answering(status)))


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(status: int):
    seen: list[str] = []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(str(request.url))
        return httpx.Response(status, headers={"Location": "http://evil.example/"})

    with pytest.raises(TerminalError):
        post(service(handle))

    assert seen == ["http://bank.example/pay"]


def test_a_refusal_with_an_object_goes_to_the_caller():
    answer = post(service(answering(400, b'{"error_code": "duplicate.call"}')))

    assert answer == Answer(status=400, body={"error_code": "duplicate.call"})
    assert not answer.ok


def test_a_refusal_without_an_object_is_terminal():
    with pytest.raises(TerminalError):
        post(service(answering(404, b"<html>not here</html>")))


def test_an_answer_without_end_is_cut():
    def endless() -> Iterator[bytes]:
        while True:
            yield b" " * 65_536

    with pytest.raises(UnknownOutcomeError):
        post(service(lambda request: httpx.Response(200, content=endless())))


def test_an_answer_that_trickles_in_ends_at_the_timeout():
    ticks = iter(range(0, 1000, 2))

    def drops() -> Iterator[bytes]:
        while True:
            yield b" "

    with pytest.raises(UnknownOutcomeError):
        post(service(lambda request: httpx.Response(200, content=drops()), clock=lambda: next(ticks)))

    assert next(ticks) < 20


@pytest.mark.parametrize("handler", [*LOST, answering(401), answering(429), failing(httpx.ConnectError)])
def test_no_message_repeats_a_body_or_a_secret(handler: Handler, caplog: pytest.LogCaptureFixture):
    caplog.set_level("DEBUG")
    with pytest.raises(AppError) as caught:
        post(service(handler))

    told = f"{caught.value} {caught.value.fields} {caplog.text}"
    assert "4111" not in told
    assert SECRET not in told
    assert "12.50" not in told


def test_environment_proxies_and_netrc_are_not_used(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    one = HttpService(name="x", base_url="http://127.0.0.1:1", timeout=1.0)

    with pytest.raises(RetryableError) as caught:
        one.call("GET", "/", idempotent=True)

    assert isinstance(caught.value.__cause__, httpx.ConnectError)
    assert one._open_client()._mounts == {}


def test_a_forked_process_gets_a_client_of_its_own(monkeypatch: pytest.MonkeyPatch):
    one = service(answering(200))
    mine = one._open_client()
    assert one._open_client() is mine

    monkeypatch.setattr(os, "getpid", lambda: -1)

    assert one._open_client() is not mine
    assert not mine.is_closed


def test_close_lets_the_next_call_connect_again():
    one = service(answering(200))
    first = one._open_client()

    one.close()

    assert first.is_closed
    assert post(one).ok


@pytest.fixture
def raw_server() -> Iterator[Callable[[bytes], str]]:
    """Return a function that serves one connection: it reads the request, says the given bytes and hangs up."""
    listeners: list[socket.socket] = []
    threads: list[threading.Thread] = []

    def start(said: bytes) -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65_536)
                connection.sendall(said)

        threads.append(threading.Thread(target=serve, daemon=True))
        threads[-1].start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}"

    yield start
    for thread in threads:
        thread.join(5)
    for listener in listeners:
        listener.close()


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{",
        b"no HTTP at all\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}",
    ],
)
def test_a_cut_or_garbled_answer_on_a_real_connection_is_unknown(raw_server: Callable[[bytes], str], said: bytes):
    one = HttpService(name="bank", base_url=raw_server(said), timeout=5)

    with pytest.raises(UnknownOutcomeError):
        post(one)

    one.close()


def test_silence_on_a_real_connection_ends_at_the_timeout():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        one = HttpService(name="bank", base_url=f"http://127.0.0.1:{listener.getsockname()[1]}", timeout=0.2)

        with pytest.raises(UnknownOutcomeError):
            post(one)

        one.close()
