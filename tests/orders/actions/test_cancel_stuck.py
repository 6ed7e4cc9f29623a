"""Cancellations after which nothing would ever move again, and what becomes of them."""

from __future__ import annotations

from decimal import Decimal

import pytest

from orders.actions.cancel import process_order_cancellation
from orders.actions.cancel_requests import request_cancellation
from orders.actions.confirm import charge_order
from orders.actions.process import process_order
from orders.models import LedgerEntry, Order, Payment, Refund
from tests.orders.factories import NOW, bring_order, line, make_variant, on_hand, pay

pytestmark = pytest.mark.django_db

BLOCKED = {"status": "blocked", "cancellations": 0, "reason": "refund_exceeds_captured"}


def test_an_order_of_which_only_a_gift_is_left_goes_on_without_a_payment(sent):
    make_variant()
    order = bring_order(line(), line(2, kind="gift", sku="CARD", quantity=1, unit_price=Decimal(0)))
    request = request_cancellation(order_id=order.pk, lines={1: 6}, reason="", actor="user:3", now=NOW)
    sent.forget()

    process_order_cancellation(order_id=order.pk, now=NOW)

    order.refresh_from_db()
    assert (order.status, order.paid_at) == ("paid", NOW)
    assert sent()[-1] == ("orders.tasks.process_order", order.pk)
    request.refresh_from_db()
    assert request.completed_at == NOW

    assert process_order(order_id=order.pk, now=NOW)["status"] == "ok"
    order.refresh_from_db()
    assert order.status == "processed"
    assert on_hand() == 100
    assert (LedgerEntry.objects.count(), Payment.objects.count()) == (0, 0)
    assert charge_order(order_id=order.pk, now=NOW)["status"] == "nothing_to_charge"


def test_an_order_that_is_cancelled_altogether_before_its_payment_is_not_paid(sent):
    make_variant()
    order = bring_order()
    request_cancellation(order_id=order.pk, lines=None, reason="", actor="user:3", now=NOW)
    sent.forget()

    process_order_cancellation(order_id=order.pk, now=NOW)

    order.refresh_from_db()
    assert (order.status, order.paid_at) == ("cancelled", None)
    assert [name for name, *_ in sent()] == ["notifications.tasks.deliver_message"]


def paid_in_two_halves() -> Order:
    """Return a paid order whose money lies on two payments, so that no refund of all of it fits one of them."""
    make_variant()
    order = bring_order()
    first = pay(order)
    Payment.objects.filter(pk=first.pk).update(amount_minor=765, captured_minor=765)
    Payment.objects.create(
        order=order, sequence=2, provider_order_id="SECOND", amount_minor=765, captured_minor=765, currency="GBP",
        status="captured",
    )  # fmt: skip
    order.refresh_from_db()
    return order


def test_a_refund_that_no_payment_holds_is_said_once_and_changes_nothing(sent):
    order = paid_in_two_halves()
    request = request_cancellation(order_id=order.pk, lines=None, reason="", actor="user:3", now=NOW)

    for _ in range(3):
        assert process_order_cancellation(order_id=order.pk, now=NOW) == BLOCKED | {"order_id": order.pk}

    part = request.parts.get()
    assert part.status == "requested"
    said = order.events.get(kind="cancellation.blocked")
    assert said.data == {"reason": "refund_exceeds_captured", "waiting": str(part.pk)}
    assert Refund.objects.count() == 0
    assert on_hand() == 100


def test_another_cancellation_of_a_blocked_order_is_said_too(sent):
    order = paid_in_two_halves()
    request_cancellation(order_id=order.pk, lines={1: 5}, reason="", actor="user:3", now=NOW)
    process_order_cancellation(order_id=order.pk, now=NOW)
    request_cancellation(order_id=order.pk, lines={1: 1}, reason="", actor="user:3", now=NOW)

    assert process_order_cancellation(order_id=order.pk, now=NOW)["status"] == "blocked"

    assert order.events.filter(kind="cancellation.blocked").count() == 2


def test_the_job_of_a_blocked_cancellation_ends_well_and_keeps_the_event(sent, run_jobs):
    order = paid_in_two_halves()
    request_cancellation(order_id=order.pk, lines=None, reason="", actor="user:3", now=NOW)

    ran = run_jobs()

    assert [(run.state, run.result["status"]) for run in ran] == [("SUCCESS", "blocked")]
    assert order.events.filter(kind="cancellation.blocked").count() == 1
    assert Refund.objects.count() == 0
