"""One contract for every payment gateway, and what is Juspay's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from myproject.errors import AppError, RetryableError, TerminalError, UnknownOutcomeError
from myproject.http import HttpService
from orders.gateways import (
    DuplicateCall,
    NewSession,
    OrderOutcome,
    PaymentGateway,
    RefundOutcome,
    RefundRefused,
    SessionConflict,
    get_gateway,
)
from orders.gateways.juspay import JuspayGateway
from tests.sandbox.merchant import Sandbox, next_id

PROVIDERS = ["juspay"]  # adding a provider adds one line


@pytest.fixture(params=PROVIDERS)
def gateway(request: pytest.FixtureRequest, provider: Sandbox) -> PaymentGateway:
    """Every adapter, at the real stand-in."""
    return get_gateway(request.param)


def new_session(order_id: str, amount_minor: int = 1530) -> NewSession:
    return NewSession(
        provider_order_id=order_id,
        amount_minor=amount_minor,
        currency="GBP",
        customer_reference="customer1",
        description="Order 1",
        return_url="http://127.0.0.1/",
    )


def paid_order(gateway: PaymentGateway, amount_minor: int = 1530) -> str:
    order_id = next_id("G")
    session = gateway.create_session(new=new_session(order_id, amount_minor))
    httpx.post(session.payment_link, data={"action": "approve"})
    return order_id


def refund(gateway: PaymentGateway, order_id: str, request_id: str, amount_minor: int) -> Any:
    return gateway.create_refund(
        provider_order_id=order_id, request_id=request_id, amount_minor=amount_minor, currency="GBP"
    )


def test_a_session_names_its_page_and_the_order_is_open(gateway: PaymentGateway):
    order_id = next_id("G")

    session = gateway.create_session(new=new_session(order_id))

    assert session.provider_order_id == order_id
    assert session.payment_link.startswith("http://127.0.0.1:")
    order = gateway.read_order(provider_order_id=order_id, currency="GBP")
    assert order is not None
    assert (order.outcome, order.status, order.amount_minor, order.currency) == (OrderOutcome.OPEN, "NEW", 1530, "GBP")
    assert order.refunds == ()


def test_the_same_session_again_is_the_same_order(gateway: PaymentGateway, provider: Sandbox):
    order_id = next_id("G")

    links = {gateway.create_session(new=new_session(order_id)).payment_link for _ in range(2)}

    assert len(links) == 1
    assert [kind for kind, _, _ in provider.entries(order_id)] == ["order_created"]


def test_a_taken_order_id_is_a_conflict(gateway: PaymentGateway):
    order_id = paid_order(gateway)

    with pytest.raises(SessionConflict):
        gateway.create_session(new=new_session(order_id))


def test_a_paid_order_is_charged_with_its_amount(gateway: PaymentGateway):
    order = gateway.read_order(provider_order_id=paid_order(gateway), currency="GBP")

    assert order is not None
    assert (order.outcome, order.amount_minor) == (OrderOutcome.CHARGED, 1530)


def test_a_declined_order_failed(gateway: PaymentGateway):
    order_id = next_id("G")
    session = gateway.create_session(new=new_session(order_id))
    httpx.post(session.payment_link, data={"action": "decline"})

    order = gateway.read_order(provider_order_id=order_id, currency="GBP")

    assert order is not None
    assert order.outcome is OrderOutcome.FAILED


def test_an_unknown_order_is_none(gateway: PaymentGateway):
    assert gateway.read_order(provider_order_id=next_id("G"), currency="GBP") is None


def test_a_refund_is_pending_first_and_settles(gateway: PaymentGateway, provider: Sandbox):
    order_id = paid_order(gateway)
    request_id = next_id("R")

    found = refund(gateway, order_id, request_id, 510).find_refund(request_id)

    assert (found.outcome, found.amount_minor) == (RefundOutcome.PENDING, 510)
    provider.settled(order_id)
    order = gateway.read_order(provider_order_id=order_id, currency="GBP")
    assert order is not None
    settled = order.find_refund(request_id)
    assert settled is not None
    assert settled.outcome is RefundOutcome.SUCCESS
    assert settled.reference


def test_the_same_request_id_again_is_a_duplicate_and_moves_nothing(gateway: PaymentGateway, provider: Sandbox):
    order_id, request_id = paid_order(gateway), next_id("R")
    refund(gateway, order_id, request_id, 510)

    with pytest.raises(DuplicateCall):
        refund(gateway, order_id, request_id, 510)

    assert [kind for kind, _, _ in provider.entries(order_id)].count("refund_accepted") == 1


def test_an_equal_amount_at_once_is_a_duplicate_and_moves_nothing(gateway: PaymentGateway, provider: Sandbox):
    order_id = paid_order(gateway)
    refund(gateway, order_id, next_id("R"), 510)

    with pytest.raises(DuplicateCall):
        refund(gateway, order_id, next_id("R"), 510)

    assert [kind for kind, _, _ in provider.entries(order_id)].count("refund_accepted") == 1


@pytest.mark.parametrize("amount_minor", [0, 1531])
def test_a_refund_of_nothing_or_too_much_is_refused(gateway: PaymentGateway, provider: Sandbox, amount_minor: int):
    order_id = paid_order(gateway)

    with pytest.raises(RefundRefused):
        refund(gateway, order_id, next_id("R"), amount_minor)

    assert [kind for kind, _, _ in provider.entries(order_id)].count("refund_accepted") == 0


def test_a_refund_of_an_unpaid_or_unknown_order_is_refused(gateway: PaymentGateway):
    unpaid = next_id("G")
    gateway.create_session(new=new_session(unpaid))

    for order_id in (unpaid, next_id("G")):
        with pytest.raises(RefundRefused):
            refund(gateway, order_id, next_id("R"), 100)


# --- Juspay's own -----------------------------------------------------------------------------------------------------

ORDER = {"order_id": "P1", "status": "CHARGED", "amount": 15.3, "currency": "GBP", "refunds": []}
REFUND = {"unique_request_id": "R1", "status": "PENDING", "amount": 5.1, "ref": None}


def juspay(answer: Callable[[httpx.Request], httpx.Response]) -> JuspayGateway:
    transport = httpx.MockTransport(answer)
    service = HttpService(name="juspay", base_url="http://juspay.example", timeout=5, username="k", transport=transport)
    return JuspayGateway(service=service, client_id="shop-page")


def saying(body: Any, status: int = 200) -> JuspayGateway:
    return juspay(lambda request: httpx.Response(status, json=body))


def test_amounts_travel_as_decimal_strings():
    sent: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        if request.url.path == "/session":
            return httpx.Response(200, json={"order_id": "P1", "payment_links": {"web": "http://page.example/1"}})
        return httpx.Response(200, json=ORDER | {"refunds": [REFUND]})

    gateway = juspay(answer)
    gateway.create_session(new=new_session("P1"))
    gateway.create_refund(provider_order_id="P1", request_id="R1", amount_minor=510, currency="GBP")

    session, refund = sent
    assert b'"amount":"15.30"' in session.content.replace(b": ", b":")
    assert b'"payment_page_client_id":"shop-page"' in session.content.replace(b": ", b":")
    assert session.headers["x-routing-id"] == "customer1"
    assert refund.content == b"unique_request_id=R1&amount=5.10"


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        ("NEW", OrderOutcome.OPEN),
        ("PENDING_VBV", OrderOutcome.OPEN),
        ("AUTHORIZING", OrderOutcome.OPEN),
        ("COD_INITIATED", OrderOutcome.OPEN),
        ("A_WORD_OF_TOMORROW", OrderOutcome.OPEN),
        ("CHARGED", OrderOutcome.CHARGED),
        ("AUTHENTICATION_FAILED", OrderOutcome.FAILED),
        ("AUTHORIZATION_FAILED", OrderOutcome.FAILED),
        ("JUSPAY_DECLINED", OrderOutcome.FAILED),
        ("AUTO_REFUNDED", OrderOutcome.FAILED),
    ],
)
def test_only_charged_is_money(status: str, outcome: OrderOutcome):
    order = saying(ORDER | {"status": status}).read_order(provider_order_id="P1", currency="GBP")

    assert order is not None
    assert order.outcome is outcome


def test_an_unknown_refund_status_is_for_people():
    body = ORDER | {"refunds": [REFUND | {"status": "A_WORD_OF_TOMORROW"}]}

    order = saying(body).read_order(provider_order_id="P1", currency="GBP")

    assert order is not None
    assert order.refunds[0].outcome is RefundOutcome.MANUAL_REVIEW


@pytest.mark.parametrize("status", [200, 400, 404])
def test_not_found_is_none_whatever_the_http_status(status: int):
    gateway = saying({"status": "NOT_FOUND", "status_id": 40}, status)

    assert gateway.read_order(provider_order_id="P1", currency="GBP") is None


NO_ORDERS = [
    {},
    {"status": "ERROR", "status_id": -1, "error_code": "internal.error"},
    ORDER | {"order_id": "P2"},
    ORDER | {"amount": "15.301"},
    ORDER | {"amount": None},
    ORDER | {"status": 21},
    {key: value for key, value in ORDER.items() if key != "currency"},
    ORDER | {"refunds": [{"unique_request_id": "R1"}]},
    ORDER | {"refunds": {"a": 1}},
    ORDER | {"refunds": ["R1"]},
]


@pytest.mark.parametrize("body", NO_ORDERS)
def test_what_is_no_order_is_read_again(body: Any):
    with pytest.raises(RetryableError):
        saying(body).read_order(provider_order_id="P1", currency="GBP")


@pytest.mark.parametrize("body", [*NO_ORDERS, ORDER])
def test_a_refund_that_the_answer_does_not_show_is_unknown(body: Any):
    with pytest.raises(UnknownOutcomeError):
        refund(saying(body), "P1", "R1", 510)


@pytest.mark.parametrize("body", [{}, {"order_id": "P1"}, {"order_id": "P2", "payment_links": {"web": "http://x"}}])
def test_a_session_without_a_page_is_unknown(body: Any):
    with pytest.raises(UnknownOutcomeError):
        saying(body).create_session(new=new_session("P1"))


def test_a_status_call_that_is_refused_is_terminal():
    with pytest.raises(TerminalError):
        saying({"status": "ERROR"}, 400).read_order(provider_order_id="P1", currency="GBP")


def test_what_the_provider_says_in_words_is_not_repeated():
    body = {"status": "ERROR", "error_code": "x", "error_message": "asha@example.com is no customer"}

    with pytest.raises(AppError) as caught:
        refund(saying(body, 400), "P1", "R1", 510)

    assert "asha" not in str(caught.value)
