"""The reference: a plain Celery app as its first-steps guide makes it, with Celery's own Django fixup and defaults.

Results go to Redis, as most installations have it; `touch` ignores them, which is the kinder way to publish.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial

import django
import redis
from celery import Celery
from django.db import transaction

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.benchmarks.stock_settings")
django.setup()

from tests.benchmarks import work  # noqa: E402  # models need Django to be set up

app = Celery(
    "stock", set_as_current=False, broker=os.environ["BENCH_BROKER_URL"], backend=os.environ["BENCH_RESULT_URL"]
)


@app.task(name="benchmarks.touch", ignore_result=True)
def touch(order_id: int) -> None:
    """Stand for work that an order starts; only its publishing is measured."""


@app.task(name="benchmarks.pay")
def pay(order_id: int) -> None:
    """Take the payment of an order."""
    with transaction.atomic():
        work.take_payment(order_id)


# --- How a transaction enqueues ---------------------------------------------------------------------------------------

_broker = redis.Redis.from_url(os.environ["BENCH_BROKER_URL"])


def sender(publish: str) -> tuple[Callable[[int], None], Callable[[], None]]:
    """Return how to send for an order, as Celery's guide advises, and how to wait until all is sent."""
    if publish != "inline":
        raise ValueError("stock Celery publishes in the caller's thread")

    def send(order_id: int) -> None:
        transaction.on_commit(partial(touch.delay, order_id))

    return send, lambda: None


def clear() -> None:
    """Forget what was published: nobody reads it."""
    _broker.flushdb()
