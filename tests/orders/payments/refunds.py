"""Refunds for the tests: planned as the cancellation of a paid order plans them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.test import override_settings

from myproject.jobs.testing import run_jobs
from orders.actions.ledger import post
from orders.actions.payments import settle_payment
from orders.actions.refunds import enqueue_refund, plan_refund
from orders.actions.sweep import sweep_stuck_orders
from orders.models import Account, CancellationRequest, LedgerEntry, Payment, Refund
from tests.orders.factories import NOW
from tests.sandbox.merchant import Sandbox


def plan(payment: Payment, amount_minor: int, *, number: str = "", enqueue: bool = False) -> Refund:
    """Plan a refund for a cancellation document of its own, with the ledger entry that carrying it out leaves."""
    number = number or f"C{payment.order.number}"
    request = CancellationRequest.objects.create(
        source="feed", number=number, currency="GBP", actor="test", open_parts=1, requested_at=NOW
    )
    cancellation = request.parts.create(
        order=payment.order, status="processed", refund_minor=amount_minor, processed_at=NOW
    )
    post(
        operation_key=f"cancellation:{cancellation.pk}",
        kind="cancellation",
        legs=((Account.SALES_RETURNS, amount_minor), (Account.REFUNDS_PAYABLE, -amount_minor)),
        currency="GBP",
        order_id=payment.order_id,
        now=NOW,
    )
    with transaction.atomic():
        refund = plan_refund(cancellation=cancellation, amount_minor=amount_minor, now=NOW)
        if enqueue:
            enqueue_refund(refund)
    return refund


def captured(charged: Callable[..., Payment], number: str, **options: Any) -> Payment:
    """Return the captured payment of a new order."""
    return settle_payment(payment_id=charged(number, **options).pk, now=NOW)


def accepted_by(provider: Sandbox, payment: Payment) -> list[str | None]:
    """Return the amounts of the refunds that the provider's record holds for the payment's order."""
    entries = provider.entries(payment.provider_order_id)
    return [amount for kind, _, amount in entries if kind == "refund_accepted"]


def balance(account: str) -> int:
    """Return an account's balance."""
    return sum(LedgerEntry.objects.filter(account=account).values_list("amount_minor", flat=True))


def sweep_and_work(*, now: datetime | None = None) -> dict[str, int]:
    """Sweep when everything counts as stuck, and run what is promised then, as workers would."""
    moment = now or NOW + timedelta(days=1)
    with override_settings(SWEEP_AFTER=0):
        counts = sweep_stuck_orders(now=moment)
    run_jobs()
    return counts
