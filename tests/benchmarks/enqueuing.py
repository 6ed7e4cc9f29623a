"""Fills a worker's queue with payments: the producer's part of the worker benchmarks, in the measuring process."""

from __future__ import annotations

import importlib
from typing import Any

from django.db import transaction

from tests.benchmarks import work

#: Jobs of one transaction: the queue is to be filled quickly, and how long that takes is measured elsewhere.
BATCH = 100


def enqueue_payments(*, side: str, count: int) -> None:
    """Make orders, empty the ledger and enqueue one payment for each order."""
    pay: Any = importlib.import_module(f"tests.benchmarks.{side}").pay
    orders = work.make_orders(count)
    work.forget_entries()
    for start in range(0, count, BATCH):
        with transaction.atomic():
            for order_id in orders[start : start + BATCH]:
                pay.delay(order_id)
