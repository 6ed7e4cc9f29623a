"""The page the customer pays on, and the signed way back (providers, 1.4 and 1.4b)."""

import httpx
import pytest

from myproject.sandbox.signature import sign_params
from tests.sandbox.merchant import RESPONSE_KEY, Sandbox, next_id, read_query

pytestmark = pytest.mark.server


def test_person_sees_amount_and_three_buttons(sandbox: Sandbox) -> None:
    session = sandbox.session(next_id(), "42.00", description="<b>Lamp</b>")

    page = httpx.get(session.json()["payment_links"]["web"])

    assert page.status_code == 200
    assert "42.00 GBP" in page.text
    for action in ("approve", "decline", "abandon"):
        assert f'value="{action}"' in page.text
    assert "&lt;b&gt;Lamp&lt;/b&gt;" in page.text
    assert "<b>" not in page.text


def test_looking_at_the_page_changes_nothing(sandbox: Sandbox) -> None:
    order_id = next_id()
    httpx.get(sandbox.session(order_id).json()["payment_links"]["web"])

    assert sandbox.status(order_id)["status"] == "NEW"


@pytest.mark.parametrize(
    ("action", "status", "status_id", "kind"),
    [
        ("approve", "CHARGED", 21, "charged"),
        ("decline", "AUTHORIZATION_FAILED", 27, "declined"),
        ("abandon", "PENDING_VBV", 23, "abandoned"),
    ],
)
def test_customer_goes_back_with_the_signed_result(
    sandbox: Sandbox, action: str, status: str, status_id: int, kind: str
) -> None:
    order_id = next_id()

    answer = sandbox.press(sandbox.session(order_id, "10.00"), action)

    assert answer.status_code == 303
    location, _, _ = answer.headers["Location"].partition("?")
    query = read_query(answer.headers["Location"])
    signature = query.pop("signature")
    assert location == "https://shop.example/back"
    assert query.pop("signature_algorithm") == "HMAC-SHA256"
    assert query == {"order_id": order_id, "status": status, "status_id": str(status_id)}
    assert signature == httpx.QueryParams(f"s={sign_params(query, response_key=RESPONSE_KEY)}")["s"]
    assert (sandbox.status(order_id)["status"], sandbox.status(order_id)["status_id"]) == (status, status_id)
    assert sandbox.entries(order_id)[1:] == [(kind, status, "10.00")]


def test_own_parameters_of_the_return_address_stay_and_are_signed(sandbox: Sandbox) -> None:
    session = sandbox.session(next_id(), return_url="https://shop.example/back?cart=7&note=a%20b#top")

    query = read_query(sandbox.press(session, "approve").headers["Location"])

    assert (query["cart"], query["note"]) == ("7", "a b")
    expected = sign_params(query, response_key=RESPONSE_KEY)
    assert query["signature"] == httpx.QueryParams(f"s={expected}")["s"]


def test_second_approval_charges_once(sandbox: Sandbox) -> None:
    order_id = next_id()
    session = sandbox.session(order_id)

    answers = [sandbox.press(session, "approve") for _ in range(3)]

    assert [read_query(answer.headers["Location"])["status"] for answer in answers] == ["CHARGED"] * 3
    assert [kind for kind, _, _ in sandbox.entries(order_id)] == ["order_created", "charged"]


@pytest.mark.parametrize("action", ["decline", "abandon"])
def test_paid_order_stays_paid(sandbox: Sandbox, action: str) -> None:
    order_id = next_id()
    session = sandbox.session(order_id)
    sandbox.press(session, "approve")

    answer = sandbox.press(session, action)

    assert read_query(answer.headers["Location"])["status"] == "CHARGED"
    assert sandbox.status(order_id)["status"] == "CHARGED"


def test_customer_may_try_again_after_a_decline_and_after_leaving(sandbox: Sandbox) -> None:
    order_id = next_id()
    session = sandbox.session(order_id)
    transactions = set()

    for action in ("decline", "abandon", "abandon", "decline", "approve"):
        sandbox.press(session, action)
        transactions.add(sandbox.status(order_id)["txn_id"])

    assert len(transactions) == 5
    assert sandbox.status(order_id)["status"] == "CHARGED"


def test_declined_order_says_why(sandbox: Sandbox) -> None:
    order_id = next_id()
    sandbox.press(sandbox.session(order_id), "decline")

    order = sandbox.status(order_id)

    assert order["bank_error_code"] == "AUTHORIZATION_FAILED"
    assert order["bank_error_message"] != ""


def test_unknown_action_and_unknown_page_are_refused(sandbox: Sandbox) -> None:
    order_id = next_id()
    session = sandbox.session(order_id)

    assert sandbox.press(session, "steal").status_code == 400
    assert sandbox.http.post("/payment-page/ordeh_unknown", data={"action": "approve"}).status_code == 404
    assert sandbox.status(order_id)["status"] == "NEW"


def test_without_return_address_the_page_shows_the_result(sandbox: Sandbox) -> None:
    answer = sandbox.press(sandbox.session(next_id(), return_url=""), "approve")

    assert answer.status_code == 200
    assert "This order is paid." in answer.text
