"""Tasks that carry an order from paid to processed, and the mission's chain validate | charge | confirm."""

from __future__ import annotations

from typing import Any

from celery import Task, shared_task
from django.utils import timezone

from catalog.errors import InsufficientStock
from myproject.jobs.errors import Snooze
from myproject.jobs.retries import RETRY
from orders.actions import confirm, process
from orders.tasks.policies import PROVIDER

#: Seconds until an order whose stock is missing is tried again: goods are booked in by people, some time today.
RESTOCK_PAUSE = 60.0


@shared_task(bind=True, name="orders.tasks.process_order", business_keys={"order": "order_id"}, **RETRY)
def process_order(self: Task[Any, Any], order_id: int) -> dict[str, Any]:
    """Process a paid order.

    Does: takes the stock out, books the sale, marks the order processed, makes the confirmation message.
    Twice: only a paid order is touched, under its lock; stock, ledger and message have keys of their own.
    Retries: lost races, with backoff, ten times. Missing stock puts it off for a minute, as often as it takes: the
    order stays paid and the job stays open.
    Enqueued by: the capture of a payment, an order with nothing left to pay, a cancellation that leaves lines which may
    fit the stock, and the sweep.
    """
    try:
        return process.process_order(order_id=order_id, now=timezone.now())
    except InsufficientStock:
        raise Snooze(RESTOCK_PAUSE) from None


@shared_task(bind=True, name="orders.tasks.validate_order", business_keys={"order": "order_id"}, **RETRY)
def validate_order(self: Task[Any, Any], order_id: int) -> dict[str, Any]:
    """Check an order; first link of the chain validate_order | charge_payment | send_confirmation_email.

    Does: compares the order's total with its lines and refuses cancelled orders; writes nothing.
    Twice: reads only.
    Retries: none of its own; an order that does not add up or does not exist fails and ends the chain.
    Enqueued by: whoever sends the chain.
    """
    return confirm.validate_order(order_id=order_id)


@shared_task(
    bind=True, name="orders.tasks.charge_payment", business_keys={"order": "validated.order_id"}, **PROVIDER, **RETRY
)
def charge_payment(self: Task[Any, Any], validated: dict[str, Any]) -> dict[str, Any]:
    """Charge a validated order; second link of the chain validate_order | charge_payment | send_confirmation_email.

    Does: asks the provider whether the customer has paid, and books the payment if so.
    Twice: it asks and books, so a run that died asks again; a captured payment is found and not asked for again, and
    the capture's ledger key is unique.
    Retries: an open payment and a provider that cannot be asked, ten times in about five minutes; then the chain ends
    without a mail, and webhook and sweep go on with the payment. A provider that is away is waited for.
    Enqueued by: the chain; its argument is what validate_order returned.
    """
    return confirm.charge_order(order_id=validated["order_id"], now=timezone.now())


@shared_task(
    bind=True, name="orders.tasks.send_confirmation_email", business_keys={"order": "charged.order_id"}, **RETRY
)
def send_confirmation_email(self: Task[Any, Any], charged: dict[str, Any]) -> dict[str, Any]:
    """Confirm a charged order; last link of the chain validate_order | charge_payment | send_confirmation_email.

    Does: makes the order's confirmation message and has it delivered, if the order is paid.
    Twice: one message row per order; a second run finds it and a delivered message is not sent again.
    Retries: none of its own; the message's delivery is a job of its own.
    Enqueued by: the chain; its argument is what charge_payment returned.
    """
    return confirm.send_order_confirmation(order_id=charged["order_id"], now=timezone.now())


@shared_task(bind=True, name="orders.tasks.send_order_confirmation", business_keys={"order": "order_id"}, **RETRY)
def send_order_confirmation(self: Task[Any, Any], order_id: int) -> dict[str, Any]:
    """Confirm a paid order by its id.

    Does: makes the order's confirmation message and has it delivered, if the order is paid.
    Twice: one message row per order; a second run finds it and a delivered message is not sent again.
    Retries: none of its own; the message's delivery is a job of its own.
    Enqueued by: operators and programs that confirm by order id; process_order makes the same message itself.
    """
    return confirm.send_order_confirmation(order_id=order_id, now=timezone.now())
