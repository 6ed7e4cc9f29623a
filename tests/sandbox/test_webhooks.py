"""Webhooks: what is sent when, how it is authenticated, and when it is sent again (providers, 1.4 and 1.5)."""

import re
from base64 import b64encode
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from tests.sandbox.merchant import WEBHOOK_PASSWORD, WEBHOOK_USER, Receiver, Sandbox, next_id
from tests.servers.processes import wait_until

pytestmark = pytest.mark.server


def test_paid_order_tells_of_transaction_and_order(sandbox: Sandbox, receiver: Receiver) -> None:
    order_id = sandbox.charged_order("10.00")

    for name in ("TXN_CREATED", "TXN_CHARGED", "ORDER_SUCCEEDED"):
        (event,) = receiver.wait_for(order_id, name)
        assert set(event) == {"id", "date_created", "event_name", "content"}
        assert re.fullmatch(r"evt_V2_[0-9a-f]{32}", event["id"])
        assert abs(datetime.fromisoformat(event["date_created"]) - datetime.now(UTC)) < timedelta(minutes=1)
        assert event["content"]["order"] == sandbox.status(order_id)


def test_each_event_has_its_own_id(sandbox: Sandbox, receiver: Receiver) -> None:
    order_id = sandbox.charged_order()
    receiver.wait_for(order_id, "ORDER_SUCCEEDED")
    wait_until(lambda: len(receiver.events(order_id)) == 3, timeout=60, what="three events")

    assert len({event["id"] for event in receiver.events(order_id)}) == 3


def test_webhook_carries_basic_authentication(sandbox: Sandbox, receiver: Receiver) -> None:
    receiver.wait_for(sandbox.charged_order(), "ORDER_SUCCEEDED")

    expected = "Basic " + b64encode(f"{WEBHOOK_USER}:{WEBHOOK_PASSWORD}".encode()).decode()
    assert {authorization for _, authorization, _ in receiver.arrived} == {expected}


def test_declined_order_tells_of_the_failure(sandbox: Sandbox, receiver: Receiver) -> None:
    order_id = next_id()
    sandbox.press(sandbox.session(order_id), "decline")

    (event,) = receiver.wait_for(order_id, "ORDER_FAILED")
    receiver.wait_for(order_id, "TXN_FAILED")
    assert event["content"]["order"]["status"] == "AUTHORIZATION_FAILED"
    assert receiver.events(order_id, "ORDER_SUCCEEDED") == []


def test_abandoned_order_tells_of_no_result(sandbox: Sandbox, receiver: Receiver) -> None:
    order_id = next_id()
    sandbox.press(sandbox.session(order_id), "abandon")

    receiver.wait_for(order_id, "TXN_CREATED")
    receiver.wait_for(sandbox.charged_order(), "ORDER_SUCCEEDED")  # a later event was delivered meanwhile
    assert [event["event_name"] for event in receiver.events(order_id)] == ["TXN_CREATED"]


@pytest.mark.parametrize(
    ("prefix", "name", "status"),
    [
        ("O", "ORDER_REFUNDED", "SUCCESS"),
        ("RFAIL", "ORDER_REFUND_FAILED", "FAILURE"),
        ("RHUMAN", "REFUND_MANUAL_REVIEW_NEEDED", "MANUAL_REVIEW"),
    ],
)
def test_settled_refund_tells_its_outcome(
    sandbox: Sandbox, receiver: Receiver, prefix: str, name: str, status: str
) -> None:
    order_id, request_id = sandbox.charged_order("10.00", prefix=prefix), next_id("R")
    sandbox.refund(order_id, "4.00", request_id)

    (initiated,) = receiver.wait_for(order_id, "REFUND_INITIATED")
    (event,) = receiver.wait_for(order_id, name)

    assert initiated["content"]["order"]["refunds"][0]["status"] == "PENDING"
    (refund,) = event["content"]["order"]["refunds"]
    assert (refund["unique_request_id"], refund["status"]) == (request_id, status)


def test_partial_refunds_each_tell_and_the_list_says_which(sandbox: Sandbox, receiver: Receiver) -> None:
    order_id = sandbox.charged_order("10.00")
    sandbox.refund(order_id, "4.00")
    sandbox.refund(order_id, "5.00")

    events = receiver.wait_for(order_id, "ORDER_REFUNDED", times=2)

    most = max(len([r for r in event["content"]["order"]["refunds"] if r["status"] == "SUCCESS"]) for event in events)
    assert most == 2
    assert len({event["id"] for event in events}) == 2


def test_refused_webhook_comes_again_with_the_same_id_until_it_is_taken(sandbox: Sandbox, receiver: Receiver) -> None:
    order_id = next_id("AGAIN")
    answers = [503, 302, 404]
    receiver.refuse = lambda body, times: (
        answers[times]
        if body["event_name"] == "ORDER_SUCCEEDED"
        and body["content"]["order"]["order_id"] == order_id
        and times < len(answers)
        else None
    )

    sandbox.press(sandbox.session(order_id), "approve")

    events = receiver.wait_for(order_id, "ORDER_SUCCEEDED", times=4)
    assert len(events) == 4
    assert len({event["id"] for event in events}) == 1
    outcomes = ["ORDER_SUCCEEDED 503", "ORDER_SUCCEEDED 302", "ORDER_SUCCEEDED 404", "ORDER_SUCCEEDED 200"]
    wait_until(lambda: sandbox.attempts(events[0]["id"]) == outcomes, timeout=60, what="four attempts in the record")


def test_waits_between_attempts_follow_the_schedule(sandbox: Sandbox, receiver: Receiver) -> None:
    order_id = next_id("WAITS")
    receiver.refuse = lambda body, times: (
        500
        if body["event_name"] == "ORDER_SUCCEEDED" and body["content"]["order"]["order_id"] == order_id and times < 4
        else None
    )

    sandbox.press(sandbox.session(order_id), "approve")
    (event_id,) = {event["id"] for event in receiver.wait_for(order_id, "ORDER_SUCCEEDED", times=5)}

    times = [moment for moment, _, body in receiver.arrived if body["id"] == event_id]
    waits = [later - earlier for earlier, later in pairwise(times)]
    for wait, scheduled in zip(waits, (0.06, 0.3, 0.3, 0.6), strict=True):  # 60, 300, 300 and 600 s, a thousandth
        assert wait >= scheduled - 0.01


def test_only_subscribed_events_are_sent(start_sandbox: Callable[..., Sandbox], receiver: Receiver) -> None:
    sandbox = start_sandbox(SANDBOX_WEBHOOK_URL=receiver.url)
    order_id = sandbox.charged_order("10.00")
    sandbox.refund(order_id, "10.00")

    receiver.wait_for(order_id, "ORDER_REFUNDED")

    assert [event["event_name"] for event in receiver.events(order_id)] == ["ORDER_SUCCEEDED", "ORDER_REFUNDED"]


def test_without_an_address_nothing_is_sent(start_sandbox: Callable[..., Sandbox]) -> None:
    sandbox = start_sandbox()
    order_id = sandbox.charged_order("10.00")
    sandbox.refund(order_id, "10.00")
    sandbox.settled(order_id)

    assert sandbox.totals()["counts"]["webhook_sent"] == 0
    assert sandbox.http.get("/health").json()["webhooks_waiting"] == 0


def test_restart_after_a_kill_settles_and_delivers_what_was_due(
    start_sandbox: Callable[..., Sandbox], receiver: Receiver
) -> None:
    first = start_sandbox(SANDBOX_WEBHOOK_URL="http://127.0.0.1:9/", SANDBOX_SETTLEMENT_DELAY="1.5")
    order_id = first.charged_order("10.00")
    first.refund(order_id, "10.00")
    first.process.kill()
    assert receiver.events(order_id) == []

    second = start_sandbox(SANDBOX_WEBHOOK_URL=receiver.url)

    receiver.wait_for(order_id, "ORDER_SUCCEEDED")
    receiver.wait_for(order_id, "ORDER_REFUNDED")
    assert [kind for kind, _, _ in second.entries(order_id)] == [
        "order_created",
        "charged",
        "refund_accepted",
        "refund_settled",
    ]
