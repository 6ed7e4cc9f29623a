"""What is sent, in which order, and by how many."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest
from django.core.validators import validate_email
from rest_framework.serializers import EmailField

from orders.replay.client import (
    Interrupted,
    Refused,
    describe_cancellation,
    describe_sale,
    make_up_address,
)
from orders.replay.phases import group_documents, hold_back
from orders.replay.plan import BatchPlan, plan_batch
from orders.replay.reader import read_file
from orders.replay.sending import send_all
from tests.orders.replay.files import DAY, write_mutated_file, write_retail_file


@pytest.fixture
def plan(tmp_path: Path) -> BatchPlan:
    return plan_batch(file=read_file(write_mutated_file(tmp_path / "mutated.csv")))


def test_documents_that_share_an_order_go_one_after_the_other(tmp_path: Path) -> None:
    sales = [f"{number},{code},,9,{DAY},1,a," for number, code in ((1, "X"), (2, "Y"), (3, "Z"))]
    cancellations = [
        f"C1,X,,-1,{DAY},1,a,",
        f"C2,Z,,-1,{DAY},1,a,",
        f"C3,Y,,-1,{DAY},1,a,",
        f"C4,X,,-1,{DAY},1,a,",
        f"C4,Y,,-1,{DAY},1,a,",  # joins what C1 and C3 reach
        f"C5,NONE,,-1,{DAY},1,a,",
    ]
    plan = plan_batch(file=read_file(write_retail_file(tmp_path / "groups.csv", *sales, *cancellations)))

    groups = group_documents(plan.cancellations)

    assert [[document.number for document in group] for group in groups] == [["C1", "C3", "C4"], ["C2"], ["C5"]]


def test_only_documents_that_reach_a_stuck_order_are_held_back_and_named(tmp_path: Path) -> None:
    sales = [f"{number},{code},,9,{DAY},1,a," for number, code in ((1, "X"), (2, "Y"), (3, "Z"))]
    cancellations = [
        f"C1,X,,-1,{DAY},1,a,",
        f"C2,Y,,-1,{DAY},1,a,",
        f"C3,Y,,-1,{DAY},1,a,",  # reaches the stuck order and a good one
        f"C3,X,,-1,{DAY},1,a,",
        f"C4,X,,-1,{DAY},1,a,",  # a later part of the good one: the pennies of its line depend on C3
        f"C5,Z,,-1,{DAY},1,a,",
        f"C6,NONE,,-1,{DAY},1,a,",
    ]
    plan = plan_batch(file=read_file(write_retail_file(tmp_path / "stuck.csv", *sales, *cancellations)))

    ready, held = hold_back(plan.cancellations, processed={"1", "3"})

    assert [document.number for document in ready] == ["C1", "C5", "C6"]
    assert held == [
        "cancellation C2 is held back: order 2 is not processed",
        "cancellation C3 is held back: order 2 is not processed",
        "cancellation C4 is held back: it comes after C3",
    ]


def test_a_discount_is_sent_as_a_negative_price(plan: BatchPlan) -> None:
    body = describe_sale(plan.sales[4], source="retail-test")

    assert body["number"] == "700014"
    assert body["customer"] == {
        "country": "United Kingdom",
        "reference": "15004",
        "email": "customer-15004@customers.shop.example",
    }
    assert [(line["number"], line["kind"], line["quantity"], line["unit_price"]) for line in body["lines"]] == [
        (1, "goods", 1, "20.00"),
        (2, "discount", 1, "-5.00"),
        (3, "goods", 1, "20.00"),
    ]


def test_a_guest_has_neither_reference_nor_address(plan: BatchPlan) -> None:
    assert describe_sale(plan.sales[2], source="retail-test")["customer"] == {"country": "EIRE"}


@pytest.mark.parametrize("customer", ["17850", "A b", "x" * 40, "x" * 64, "ü", "-", "a@b", "a..b", "a.-b", "a.", "_a"])
def test_made_up_addresses_are_addresses(customer: str) -> None:
    address = make_up_address(customer)

    validate_email(address)
    assert EmailField(max_length=191).run_validation(address) == address
    assert address == make_up_address(customer)
    assert address.endswith("@customers.shop.example")


def test_a_customer_number_can_be_read_in_the_address() -> None:
    assert make_up_address("AB.1-2") == "customer-AB.1-2@customers.shop.example"


class FakeClient:
    """Takes part in a round without any connection."""

    closed = 0

    def close(self) -> None:
        FakeClient.closed += 1


def send_numbers(send: Any, *, groups: list[list[int]], stop: threading.Event | None = None, watch: Any = None) -> Any:
    return send_all(
        groups=groups,
        send=send,
        name=str,
        make_client=FakeClient,  # type: ignore[arg-type]
        workers=3,
        stop=stop or threading.Event(),
        watch=watch or (lambda done: None),
    )


def test_every_item_is_sent_once_and_a_refused_one_stops_no_other() -> None:
    seen: list[int] = []

    def send(client: FakeClient, item: int) -> None:
        seen.append(item)
        if item == 5:
            raise Refused("422 no")

    sent = send_numbers(send, groups=[[number] for number in range(20)])

    assert sorted(seen) == list(range(20))
    assert sent.done == 20
    assert sent.refused == {"5": "422 no"}


def test_a_failure_stops_the_round_and_leaves_no_thread() -> None:
    FakeClient.closed = 0
    stop = threading.Event()

    def send(client: FakeClient, item: int) -> None:
        if item == 0:
            raise RuntimeError("away")
        if stop.wait(60):
            raise Interrupted

    started = time.monotonic()
    with pytest.raises(RuntimeError, match="away"):
        send_numbers(send, groups=[[number] for number in range(100)], stop=stop)

    assert time.monotonic() - started < 30
    assert FakeClient.closed == 3
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("replay-")] == []


def test_what_the_watcher_raises_stops_the_round() -> None:
    stop = threading.Event()

    def send(client: FakeClient, item: int) -> None:
        stop.wait(5)

    def watch(done: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        send_numbers(send, groups=[[0], [1]], stop=stop, watch=watch)

    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("replay-")] == []


def test_a_cancellation_names_orders_lines_and_what_no_sale_covers(plan: BatchPlan) -> None:
    document = next(document for document in plan.cancellations if document.number == "C700010")

    body = describe_cancellation(document, source="retail-test")

    assert body["number"] == "C700010"
