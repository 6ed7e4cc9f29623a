"""Starting a payment: POST /session and POST /orders (providers, 1.4b)."""

from typing import Any

import pytest

from tests.sandbox.merchant import CLIENT, KEY, Sandbox, next_id

pytestmark = pytest.mark.server


def refused_field(answer: Any) -> str:
    assert answer.status_code == 400
    body = answer.json()
    assert (body["status"], body["error_code"], body["error_message"]) == (
        "Bad Request",
        "INVALID_REQUEST",
        "Bad Request.",
    )
    return body["error_info"]["fields"][0]["field_name"]


def test_session_creates_the_order_and_answers_with_links(sandbox: Sandbox) -> None:
    order_id = next_id()

    answer = sandbox.session(order_id, "1234.50", customer_id="c1", customer_email="c1@shop.example", udf1="one")

    body = answer.json()
    assert answer.status_code == 200
    assert (body["status"], body["order_id"]) == ("NEW", order_id)
    assert body["id"].startswith("ordeh_")
    assert set(body["payment_links"]) == {"web", "mobile", "iframe"}
    assert body["payment_links"]["web"] == f"{sandbox.url}/payment-page/{body['id']}"
    assert body["sdk_payload"]["service"] == "in.juspay.hyperpay"
    payload = body["sdk_payload"]["payload"]
    assert (payload["clientId"], payload["orderId"], payload["amount"]) == (CLIENT, order_id, "1234.50")
    order = sandbox.status(order_id)
    assert (order["status"], order["status_id"], order["amount"]) == ("NEW", 10, 1234.5)
    assert (order["customer_id"], order["customer_email"], order["udf1"]) == ("c1", "c1@shop.example", "one")
    assert sandbox.entries(order_id) == [("order_created", "NEW", "1234.50")]


@pytest.mark.parametrize("amount", ["100.1532", "100.153", "0", "0.00", "-1", "1e3", "", " 1", "1.", ".5", "abc", None])
def test_amount_must_be_a_positive_number_with_at_most_two_decimals(sandbox: Sandbox, amount: Any) -> None:
    order_id = next_id()

    assert refused_field(sandbox.session(order_id, amount)) == "amount"
    assert sandbox.entries(order_id) == []


@pytest.mark.parametrize(("amount", "stored"), [("7", "7.00"), ("7.5", "7.50"), (7, "7.00"), (7.25, "7.25")])
def test_amount_may_be_text_or_number(sandbox: Sandbox, amount: Any, stored: str) -> None:
    order_id = next_id()

    assert sandbox.session(order_id, amount).status_code == 200
    assert sandbox.entries(order_id) == [("order_created", "NEW", stored)]


@pytest.mark.parametrize("order_id", ["", "with-dash", "with_underscore", "x" * 22, "ünicode", None, 17])
def test_order_id_must_be_alphanumeric_and_at_most_21_long(sandbox: Sandbox, order_id: Any) -> None:
    assert refused_field(sandbox.session(order_id)) == "order_id"


def test_order_id_of_21_characters_is_accepted(sandbox: Sandbox) -> None:
    assert sandbox.session(next_id().ljust(21, "x")).status_code == 200


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("payment_page_client_id", "another"),
        ("payment_page_client_id", None),
        ("action", "paymentManagement"),
        ("currency", "XYZ"),
        ("return_url", "javascript:alert(1)"),
        ("return_url", "/relative"),
        ("return_url", "http://["),
        ("return_url", "https://shop.example/\r\nSet-Cookie: a=b"),
        ("description", "\ud800"),
        ("customer_id", 7),
        ("description", "x" * 256),
    ],
)
def test_other_parameters_are_checked(sandbox: Sandbox, field: str, value: Any) -> None:
    assert refused_field(sandbox.session(next_id(), **{field: value})) == field


def test_currency_is_rupees_when_not_named(sandbox: Sandbox) -> None:
    order_id = next_id()

    sandbox.http.post("/session", json={"order_id": order_id, "amount": "1", "payment_page_client_id": CLIENT})

    assert sandbox.status(order_id)["currency"] == "INR"


def test_session_body_must_be_json(sandbox: Sandbox) -> None:
    form = {"order_id": next_id(), "amount": "1", "payment_page_client_id": CLIENT}

    assert refused_field(sandbox.http.post("/session", data=form)) == "Content-Type"
    broken = sandbox.http.post("/session", content=b'{"order_id":', headers={"Content-Type": "application/json"})
    assert refused_field(broken) == "body"


def test_same_session_again_is_the_same_order(sandbox: Sandbox) -> None:
    order_id = next_id()

    first, second = sandbox.session(order_id), sandbox.session(order_id)

    assert second.json() == first.json()
    assert len(sandbox.entries(order_id)) == 1


def test_taken_order_id_with_another_amount_or_currency_is_refused(sandbox: Sandbox) -> None:
    order_id = next_id()
    sandbox.session(order_id, "10.00")

    for other in (sandbox.session(order_id, "10.01"), sandbox.session(order_id, "10.00", "INR")):
        assert (other.status_code, other.json()["error_info"]["code"]) == (400, "ALREADY_EXISTS")
    assert sandbox.status(order_id)["amount"] == 10


def test_session_for_a_paid_order_is_refused(sandbox: Sandbox) -> None:
    again = sandbox.session(sandbox.charged_order())

    assert (again.status_code, again.json()["error_info"]["code"]) == (400, "INVALID_ACTION")


def test_order_can_be_created_by_a_form(sandbox: Sandbox) -> None:
    order_id = next_id()

    answer = sandbox.http.post("/orders", data={"order_id": order_id, "amount": "12.30", "udf10": "ten"})

    body = answer.json()
    assert answer.status_code == 200
    assert (body["status"], body["status_id"], body["order_id"]) == ("NEW", 10, order_id)
    assert sandbox.status(order_id)["udf10"] == "ten"
    sandbox.press(answer, "approve")
    assert sandbox.status(order_id)["status"] == "CHARGED"


def test_order_form_needs_an_id_below_21_characters(sandbox: Sandbox) -> None:
    too_long = sandbox.http.post("/orders", data={"order_id": next_id().ljust(21, "x"), "amount": "1"})
    fits = sandbox.http.post("/orders", data={"order_id": next_id().ljust(20, "x"), "amount": "1"})

    assert refused_field(too_long) == "order_id"
    assert fits.status_code == 200


def test_order_body_must_be_a_form(sandbox: Sandbox) -> None:
    assert refused_field(sandbox.http.post("/orders", json={"order_id": next_id(), "amount": "1"})) == "Content-Type"


def test_key_is_nowhere_in_an_answer(sandbox: Sandbox) -> None:
    assert KEY not in sandbox.session(next_id()).text
