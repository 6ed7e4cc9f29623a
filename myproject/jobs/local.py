"""Running a job in this process, without a broker: for tests, for a suspect that runs alone, for operators."""

from __future__ import annotations

import socket
from typing import Any

from celery import Celery
from celery.app.trace import build_tracer
from kombu.utils.json import loads

from myproject.jobs.ledger import Row
from myproject.jobs.publishing import hint_of, publisher


def request_of(app: Celery, row: Row, *, delivery: int = 0) -> dict[str, Any]:
    """Return the request of a job, as a worker would build it from the job's message."""
    args, kwargs, embed = loads(row.body)
    return {
        **publisher(app).headers(hint_of(row, epoch=row.epoch, delivery=delivery)),
        **{name: value for name, value in embed.items() if value is not None},
        "args": args,
        "kwargs": kwargs,
        "correlation_id": row.id,
        "hostname": socket.gethostname(),
        "delivery_info": {"exchange": "", "routing_key": row.queue, "priority": row.priority, "redelivered": False},
    }


def run_row(app: Celery, row: Row, *, delivery: int = 0, propagate: bool = False) -> Any:
    """Run a job's present life as a worker would, continuations and outcome included.

    Returns what Celery's tracer returns. With `propagate` an exception of the body is raised, and its job is put back.
    """
    task = app.tasks[row.task]
    request = request_of(app, row, delivery=delivery)
    tracer = build_tracer(task.name, task, app=app, propagate=propagate)
    return tracer(row.id, request["args"], request["kwargs"], request)
