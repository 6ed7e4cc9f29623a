"""The replay's two roles on the wire: the marketplace feed at the API, and the customer at the payment page."""

from __future__ import annotations

import hashlib
import re
import threading
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx

from orders.models import LineKind
from orders.replay.plan import CURRENCY, CancellationDocument, Sale, SaleLine

REQUEST_TIMEOUT = 30.0
"""Starting a payment calls the provider, which is given 10 s twice; everything else is answered in milliseconds."""

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 3.0
"""Seconds between tries; a web process that restarts is back in about 2 s."""

MAIL_DOMAIN = "customers.shop.example"
"""A reserved domain: nothing that is sent there can reach anybody."""

PAYMENT_TRIES = 3
"""How often the played customer presses again after the provider declined."""

_MAILBOX = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,40}[A-Za-z0-9])?")


class Unreachable(Exception):
    """No usable answer came for as long as was waited; read at the command line."""


class Refused(Exception):
    """The platform refused one request for good; its own sentence is shown beside the invoice's number."""

    def __init__(self, reason: str, *, code: str = "") -> None:
        super().__init__(reason)
        self.code = code


class Interrupted(Exception):
    """The run was told to stop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Connections:
    """Where the platform and the provider are, and what opens them."""

    site_url: str
    token: str
    provider_url: str
    provider_key: str
    merchant_id: str


class ReplayClient:
    """One thread's connections, kept open; every request is safe to repeat and is repeated until it is answered."""

    def __init__(self, *, connections: Connections, source: str, patience: float, stop: threading.Event) -> None:
        self._source = source
        self._patience = patience
        self._stop = stop
        limits = httpx.Limits(max_connections=1, max_keepalive_connections=1)
        self._platform = httpx.Client(
            base_url=connections.site_url,
            headers={"Authorization": f"Token {connections.token}"},
            timeout=REQUEST_TIMEOUT,
            limits=limits,
            trust_env=False,
        )
        self._customer = httpx.Client(timeout=REQUEST_TIMEOUT, limits=limits, follow_redirects=False, trust_env=False)

    def close(self) -> None:
        """Close the connections."""
        self._platform.close()
        self._customer.close()

    def place_order(self, sale: Sale) -> None:
        """Import one sale and, unless it costs nothing, pay for it. Raises Refused, Unreachable and Interrupted."""
        body = describe_sale(sale, source=self._source)
        order = self._post("/api/imports/orders", body, key=self._key("order", sale.number))
        if sale.total:
            self._pay(order["id"], sale.number)

    def _pay(self, order_id: int, number: str) -> None:
        """Start a payment and approve it on the provider's page; after a decline the customer presses again."""
        try:
            payment = self._post(f"/api/orders/{order_id}/payments", {}, key=self._key("payment", number))
        except Refused as refusal:
            if refusal.code == "order_not_payable":  # an earlier run has paid it
                return
            raise
        for _ in range(PAYMENT_TRIES):
            if self._approve(payment["payment_link"]):
                return
        raise Refused(f"the provider declined {PAYMENT_TRIES} payments")

    def cancel(self, document: CancellationDocument) -> None:
        """Send one cancellation document. Raises Refused, Unreachable and Interrupted."""
        body = describe_cancellation(document, source=self._source)
        self._post("/api/imports/cancellations", body, key=self._key("cancellation", document.number))

    def _approve(self, link: str) -> bool:
        response = self._send(self._customer, link, data={"action": "approve"})
        if response.status_code >= 400:
            raise Refused(f"the payment page answered {response.status_code}")
        status = parse_qs(urlsplit(response.headers.get("Location", "")).query).get("status", ["CHARGED"])
        return status == ["CHARGED"]

    def _post(self, path: str, body: dict[str, Any], *, key: str) -> dict[str, Any]:
        response = self._send(self._platform, path, json=body, headers={"Idempotency-Key": key})
        if response.status_code >= 400:
            raise _read_refusal(response)
        answer: dict[str, Any] = response.json()
        return answer

    def _send(self, client: httpx.Client, url: str, **request: Any) -> httpx.Response:
        """Send until an answer comes that repeating would not change. Raises Unreachable and Interrupted."""
        deadline = time.monotonic() + self._patience
        pause = FIRST_PAUSE
        while True:
            if self._stop.is_set():
                raise Interrupted
            try:
                response = client.post(url, **request)
                if not _is_worth_repeating(response):
                    return response
                problem = f"it answered {response.status_code}"
            except httpx.TransportError as error:
                problem = f"{type(error).__name__}: {error}"
            if time.monotonic() > deadline:
                raise Unreachable(
                    f"{client.base_url or url} gives no usable answer for {self._patience:.0f} s: {problem}"
                )
            self._stop.wait(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    def _key(self, *fact: str) -> str:
        """The same fact gives the same key in every run, so a repeated request is recognised."""
        return "replay-" + hashlib.sha256("\0".join((self._source, *fact)).encode()).hexdigest()[:40]


def make_up_address(customer: str) -> str:
    """A mail address for a customer number; other texts than numbers become a short digest."""
    mailbox = customer if _MAILBOX.fullmatch(customer) else hashlib.sha256(customer.encode()).hexdigest()[:20]
    return f"customer-{mailbox}@{MAIL_DOMAIN}"


def describe_sale(sale: Sale, *, source: str) -> dict[str, Any]:
    """The body of `POST /api/imports/orders` for one sale."""
    customer = {"country": sale.country}
    if sale.customer:
        customer |= {"reference": sale.customer, "email": make_up_address(sale.customer)}
    return {
        "source": source,
        "number": sale.number,
        "customer": customer,
        "currency": CURRENCY,
        "placed_at": sale.placed_at.isoformat(),
        "lines": [_describe_line(line) for line in sale.lines],
    }


def _describe_line(line: SaleLine) -> dict[str, Any]:
    """A discount is a negative quantity in the file and a negative price on the platform."""
    row = line.row
    discount = line.kind is LineKind.DISCOUNT
    return {
        "number": line.position,
        "kind": line.kind.value,
        "sku": row.stock_code,
        "description": row.description,
        "quantity": abs(row.quantity),
        "unit_price": f"{-row.unit_price if discount else row.unit_price:f}",
    }


def describe_cancellation(document: CancellationDocument, *, source: str) -> dict[str, Any]:
    """The body of `POST /api/imports/cancellations` for one document."""
    return {
        "source": source,
        "number": document.number,
        "customer": document.customer,
        "currency": CURRENCY,
        "requested_at": document.cancelled_at.isoformat(),
        "lines": [
            {
                "order": line.order,
                "line": line.position,
                "quantity": line.units,
                "unit_price": f"{line.row.unit_price:f}",
            }
            for line in document.covered
        ],
        "unmatched": [
            {
                "sku": line.row.stock_code,
                "description": line.row.description,
                "quantity": line.units,
                "unit_price": f"{line.row.unit_price:f}",
            }
            for line in document.uncovered
        ],
    }


def _is_worth_repeating(response: httpx.Response) -> bool:
    """Whether the same request may be answered differently later: the server failed, is busy, or works on it."""
    if response.status_code >= 500 or response.status_code == 429:
        return True
    return response.status_code == 409 and _read_problem(response).get("code") == "request_in_progress"


def _read_problem(response: httpx.Response) -> dict[str, Any]:
    try:
        problem = response.json()
    except ValueError:
        return {}
    return problem if isinstance(problem, dict) else {}


def _read_refusal(response: httpx.Response) -> Refused:
    problem = _read_problem(response)
    sentence = problem.get("detail") or problem.get("title") or response.text[:200]
    return Refused(f"{response.status_code} {sentence}", code=str(problem.get("code", "")))
