"""The replay's two roles on the wire: the marketplace feed at the API, and the customer at the payment page."""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

from orders.models import LineKind
from orders.replay.plan import CancellationDocument, Sale, SaleLine
from orders.replay.selection import CURRENCY
from orders.replay.wire import Answer, NoAnswer, Wire

REQUEST_TIMEOUT = 30.0
"""Starting a payment calls the provider, which is given 10 s twice; everything else is answered in milliseconds."""

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 3.0
"""Seconds between tries; a web process that restarts is back in about 2 s."""

MAIL_DOMAIN = "customers.shop.example"
"""A reserved domain: nothing that is sent there can reach anybody."""

PAYMENT_TRIES = 3
"""How often the played customer presses again after the provider declined."""

LONGEST_MAILBOX = 40
"""With the words before it, within the 64 characters that a mail address has before its @."""

_MAILBOX = re.compile(r"[A-Za-z0-9]+([._-][A-Za-z0-9]+)*")


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
        self._site_url = connections.site_url
        self._authorization = f"Token {connections.token}"
        self._source = source
        self._patience = patience
        self._stop = stop
        self._wires: dict[str, Wire] = {}

    def close(self) -> None:
        """Close the connections."""
        for wire in self._wires.values():
            wire.close()

    def place_order(self, sale: Sale) -> None:
        """Import one sale and, unless it costs nothing, pay for it. Raises Refused, Unreachable and Interrupted."""
        body = describe_sale(sale, source=self._source)
        order = self._call("/api/imports/orders", body, key=self._key("order", sale.number))
        if sale.total:
            self._pay(order["id"], sale.number)

    def cancel(self, document: CancellationDocument) -> None:
        """Send one cancellation document. Raises Refused, Unreachable and Interrupted."""
        body = describe_cancellation(document, source=self._source)
        self._call("/api/imports/cancellations", body, key=self._key("cancellation", document.number))

    def _pay(self, order_id: int, number: str) -> None:
        """Start a payment and approve it on the provider's page; after a decline the customer presses again."""
        try:
            payment = self._call(f"/api/orders/{order_id}/payments", {}, key=self._key("payment", number))
        except Refused as refusal:
            if refusal.code == "order_not_payable":  # an earlier run has paid it
                return
            raise
        if not payment["payment_link"]:  # the provider knew it as paid already
            return
        for _ in range(PAYMENT_TRIES):
            if self._approve(payment["payment_link"]):
                return
        raise Refused(f"the provider declined {PAYMENT_TRIES} payments")

    def _approve(self, link: str) -> bool:
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        answer = self._post(link, b"action=approve", headers)
        if answer.status >= 400:
            raise Refused(f"the payment page answered {answer.status}")
        return parse_qs(urlsplit(answer.location).query).get("status", ["CHARGED"]) == ["CHARGED"]

    def _call(self, path: str, body: dict[str, Any], *, key: str) -> dict[str, Any]:
        headers = {
            "Authorization": self._authorization,
            "Content-Type": "application/json",
            "Idempotency-Key": key,
        }
        answer = self._post(self._site_url + path, json.dumps(body).encode(), headers)
        if answer.status >= 400:
            raise _read_refusal(answer)
        return answer.read_object()

    def _post(self, url: str, body: bytes, headers: dict[str, str]) -> Answer:
        """Send until an answer comes that repeating would not change. Raises Unreachable and Interrupted."""
        parts = urlsplit(url)
        site = f"{parts.scheme}://{parts.netloc}"
        wire = self._wires.get(site) or self._wires.setdefault(site, Wire(site, timeout=REQUEST_TIMEOUT))
        deadline, pause = time.monotonic() + self._patience, FIRST_PAUSE
        while not self._stop.is_set():
            try:
                answer = wire.post(url.removeprefix(site), body, headers)
                if not _is_worth_repeating(answer):
                    return answer
                problem = f"it answers {answer.status}"
            except NoAnswer as error:
                problem = str(error)
            if time.monotonic() > deadline:
                raise Unreachable(f"{site} gives no usable answer for {self._patience:.0f} s: {problem}")
            self._stop.wait(pause)
            pause = min(pause * 2, LONGEST_PAUSE)
        raise Interrupted

    def _key(self, *fact: str) -> str:
        """The same fact gives the same key in every run, so a repeated request is recognised."""
        return "replay-" + hashlib.sha256("\0".join((self._source, *fact)).encode()).hexdigest()[:40]


def make_up_address(customer: str) -> str:
    """A mail address for a customer number; a text that cannot stand in an address becomes a short digest."""
    fits = len(customer) <= LONGEST_MAILBOX and _MAILBOX.fullmatch(customer)
    mailbox = customer if fits else hashlib.sha256(customer.encode()).hexdigest()[:20]
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
        "customer_email": make_up_address(document.customer) if document.customer else "",
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


def _is_worth_repeating(answer: Answer) -> bool:
    """Whether the same request may be answered differently later: the server failed, is busy, or works on it."""
    if answer.status >= 500 or answer.status == 429:
        return True
    return answer.status == 409 and answer.read_object().get("code") == "request_in_progress"


def _read_refusal(answer: Answer) -> Refused:
    problem = answer.read_object()
    sentence = problem.get("detail") or problem.get("title") or answer.body[:200].decode(errors="replace")
    first = _find_first_error(problem.get("errors"), told=sentence)
    return Refused(f"{answer.status} {sentence}{first and f' {first}'}", code=str(problem.get("code", "")))


def _find_first_error(errors: object, *, told: str) -> str:
    """The first field and its message, as `lines[0].sku: ...`; empty where ``told`` says it, or none is named."""
    first = errors[0] if isinstance(errors, list) and errors else None
    if not isinstance(first, dict) or not first.get("detail") or first["detail"] in told:
        return ""
    return f"{first['field']}: {first['detail']}" if first.get("field") else str(first["detail"])
