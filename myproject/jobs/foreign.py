"""Messages that a foreign producer sent: stock Celery, another language, a message from before an upgrade."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from django.db import IntegrityError, transaction

from myproject.jobs import keys, ledger
from myproject.jobs.ledger import NewJob
from myproject.jobs.payload import encode


def adopt(task: Any, request: Any, args: Any, kwargs: Any) -> int:
    """Write the row of a foreign message; return its life. Its id makes its copies one job.

    The row says that it is foreign: its sender may know nothing of rows, and finds the outcome where it expects it.
    """
    info = request.delivery_info or {}
    request.job_foreign = True
    if ledger.read(request.id) is not None:
        return 0
    embed = {"callbacks": request.callbacks, "errbacks": request.errbacks, "chain": request.chain}
    headers = {"retries": request.retries, "group_index": request.group_index, "ignore_result": request.ignore_result}
    headers["job_foreign"] = True
    job = NewJob(
        id=request.id,
        app=task.app.main,
        task=task.name,
        queue=info.get("routing_key") or task.app.conf.task_default_queue,
        priority=info.get("priority") or 0,
        body=encode(task.name, (list(args), dict(kwargs), {**embed, "chord": request.chord})),
        headers=encode(task.name, {name: value for name, value in headers.items() if value}),  # type: ignore[arg-type]
        root_id=request.root_id if request.root_id != request.id else None,
        parent_id=request.parent_id,
        group_id=request.group,
        keys=keys.business_keys(task, args=args, kwargs=kwargs),
    )
    with suppress(IntegrityError), transaction.atomic():
        ledger.insert(job)
    return 0
