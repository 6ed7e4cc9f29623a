"""A merchant for the tests: it calls the stand-in, plays the customer, and receives webhooks."""

from __future__ import annotations

import itertools
import json
import os
import sqlite3
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

import httpx

from tests.servers.processes import Process, clean_environment, python, wait_until

KEY, MERCHANT, CLIENT, RESPONSE_KEY = "test-key", "test-merchant", "test-client", "response_key"
WEBHOOK_USER, WEBHOOK_PASSWORD = "hook-user", "hook:password"
# Seconds within which equal refunds are refused: long enough for two calls on a busy machine, shorter than the
# provider's five, which would make the tests slow.
WINDOW = 2.0
SETTLEMENT_DELAY = 0.1
START_TIMEOUT = 60

_numbers = itertools.count(1)


def next_id(prefix: str = "O") -> str:
    """Return an identifier that no other test of this process uses."""
    return f"{prefix}{os.getpid() % 100_000}n{next(_numbers)}"


def environment(folder: Path, **extra: str) -> dict[str, str]:
    """Return the environment of a stand-in on a free port whose file lies in `folder`."""
    settings = {
        "SANDBOX_DATABASE": str(folder / "sandbox.sqlite3"),
        "SANDBOX_PORT": "0",
        "SANDBOX_API_KEY": KEY,
        "SANDBOX_MERCHANT_ID": MERCHANT,
        "SANDBOX_CLIENT_ID": CLIENT,
        "SANDBOX_RESPONSE_KEY": RESPONSE_KEY,
        "SANDBOX_WEBHOOK_USER": WEBHOOK_USER,
        "SANDBOX_WEBHOOK_PASSWORD": WEBHOOK_PASSWORD,
        "SANDBOX_SETTLEMENT_DELAY": str(SETTLEMENT_DELAY),
        "SANDBOX_REFUND_WINDOW_SECONDS": str(WINDOW),
        "SANDBOX_WEBHOOK_BACKOFF_SCALE": "0.001",
    }
    return clean_environment(**settings | extra)


class Sandbox:
    """A running stand-in, its merchant's client and its record."""

    def __init__(self, process: Process, folder: Path) -> None:
        """Wait until the process listens."""
        self.process, self.folder = process, folder
        process.wait_ready(lambda: "listening on" in process.log(), timeout=START_TIMEOUT)
        self.url = process.log().rpartition("listening on ")[2].split()[0]
        self.http = httpx.Client(base_url=self.url, auth=(KEY, ""), headers={"x-merchantid": MERCHANT}, timeout=60)

    @classmethod
    def start(cls, folder: Path, **extra: str) -> Self:
        """Start a stand-in on the file in `folder`."""
        command = [python(), "-m", "myproject.sandbox", "serve"]
        name = f"sandbox-{next(_numbers)}"
        return cls(Process(command, folder=folder, name=name, env=environment(folder, **extra)), folder)

    def close(self) -> None:
        """Stop it at once: what must survive a kill is on disk, and nothing else is promised."""
        self.http.close()
        self.process.kill()

    def session(self, order_id: str, amount: object = "100.00", currency: str = "GBP", **extra: Any) -> httpx.Response:
        """Call POST /session."""
        body = {
            "order_id": order_id,
            "amount": amount,
            "currency": currency,
            "payment_page_client_id": CLIENT,
            "action": "paymentPage",
            "return_url": "https://shop.example/back",
            **extra,
        }
        return self.http.post("/session", content=json.dumps(body), headers={"Content-Type": "application/json"})

    def press(self, session: httpx.Response, action: str) -> httpx.Response:
        """Be the customer on the payment page."""
        return self.http.post(session.json()["payment_links"]["web"], data={"action": action})

    def charged_order(self, amount: str = "100.00", currency: str = "GBP", prefix: str = "O") -> str:
        """Return the id of a new paid order."""
        order_id = next_id(prefix)
        assert self.press(self.session(order_id, amount, currency), "approve").status_code == 303
        return order_id

    def status(self, order_id: str) -> dict[str, Any]:
        """Return the body of GET /orders/{order_id}."""
        return self.http.get(f"/orders/{order_id}").json()

    def refund(self, order_id: str, amount: str | None, request_id: str | None = None) -> httpx.Response:
        """Call POST /orders/{order_id}/refunds with a form."""
        form = {"unique_request_id": request_id or next_id("R")}
        return self.http.post(f"/orders/{order_id}/refunds", data=form | ({} if amount is None else {"amount": amount}))

    def settled(self, order_id: str) -> dict[str, Any]:
        """Return the order once none of its refunds is pending."""
        found: list[dict[str, Any]] = []

        def done() -> bool:
            found.append(self.status(order_id))
            return all(refund["status"] != "PENDING" for refund in found[-1]["refunds"])

        wait_until(done, timeout=60, what=f"settling the refunds of {order_id}")
        return found[-1]

    def record(self) -> list[dict[str, Any]]:
        """Return all rows of the record, page by page."""
        rows: list[dict[str, Any]] = []
        after: int | None = 0
        while after is not None:
            page = self.http.get("/sandbox/record", params={"after": after}).json()
            rows += page["entries"]
            after = page["next_after"]
        return rows

    def entries(self, order_id: str) -> list[tuple[str, str, str | None]]:
        """Return kind, outcome and amount of the record's rows about an order, webhooks left out."""
        mine = [row for row in self.record() if row["order_id"] == order_id and row["kind"] != "webhook_sent"]
        return [(row["kind"], row["outcome"], row["amount"]) for row in mine]

    def attempts(self, event_id: str) -> list[str]:
        """Return the outcomes of the attempts to deliver an event."""
        return [row["outcome"] for row in self.record() if row["reference"] == event_id]

    def totals(self) -> dict[str, Any]:
        """Return the record's totals."""
        return self.http.get("/sandbox/record/totals").json()

    def open_file(self) -> sqlite3.Connection:
        """Open the database file beside the running server."""
        return sqlite3.connect(self.folder / "sandbox.sqlite3", timeout=60)


class Receiver:
    """The merchant's webhook address: keeps what arrives, and refuses what `refuse` picks."""

    def __init__(self) -> None:
        """Listen on a free port."""
        self.arrived: list[tuple[float, str, dict[str, Any]]] = []
        self.refuse: Callable[[dict[str, Any], int], int | None] = lambda body, times: None
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                times = sum(1 for _, _, earlier in receiver.arrived if earlier["id"] == body["id"])
                receiver.arrived.append((time.monotonic(), self.headers["Authorization"], body))
                self.send_response(receiver.refuse(body, times) or 200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/webhooks/juspay"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()

    def events(self, order_id: str, name: str | None = None) -> list[dict[str, Any]]:
        """Return the bodies that arrived about an order, in the order of arrival."""
        bodies = [body for _, _, body in list(self.arrived) if body["content"]["order"]["order_id"] == order_id]
        return [body for body in bodies if name in (None, body["event_name"])]

    def wait_for(self, order_id: str, name: str, times: int = 1) -> list[dict[str, Any]]:
        """Return the bodies of an event once it has arrived `times` times."""
        wait_until(lambda: len(self.events(order_id, name)) >= times, timeout=60, what=f"{name} of {order_id}")
        return self.events(order_id, name)


def read_query(url: str) -> dict[str, str]:
    """Return the parameters of an address."""
    return dict(parse_qsl(urlsplit(url).query, keep_blank_values=True, strict_parsing=True))
