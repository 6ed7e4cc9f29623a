"""What a job that is running says of itself, where its row cannot say it.

A body in transaction mode writes nothing that others see before it commits, and must not hold a second transaction
for it. So its STARTED and its `update_state` go to the broker's Redis and are merged into what `AsyncResult` tells
while the row is open. In lease mode the row itself is free, and holds them.
"""

from __future__ import annotations

from typing import Any

from celery import Celery
from kombu.utils.json import dumps, loads

from myproject.jobs import notify


def show(app: Celery, task_id: str, *, epoch: int, meta: dict[str, Any]) -> None:
    """Show the state of a job in that life. Returns at once and never raises; without Redis nothing is shown."""
    notify.show(app, task_id, dumps({"epoch": epoch, "meta": meta}))


def read(app: Celery, task_id: str, *, epoch: int) -> dict[str, Any] | None:
    """Return what the job shows in that life; None when it shows nothing, or another life did."""
    text = notify.shown(app, task_id)
    if text is None:
        return None
    try:
        value = loads(text)
    except ValueError:
        return None
    found: dict[str, Any] | None = value["meta"] if value.get("epoch") == epoch else None
    return found
