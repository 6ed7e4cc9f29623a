"""The platform's side: its own Celery app and settings, with the benchmarks' tasks added."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import django
import redis
from celery.signals import worker_ready

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "myproject.settings.development")
django.setup()

from myproject.celery import app  # noqa: E402  # the settings come first
from myproject.jobs import on_commit  # noqa: E402
from tests.benchmarks import work  # noqa: E402

if os.environ.get("BENCH_EVENTS") != "1":
    app.conf.worker_send_task_events = False  # as Celery's default has it, which is the other arm


@app.task(name="benchmarks.touch")
def touch(order_id: int) -> None:
    """Stand for work that an order starts; only its publishing is measured.

    Does: nothing.
    Twice: nothing happens twice.
    Retries: nothing fails.
    Enqueued by: the benchmarks.
    """


@app.task(name="benchmarks.pay")
def pay(order_id: int) -> None:
    """Take the payment of an order.

    Does: locks the order, marks it paid, writes the ledger entry.
    Twice: the job's row closes in the same transaction, so the second run finds it closed.
    Retries: database contention only.
    Enqueued by: the benchmarks.
    """
    work.take_payment(order_id)


@worker_ready.connect
def note_ready(sender: Any = None, **_: Any) -> None:
    """Stamp the moment by the database's clock: recovery is counted from it."""
    work.note_ready(str(sender.hostname).partition("@")[0])


# --- How a transaction enqueues ---------------------------------------------------------------------------------------

_broker = redis.Redis.from_url(os.environ["REDIS_URL"])


def sender(publish: str) -> tuple[Callable[[int], Any], Callable[[], None]]:
    """Return how to send for an order, and how to wait until all is sent."""
    if publish == "floor":
        return work.write_outbox, on_commit.flush
    on_commit._in_thread = publish == "web"
    return touch.delay, on_commit.flush


def clear() -> None:
    """Forget what was published, which nobody reads. Lists only: the relay's mark tells it of a flushed broker."""
    names = list(_broker.scan_iter(_type="list"))
    if names:
        _broker.delete(*names)
