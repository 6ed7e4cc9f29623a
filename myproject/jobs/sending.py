"""Enqueueing by registered name, so that an action never imports a task of its own or a higher layer."""

from __future__ import annotations

from typing import Any

import structlog
from celery import current_app
from django.db import transaction
from kombu.exceptions import OperationalError

logger = structlog.get_logger(__name__)


def enqueue(name: str, *args: Any, **options: Any) -> None:
    """Send the task registered as `name` with `args`; it runs if the current transaction commits.

    `options` are those of `apply_async` (countdown, priority, task_id ...). A durable task is promised by its row in
    this very transaction. A best-effort one is sent after the commit, and a broker that is down is logged and not
    raised, because the commit has already happened. Raises KeyError for a name that is not registered.
    """
    task = current_app.tasks[name]
    if getattr(task, "durable", False):
        task.apply_async(args=args, **options)
        return

    def send() -> None:
        try:
            task.apply_async(args=args, **options)
        except OperationalError as error:
            logger.error("a best-effort task was not sent", task=name, error=type(error).__name__)

    transaction.on_commit(send)
