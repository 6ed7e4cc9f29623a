"""Faults by configuration: what each does to the caller, and what it leaves applied. The rules stand in conftest.py."""

import json
import time
from collections.abc import Callable

import httpx
import pytest

from tests.sandbox.merchant import Receiver, Sandbox, next_id
from tests.servers.processes import wait_until

pytestmark = pytest.mark.server


def test_latency_delays_the_answer(sandbox: Sandbox) -> None:
    began = time.monotonic()

    assert sandbox.session(next_id("LATE")).status_code == 200
    assert time.monotonic() - began >= 0.3


@pytest.mark.parametrize(("prefix", "status"), [("ERR", 502), ("BUSY", 429)])
def test_error_applies_nothing_and_the_next_call_works(sandbox: Sandbox, prefix: str, status: int) -> None:
    order_id = next_id(prefix)

    answer = sandbox.session(order_id)

    assert answer.status_code == status
    assert answer.headers.get("Retry-After") == ("1" if status in (429, 503) else None)
    assert sandbox.entries(order_id) == []
    assert sandbox.session(order_id).status_code == 200


def test_error_may_come_after_applying(sandbox: Sandbox) -> None:
    order_id = next_id("DONE")

    assert sandbox.session(order_id).status_code == 503
    assert len(sandbox.entries(order_id)) == 1


def test_error_body_with_status_200_applies_nothing(sandbox: Sandbox) -> None:
    order_id = next_id("FALSE")

    answer = sandbox.session(order_id)

    assert (answer.status_code, answer.json()["status"]) == (200, "ERROR")
    assert sandbox.entries(order_id) == []


def test_timeout_before_applying_drops_the_connection_and_leaves_nothing(sandbox: Sandbox) -> None:
    order_id = next_id("BEFORE")
    began = time.monotonic()

    with pytest.raises(httpx.RemoteProtocolError):
        sandbox.session(order_id)

    assert time.monotonic() - began >= 0.2
    assert sandbox.entries(order_id) == []
    assert sandbox.session(order_id).status_code == 200


def test_timeout_after_applying_drops_the_connection_and_leaves_the_effect(sandbox: Sandbox) -> None:
    order_id = next_id("AFTER")

    with pytest.raises(httpx.RemoteProtocolError):
        sandbox.session(order_id)

    assert sandbox.entries(order_id) == [("order_created", "NEW", "100.00")]


def test_refund_that_timed_out_after_applying_is_found_by_looking_up(sandbox: Sandbox) -> None:
    order_id, request_id = sandbox.charged_order(prefix="RAFTER"), next_id("R")

    with pytest.raises(httpx.RemoteProtocolError):
        sandbox.refund(order_id, "1.00", request_id)

    assert [refund["unique_request_id"] for refund in sandbox.status(order_id)["refunds"]] == [request_id]
    assert sandbox.refund(order_id, "1.00", request_id).json()["error_code"] == "duplicate.call"


def test_refused_call_times_out_as_well(sandbox: Sandbox) -> None:
    order_id = sandbox.charged_order(prefix="RAFTER")

    with pytest.raises(httpx.RemoteProtocolError):
        sandbox.refund(order_id, "1000.00")

    assert sandbox.status(order_id)["refunds"] == []


def test_malformed_answer_is_no_json(sandbox: Sandbox) -> None:
    order_id = next_id("HALF")
    sandbox.session(order_id)

    answer = sandbox.http.get(f"/orders/{order_id}")

    assert answer.status_code == 200
    with pytest.raises(json.JSONDecodeError):
        answer.json()
    assert sandbox.status(order_id)["status"] == "NEW"


def test_decline_refuses_a_customer_who_approves(sandbox: Sandbox) -> None:
    order_id = next_id("NOPAY")

    sandbox.press(sandbox.session(order_id), "approve")

    assert (sandbox.status(order_id)["status"], sandbox.status(order_id)["status_id"]) == ("JUSPAY_DECLINED", 22)
    assert sandbox.entries(order_id)[1:] == [("declined", "JUSPAY_DECLINED", "100.00")]


def test_every_third_call_is_taken(sandbox: Sandbox) -> None:
    forms = [{"order_id": next_id("THIRD"), "amount": "1.00"} for _ in range(6)]

    answers = [sandbox.http.post("/orders", data=form).status_code for form in forms]

    assert answers == [200, 200, 500, 200, 200, 500]


def test_chance_takes_the_same_orders_every_time(sandbox: Sandbox) -> None:
    first = [sandbox.session(f"SOME{number}").status_code for number in range(20)]
    second = [sandbox.session(f"SOME{number}").status_code for number in range(20)]

    assert first == second
    assert set(first) == {200, 500}


@pytest.mark.parametrize(("prefix", "status"), [("RFAIL", "FAILURE"), ("RHUMAN", "MANUAL_REVIEW")])
def test_refund_ends_as_the_rule_says(sandbox: Sandbox, prefix: str, status: str) -> None:
    order_id = sandbox.charged_order("10.00", prefix=prefix)
    sandbox.refund(order_id, "10.00")

    order = sandbox.settled(order_id)

    assert (order["refunds"][0]["status"], order["amount_refunded"]) == (status, 0)
    assert sandbox.entries(order_id)[-1] == ("refund_settled", status, "10.00")


def test_late_settlement_stays_pending(sandbox: Sandbox) -> None:
    order_id, other = sandbox.charged_order("10.00", prefix="RLATE"), sandbox.charged_order("10.00")
    sandbox.refund(order_id, "10.00")
    sandbox.refund(other, "10.00")

    sandbox.settled(other)

    assert sandbox.status(order_id)["refunds"][0]["status"] == "PENDING"


def test_duplicated_webhook_arrives_with_one_id(sandbox: Sandbox, receiver: Receiver) -> None:
    events = receiver.wait_for(sandbox.charged_order(prefix="TWICE"), "ORDER_SUCCEEDED", times=3)

    assert len(events) == 3
    assert len({event["id"] for event in events}) == 1


def test_late_webhook_arrives_late_with_what_was_true_then(sandbox: Sandbox, receiver: Receiver) -> None:
    began = time.monotonic()
    order_id = sandbox.charged_order("10.00", prefix="SLOW")
    sandbox.refund(order_id, "10.00")

    (event,) = receiver.wait_for(order_id, "ORDER_SUCCEEDED")

    assert time.monotonic() - began >= 0.5
    assert event["content"]["order"]["refunds"] == []
    assert len(sandbox.status(order_id)["refunds"]) == 1


def test_missing_webhook_never_arrives(sandbox: Sandbox, receiver: Receiver) -> None:
    order_id = sandbox.charged_order(prefix="NEVER")
    sandbox.refund(order_id, "10.00")

    receiver.wait_for(order_id, "ORDER_REFUNDED")

    assert receiver.events(order_id, "ORDER_SUCCEEDED") == []
    assert sandbox.status(order_id)["status"] == "CHARGED"


def test_out_of_order_webhook_arrives_after_the_next(sandbox: Sandbox, receiver: Receiver) -> None:
    order_id = sandbox.charged_order(prefix="SWAP")
    wait_until(lambda: len(receiver.events(order_id)) == 2, timeout=60, what="the events before")
    assert receiver.events(order_id, "ORDER_SUCCEEDED") == []
    sandbox.refund(order_id, "10.00")

    receiver.wait_for(order_id, "ORDER_SUCCEEDED")

    names = [event["event_name"] for event in receiver.events(order_id)]
    assert names.index("ORDER_SUCCEEDED") > names.index("REFUND_INITIATED")


def test_counts_survive_a_restart(start_sandbox: Callable[..., Sandbox]) -> None:
    rules = '[{"name": "third", "endpoint": "order_create", "fault": "error", "every": 3}]'
    first = start_sandbox(SANDBOX_FAULTS=rules)
    answers = [first.http.post("/orders", data={"order_id": next_id(), "amount": "1"}).status_code for _ in range(2)]
    first.process.kill()

    second = start_sandbox(SANDBOX_FAULTS=rules)

    answers.append(second.http.post("/orders", data={"order_id": next_id(), "amount": "1"}).status_code)
    assert answers == [200, 200, 503]


def test_changed_rule_counts_anew(start_sandbox: Callable[..., Sandbox]) -> None:
    rule = '[{"name": "a", "endpoint": "order_create", "fault": "error", "every": 2, "status": %d}]'
    first = start_sandbox(SANDBOX_FAULTS=rule % 500)
    first.http.post("/orders", data={"order_id": next_id(), "amount": "1"})
    first.process.kill()

    second = start_sandbox(SANDBOX_FAULTS=rule % 502)

    assert second.http.post("/orders", data={"order_id": next_id(), "amount": "1"}).status_code == 200
