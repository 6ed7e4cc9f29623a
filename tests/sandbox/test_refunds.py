"""Refunds: what is refused, in which words, and how an accepted one goes on (providers, 1.3 and 1.5)."""

import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.sandbox.merchant import WINDOW, Sandbox, next_id

pytestmark = pytest.mark.server

REFUND_FIELDS = {
    "unique_request_id", "id", "ref", "amount", "status", "error_code", "error_message", "sent_to_gateway",
    "refund_type", "refund_source", "initiated_by", "arn", "created",
}  # fmt: skip
MISSING = {
    "status": "Bad Request",
    "error_message": "Mandatory fields are missing",
    "error_code": "Mandatory fields are missing",
}
SAME_ID = {
    "status_id": -1,
    "status": "ERROR",
    "error_message": "A refund call was already completed with this unique_request_id for the order.",
    "error_code": "duplicate.call",
}
SAME_AMOUNT = {
    "status_id": "-1",
    "status": "ERROR",
    "error_message": "A refund call was already processing with this amount for the order.",
    "error_code": "duplicate.call",
}
EXCEEDED = {
    "status_id": -1,
    "status": "ERROR",
    "error_message": "Refund amount exceeds the refundable amount.",
    "error_code": "invalid.amount.exceeded",
}
INVALID_AMOUNT = {
    "status_id": -1,
    "status": "ERROR",
    "error_message": "Amount is invalid.",
    "error_code": "invalid amount",
}


def assert_refused(answer: httpx.Response, body: Mapping[str, object]) -> None:
    assert (answer.status_code, answer.json()) == (400, body)


def accepted(sandbox: Sandbox, order_id: str) -> list[str | None]:
    return [amount for kind, _, amount in sandbox.entries(order_id) if kind == "refund_accepted"]


def test_first_answer_is_the_order_with_a_pending_refund(sandbox: Sandbox) -> None:
    order_id, request_id = sandbox.charged_order("100.00", prefix="RLATE"), next_id("R")

    answer = sandbox.refund(order_id, "30.00", request_id)

    body = answer.json()
    (refund,) = body["refunds"]
    assert answer.status_code == 200
    assert (body["order_id"], body["status"]) == (order_id, "CHARGED")
    assert set(refund) == REFUND_FIELDS
    assert (refund["unique_request_id"], refund["amount"], refund["status"]) == (request_id, 30, "PENDING")
    assert (refund["sent_to_gateway"], refund["ref"], refund["refund_type"]) == (False, None, "STANDARD")
    assert (body["amount_refunded"], body["refunded"], body["maximum_eligible_refund_amount"]) == (0, False, 70)
    assert sandbox.status(order_id)["refunds"] == body["refunds"]


def test_refund_succeeds_after_the_delay(sandbox: Sandbox) -> None:
    order_id = sandbox.charged_order("100.00")
    sandbox.refund(order_id, "30.00")

    order = sandbox.settled(order_id)

    (refund,) = order["refunds"]
    assert (refund["status"], refund["sent_to_gateway"], refund["error_code"]) == ("SUCCESS", True, None)
    assert refund["ref"] == refund["id"] != ""
    assert (order["amount_refunded"], order["refunded"], order["status"]) == (30, False, "CHARGED")
    assert sandbox.entries(order_id)[2:] == [
        ("refund_accepted", "PENDING", "30.00"),
        ("refund_settled", "SUCCESS", "30.00"),
    ]


def test_amount_left_out_is_the_whole_order(sandbox: Sandbox) -> None:
    order_id = sandbox.charged_order("12.34")

    assert sandbox.refund(order_id, None).status_code == 200

    order = sandbox.settled(order_id)
    assert (order["amount_refunded"], order["refunded"], order["maximum_eligible_refund_amount"]) == (12.34, True, 0)


def test_body_must_be_a_form(sandbox: Sandbox) -> None:
    order_id = sandbox.charged_order()

    json_body = {"unique_request_id": next_id("R"), "amount": "1.00"}
    assert_refused(sandbox.http.post(f"/orders/{order_id}/refunds", json=json_body), MISSING)
    assert accepted(sandbox, order_id) == []


def test_request_id_is_mandatory(sandbox: Sandbox) -> None:
    order_id = sandbox.charged_order()

    assert_refused(sandbox.http.post(f"/orders/{order_id}/refunds", data={"amount": "1.00"}), MISSING)


@pytest.mark.parametrize("request_id", ["x" * 21, "with-dash", "with space", "ünicode", "a_b"])
def test_request_id_has_at_most_20_letters_and_digits(sandbox: Sandbox, request_id: str) -> None:
    order_id = sandbox.charged_order()

    answer = sandbox.refund(order_id, "1.00", request_id)

    assert answer.status_code == 400
    assert answer.json()["error_info"]["fields"][0]["field_name"] == "unique_request_id"
    assert accepted(sandbox, order_id) == []


def test_request_id_of_20_characters_is_accepted(sandbox: Sandbox) -> None:
    assert sandbox.refund(sandbox.charged_order(), "1.00", next_id("R").ljust(20, "x")).status_code == 200


def test_request_id_is_never_used_twice(sandbox: Sandbox) -> None:
    order_id, request_id = sandbox.charged_order(), next_id("R")
    sandbox.refund(order_id, "1.00", request_id)

    assert_refused(sandbox.refund(order_id, "1.00", request_id), SAME_ID)
    assert_refused(sandbox.refund(order_id, "2.00", request_id), SAME_ID)
    sandbox.settled(order_id)
    assert_refused(sandbox.refund(order_id, "3.00", request_id), SAME_ID)
    assert_refused(sandbox.refund(sandbox.charged_order(), "1.00", request_id), SAME_ID)
    assert accepted(sandbox, order_id) == ["1.00"]


def test_request_id_of_a_failed_refund_stays_used_and_a_new_one_works(sandbox: Sandbox) -> None:
    order_id, request_id = sandbox.charged_order("10.00", prefix="RFAIL"), next_id("R")
    sandbox.refund(order_id, "10.00", request_id)
    sandbox.settled(order_id)
    time.sleep(WINDOW)

    assert_refused(sandbox.refund(order_id, "10.00", request_id), SAME_ID)
    assert sandbox.refund(order_id, "10.00").status_code == 200


def test_equal_amount_within_the_window_is_refused_and_later_accepted(sandbox: Sandbox) -> None:
    order_id, request_id = sandbox.charged_order(), next_id("R")
    sandbox.refund(order_id, "5.00")

    assert_refused(sandbox.refund(order_id, "5.00", request_id), SAME_AMOUNT)
    assert [refund["unique_request_id"] for refund in sandbox.status(order_id)["refunds"]] != [request_id]
    time.sleep(WINDOW + 0.05)
    assert sandbox.refund(order_id, "5.00", request_id).status_code == 200
    assert accepted(sandbox, order_id) == ["5.00", "5.00"]


def test_other_amount_and_other_order_are_not_held_up_by_the_window(sandbox: Sandbox) -> None:
    order_id = sandbox.charged_order()

    answers = [
        sandbox.refund(order_id, "5.00"),
        sandbox.refund(order_id, "5.01"),
        sandbox.refund(sandbox.charged_order(), "5.00"),
    ]

    assert [answer.status_code for answer in answers] == [200, 200, 200]


def test_refunds_never_exceed_what_was_captured(sandbox: Sandbox) -> None:
    order_id = sandbox.charged_order("100.00")
    sandbox.refund(order_id, "60.00")

    assert_refused(sandbox.refund(order_id, "40.01"), EXCEEDED)
    assert_refused(sandbox.refund(order_id, None), EXCEEDED)
    sandbox.settled(order_id)
    assert_refused(sandbox.refund(order_id, "40.01"), EXCEEDED)
    assert sandbox.refund(order_id, "40.00").status_code == 200
    assert_refused(sandbox.refund(order_id, "0.01"), EXCEEDED)
    assert accepted(sandbox, order_id) == ["60.00", "40.00"]


def test_pending_and_reviewed_refunds_hold_their_amount_and_failed_ones_give_it_back(sandbox: Sandbox) -> None:
    left = {}
    for prefix in ("RLATE", "RHUMAN", "RFAIL"):
        order_id = sandbox.charged_order("100.00", prefix=prefix)
        sandbox.refund(order_id, "60.00")
        order = sandbox.status(order_id) if prefix == "RLATE" else sandbox.settled(order_id)
        left[order["refunds"][0]["status"]] = (order["maximum_eligible_refund_amount"], order["amount_refunded"])

    assert left == {"PENDING": (40, 0), "MANUAL_REVIEW": (40, 0), "FAILURE": (100, 0)}


def test_simultaneous_refunds_cannot_exceed_it_either(sandbox: Sandbox) -> None:
    order_id = sandbox.charged_order("100.00")
    amounts = [f"{30 + number}.00" for number in range(8)]

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda amount: sandbox.refund(order_id, amount), amounts))

    assert sum(answer.status_code == 200 for answer in answers) == len(accepted(sandbox, order_id)) <= 3
    assert sum(float(amount or 0) for amount in accepted(sandbox, order_id)) <= 100


@pytest.mark.parametrize("amount", ["0", "0.00", "-1", "1.234", "abc", ""])
def test_amount_must_be_above_zero_with_two_decimals(sandbox: Sandbox, amount: str) -> None:
    order_id = sandbox.charged_order()

    assert_refused(sandbox.refund(order_id, amount), INVALID_AMOUNT)
    assert accepted(sandbox, order_id) == []


def test_smallest_refund_is_one_rupee_and_one_penny(sandbox: Sandbox) -> None:
    rupees, pounds = sandbox.charged_order("10.00", "INR"), sandbox.charged_order("10.00", "GBP")

    assert_refused(sandbox.refund(rupees, "0.99"), INVALID_AMOUNT)
    assert sandbox.refund(rupees, "1.00").status_code == 200
    assert sandbox.refund(pounds, "0.01").status_code == 200


def test_unknown_order_is_not_found(sandbox: Sandbox) -> None:
    answer = sandbox.refund("NOSUCHORDER", "1.00")

    assert answer.status_code == 400
    body = answer.json()
    assert (body["status"], body["status_id"], body["order_id"]) == ("NOT_FOUND", 40, "NOSUCHORDER")


@pytest.mark.parametrize("action", [None, "decline", "abandon"])
def test_order_must_be_charged(sandbox: Sandbox, action: str | None) -> None:
    order_id = next_id()
    session = sandbox.session(order_id)
    if action:
        sandbox.press(session, action)

    answer = sandbox.refund(order_id, "1.00")

    assert answer.status_code == 400
    assert answer.json()["error_message"] == "Cannot process unsuccessful order."
    assert accepted(sandbox, order_id) == []


@pytest.mark.parametrize("by", ["txn_id", "order_id"])
def test_transaction_level_refund_answers_with_the_refund_alone(sandbox: Sandbox, by: str) -> None:
    order = sandbox.status(sandbox.charged_order("50.00"))
    form = {by: order[by], "unique_request_id": next_id("R"), "amount": "20.00", "refund_type": "INSTANT"}

    answer = sandbox.http.post("/refunds", data=form)

    body = answer.json()
    assert answer.status_code == 200
    assert set(body) == {
        "unique_request_id", "reference_id", "order_id", "txn_id", "amount", "created", "refund_type",
        "refund_source", "gateway", "epg_txn_id", "status", "response_code", "error_message", "refund_arn",
        "authorization_id", "sent_to_gateway", "initiated_by", "expected_refund_credit_time",
    }  # fmt: skip
    assert (body["order_id"], body["txn_id"], body["amount"]) == (order["order_id"], order["txn_id"], 20)
    assert (body["status"], body["refund_type"], body["sent_to_gateway"]) == ("PENDING", "INSTANT", False)
    assert accepted(sandbox, order["order_id"]) == ["20.00"]


def test_transaction_level_refund_checks_its_parameters(sandbox: Sandbox) -> None:
    order = sandbox.status(sandbox.charged_order())
    form = {"unique_request_id": next_id("R"), "amount": "1.00"}

    assert_refused(sandbox.http.post("/refunds", data=form), MISSING)
    assert sandbox.http.post("/refunds", data=form | {"txn_id": "unknown"}).json()["status"] == "NOT_FOUND"
    mixed = {"txn_id": order["txn_id"], "order_id": sandbox.charged_order()}
    assert sandbox.http.post("/refunds", data=form | mixed).json()["status"] == "NOT_FOUND"
    kind = sandbox.http.post("/refunds", data=form | {"txn_id": order["txn_id"], "refund_type": "LATER"})
    assert kind.json()["error_info"]["fields"][0]["field_name"] == "refund_type"
    assert accepted(sandbox, order["order_id"]) == []
