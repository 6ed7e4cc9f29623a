"""Publishes messages from a process of its own: `python -m tests.transport.publisher ours|stock`, a JSON list on stdin.

`stock` is a producer that knows nothing of this project: a plain Celery app with default settings.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from celery import Celery


def stock_app() -> Celery:
    """Return an app that has the broker's address and nothing else."""
    return Celery("stock", broker=os.environ.get("CELERY_BROKER_URL") or os.environ["REDIS_URL"])


def stock_target(app: Celery) -> dict[str, Any]:
    """Return where a stock producer sends to.

    On RabbitMQ a queue is declared with its arguments or not at all, so a producer that does not know ours names the
    exchange and the routing key.
    """
    if str(app.conf.broker_url).startswith("amqp"):
        return {"exchange": "default", "routing_key": "default"}
    return {"queue": "default"}


if __name__ == "__main__":
    messages: list[tuple[str, str, dict[str, Any]]] = json.load(sys.stdin)
    if sys.argv[1] == "stock":
        app, target = stock_app(), stock_target(stock_app())
    else:
        from tests.transport.app import app

        target = {}
    for task, label, options in messages:
        app.send_task(task, args=[label], **target, **options)
