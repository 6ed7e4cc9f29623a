"""The task functions themselves, and the mission's chain with its results as they travel: as JSON."""

from __future__ import annotations

import inspect
import json
from decimal import Decimal

import pytest
from celery import chain, current_app

from notifications.models import Message
from orders.actions import confirm
from orders.errors import NoPayment, OrderInvalid, OrderNotFound, PaymentOpen
from orders.models import Order, Payment
from orders.tasks import (
    charge_payment,
    process_order,
    process_order_cancellation,
    send_confirmation_email,
    send_order_confirmation,
    validate_order,
)
from tests.orders.factories import bring_order, line, make_variant, pay

pytestmark = pytest.mark.django_db


def travel(result):
    return json.loads(json.dumps(result))


@pytest.mark.parametrize(
    ("task", "name", "parameters"),
    [
        (process_order, "process_order", ["order_id"]),
        (process_order_cancellation, "process_order_cancellation", ["order_id"]),
        (validate_order, "validate_order", ["order_id"]),
        (charge_payment, "charge_payment", ["validated"]),
        (send_confirmation_email, "send_confirmation_email", ["charged"]),
        (send_order_confirmation, "send_order_confirmation", ["order_id"]),
    ],
)
def test_tasks_bear_the_missions_names_and_signatures(task, name, parameters):
    registered = current_app.tasks[f"orders.tasks.{name}"]

    assert registered.name == task.name == f"orders.tasks.{name}"
    assert list(inspect.signature(registered.run).parameters) == parameters


def test_processing_answers_as_the_mission_has_it():
    make_variant()
    order = bring_order()
    pay(order)

    assert travel(process_order(order_id=order.pk)) == {"status": "ok", "order_id": order.pk}
    assert travel(process_order(404)) == {"status": "not_found", "order_id": 404}
    assert travel(process_order_cancellation(404)) == {"status": "not_found", "order_id": 404, "cancellations": 0}


def test_the_chain_can_be_written_as_the_mission_has_it():
    pipeline = chain(validate_order.s(7), charge_payment.s(), send_confirmation_email.s())

    assert [step.task for step in pipeline.tasks] == [
        "orders.tasks.validate_order",
        "orders.tasks.charge_payment",
        "orders.tasks.send_confirmation_email",
    ]


def test_the_chain_ends_in_the_very_message_that_processing_makes(sent):
    make_variant()
    order = bring_order()
    payment = pay(order)

    validated = travel(validate_order(order.pk))
    charged = travel(charge_payment(validated))
    confirmed = travel(send_confirmation_email(charged))
    process_order(order.pk)
    again = travel(send_order_confirmation(order.pk))

    assert validated == {"order_id": order.pk, "status": "paid", "amount": "15.30", "currency": "GBP"}
    assert charged == {
        "order_id": order.pk, "payment_id": payment.pk, "status": "charged", "amount": "15.30", "currency": "GBP",
    }  # fmt: skip
    message = Message.objects.get()
    assert confirmed == again == {"order_id": order.pk, "status": "ok", "message_id": message.pk}


def test_an_order_that_does_not_add_up_ends_the_chain():
    make_variant()
    order = bring_order()
    Order.objects.filter(pk=order.pk).update(total_minor=1531)

    with pytest.raises(OrderInvalid, match="add up to 1530, not to 1531"):
        validate_order(order.pk)
    with pytest.raises(OrderNotFound):
        validate_order(404)

    assert not Message.objects.exists()


def test_a_cancelled_order_is_neither_valid_nor_confirmed():
    make_variant()
    order = bring_order()
    Order.objects.filter(pk=order.pk).update(status="cancelled")

    with pytest.raises(OrderInvalid):
        validate_order(order.pk)
    assert send_order_confirmation(order.pk)["status"] == "cancelled"
    assert not Message.objects.exists()


def test_an_open_payment_is_asked_for_and_the_chain_waits(monkeypatch):
    make_variant()
    order = bring_order()
    payment = Payment.objects.create(
        order=order, sequence=1, provider_order_id="P1", amount_minor=1530, currency="GBP", status="pending"
    )
    asked = []

    def settle(*, payment_id, now):
        asked.append(payment_id)
        return payment

    monkeypatch.setattr(confirm, "settle_payment", settle)

    with pytest.raises(PaymentOpen):
        charge_payment.run({"order_id": order.pk})

    assert asked == [payment.pk]
    assert Order.objects.get().status == "pending_payment"


def test_an_order_whose_payment_was_never_started_cannot_be_charged(monkeypatch):
    make_variant()
    order = bring_order()
    monkeypatch.setattr(confirm, "settle_payment", lambda **given: pytest.fail("the provider was asked"))

    with pytest.raises(NoPayment):
        charge_payment({"order_id": order.pk})


def test_an_order_that_costs_nothing_needs_no_charge():
    make_variant()
    order = bring_order(line(kind="gift", unit_price=Decimal(0)))

    assert charge_payment({"order_id": order.pk})["status"] == "nothing_to_charge"
    assert not Payment.objects.exists()


@pytest.mark.parametrize(
    ("changes", "paid", "status"), [({}, False, "not_paid"), ({"customer": None}, True, "no_address")]
)
def test_who_cannot_be_told_is_not_told(changes, paid, status):
    make_variant()
    order = bring_order(**changes)
    if paid:
        pay(order)

    assert send_order_confirmation(order.pk) == {"order_id": order.pk, "status": status}
    assert send_order_confirmation(404) == {"order_id": 404, "status": "not_found"}
    assert not Message.objects.exists()
