"""Enqueueing from within a transaction: by registered name, when the transaction commits."""

from __future__ import annotations

from typing import Any

import structlog
from celery import current_app
from django.db import transaction
from kombu.exceptions import OperationalError

logger = structlog.get_logger(__name__)


def enqueue(name: str, *args: Any, **options: Any) -> None:
    """Send the task registered as `name` with `args` once the current transaction commits; at once outside of one.

    `options` are those of `apply_async` (countdown, priority, task_id ...). The name keeps layers apart: an action
    never imports a task. A broker that is down is logged and not raised, because the commit has already happened; the
    sweep finds what was not sent. Raises KeyError at once for a name that is not registered.
    """
    task = current_app.tasks[name]

    def send() -> None:
        try:
            task.apply_async(args=args, **options)
        except OperationalError as error:
            logger.error("task was not sent, the sweep will send it", task=name, error=type(error).__name__)

    transaction.on_commit(send)
