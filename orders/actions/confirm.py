"""The three steps of the mission's chain: checking an order, charging it, confirming it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import transaction

from myproject.money import format_minor
from orders.actions.messages import confirm_order
from orders.actions.payments import settle_payment
from orders.errors import NoPayment, OrderInvalid, OrderNotFound, PaymentOpen
from orders.models import Order, Payment
from orders.states import OrderStatus, PaymentStatus


def validate_order(*, order_id: int) -> dict[str, Any]:
    """Check that an order adds up and is not cancelled; return id, status, amount and currency. Writes nothing.

    Raises OrderNotFound and OrderInvalid.
    """
    order = Order.objects.filter(pk=order_id).first()
    if order is None:
        raise OrderNotFound(f"There is no order {order_id}.")
    if order.status == OrderStatus.CANCELLED:
        raise OrderInvalid(f"Order {order_id} is cancelled.")
    totals = list(order.lines.values_list("total_minor", flat=True))
    if not totals or sum(totals) != order.total_minor:
        raise OrderInvalid(f"The lines of order {order_id} add up to {sum(totals)}, not to {order.total_minor}.")
    return {
        "order_id": order.pk,
        "status": order.status,
        "amount": format_minor(order.total_minor, order.currency),
        "currency": order.currency,
    }


def charge_order(*, order_id: int, now: datetime) -> dict[str, Any]:
    """Find out at the provider whether an order's latest payment is made, and book it; tell what came of it.

    The customer pays at the provider's page, so charging is asking: nothing is taken twice. An order that costs
    nothing needs no payment. Raises OrderNotFound, NoPayment, PaymentOpen (ask again), and what `settle_payment`
    raises.
    """
    order = Order.objects.filter(pk=order_id).first()
    if order is None:
        raise OrderNotFound(f"There is no order {order_id}.")
    payment: Payment | None = order.payments.filter(status=PaymentStatus.CAPTURED).first()
    if payment is None and order.total_minor > order.cancelled_minor:
        payment = order.payments.last()
        if payment is None:
            raise NoPayment(f"No payment of order {order_id} was ever started.")
        if payment.status != PaymentStatus.CAPTURED:
            payment = settle_payment(payment_id=payment.pk, now=now)
        if payment.status != PaymentStatus.CAPTURED:
            raise PaymentOpen(f"The payment of order {order_id} is {payment.status}.", current=payment.status)
    return {
        "order_id": order.pk,
        "payment_id": payment.pk if payment else None,
        "status": "charged" if payment else "nothing_to_charge",
        "amount": format_minor(payment.captured_minor if payment else 0, order.currency),
        "currency": order.currency,
    }


def send_order_confirmation(*, order_id: int, now: datetime) -> dict[str, Any]:
    """Confirm a paid order to its customer, once whoever asks; tell what came of it.

    `status` is "ok", "no_address", "not_paid", "cancelled" or "not_found".
    """
    with transaction.atomic():
        order = Order.objects.select_related("customer").filter(pk=order_id).first()
        if order is None:
            return {"order_id": order_id, "status": "not_found"}
        if order.status == OrderStatus.PENDING_PAYMENT:
            return {"order_id": order_id, "status": "not_paid"}
        if order.status == OrderStatus.CANCELLED:
            return {"order_id": order_id, "status": "cancelled"}
        message = confirm_order(order=order, customer=order.customer, line_count=order.lines.count(), now=now)
        if message is None:
            return {"order_id": order_id, "status": "no_address"}
        return {"order_id": order_id, "status": "ok", "message_id": message.pk}
