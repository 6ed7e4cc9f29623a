"""The provider's stand-in for the tests of payments, as a real process, and what they do with it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from orders.actions.payments import provider_order_id, start_payment
from orders.gateways import get_gateway
from orders.models import Order, Payment
from tests.orders.factories import FEED, NOW, bring_order, line, make_variant
from tests.sandbox.merchant import CLIENT, KEY, MERCHANT, RESPONSE_KEY, Sandbox

# Which call of which order goes wrong. An order's id at the provider follows from its number, so a test asks for a
# fault by giving its order the number.
FAULTS: dict[str, dict[str, Any]] = {
    "S-LOST": {"endpoint": "session", "fault": "timeout_after", "seconds": 0, "times": 1},
    "S-BEFORE": {"endpoint": "session", "fault": "timeout_before", "seconds": 0, "times": 1},
    "S-502": {"endpoint": "session", "fault": "error", "status": 502, "applied": True, "times": 1},
    "S-HALF": {"endpoint": "session", "fault": "malformed", "times": 1},
    "S-FALSE": {"endpoint": "session", "fault": "error_body", "times": 1},
    "S-BUSY": {"endpoint": "session", "fault": "error", "status": 429, "times": 1},
    "O-503": {"endpoint": "order_status", "fault": "error", "status": 503, "times": 1},
    "O-503-W": {"endpoint": "order_status", "fault": "error", "status": 503, "times": 1},
    "O-HALF": {"endpoint": "order_status", "fault": "malformed", "times": 1},
    "R-LOST": {"endpoint": "refund", "fault": "timeout_after", "seconds": 0, "times": 1},
    "R-BEFORE": {"endpoint": "refund", "fault": "timeout_before", "seconds": 0, "times": 1},
    "R-502": {"endpoint": "refund", "fault": "error", "status": 502, "applied": True, "times": 1},
    "R-503": {"endpoint": "refund", "fault": "error", "status": 503, "times": 1},
    "R-HALF": {"endpoint": "refund", "fault": "malformed", "times": 1},
    "R-FALSE": {"endpoint": "refund", "fault": "error_body", "times": 1},
    "R-BUSY": {"endpoint": "refund", "fault": "error", "status": 429, "times": 1},
    "R-FAIL": {"endpoint": "settlement", "fault": "refund_failure", "times": 1},
    "R-NEVER": {"endpoint": "settlement", "fault": "refund_failure"},
    "R-HUMAN": {"endpoint": "settlement", "fault": "refund_manual_review"},
    "R-LATE": {"endpoint": "settlement", "fault": "late", "seconds": 600},
}


@pytest.fixture(scope="package")
def provider_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """One stand-in for all tests of this folder."""
    rules = [
        {**rule, "order": provider_order_id(source=FEED, number=number, sequence=1)} for number, rule in FAULTS.items()
    ]
    sandbox = Sandbox.start(tmp_path_factory.mktemp("provider"), SANDBOX_FAULTS=json.dumps(rules))
    yield sandbox
    sandbox.close()


@pytest.fixture
def provider(provider_process: Sandbox, settings: Any) -> Iterator[Sandbox]:
    """The stand-in, with our client pointed at it."""
    point_at(settings, provider_process)
    yield provider_process
    get_gateway.cache_clear()


def point_at(settings: Any, sandbox: Sandbox) -> None:
    """Have our client call this stand-in."""
    settings.JUSPAY_BASE_URL = sandbox.url
    settings.JUSPAY_API_KEY = KEY
    settings.JUSPAY_MERCHANT_ID = MERCHANT
    settings.JUSPAY_CLIENT_ID = CLIENT
    settings.JUSPAY_RESPONSE_KEY = RESPONSE_KEY
    get_gateway.cache_clear()


@pytest.fixture
def order_of(db: None) -> Callable[..., Order]:
    """Return a function that imports an order of 15.30 (six at 2.55) under a number."""

    def make(number: str, *, quantity: int = 6) -> Order:
        make_variant(f"V{number}")
        return bring_order(line(sku=f"V{number}", quantity=quantity), number=number)

    return make


def customer_presses(payment: Payment, action: str) -> None:
    """Be the customer on the payment's page."""
    answer = httpx.post(payment.payment_link, data={"action": action}, follow_redirects=False)
    assert answer.status_code == 303, answer.text


@pytest.fixture
def charged(order_of: Callable[..., Order], provider: Sandbox) -> Callable[..., Payment]:
    """Return a function that brings an order whose customer paid, of which we have heard nothing yet."""

    def make(number: str, **options: Any) -> Payment:
        payment = start_payment(order_id=order_of(number, **options).pk, actor="user:1", now=NOW)
        customer_presses(payment, "approve")
        return payment

    return make
