"""Jobs whose lease ended, or whose holder is dead on this machine: what its task declared happens to them.

The next claim raises the fencing token, so a holder that was only frozen writes nothing any more. A job that is to run
again goes back as due now and keeps its holder: from that its next run knows that an earlier one ended without saying
how, and looks up first where the task has a look-up.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import structlog
from celery import Celery
from django.db import transaction

from myproject.jobs import deaths, ledger
from myproject.jobs.errors import OutcomeUnknown
from myproject.jobs.holders import has_witness, is_dead
from myproject.jobs.ledger import EventKind, Row
from myproject.jobs.relay import rows
from myproject.jobs.states import JobState

logger = structlog.get_logger(__name__)

#: Running rows read at a time. A fleet runs some hundreds of jobs at once; each row is read about twice a second.
PAGE = 500
#: Seconds beyond the lease for the main process of a pool to count the death of its child: it knows why it died, and
#: only a death that somebody saw can park a job.
WITNESS = 5.0

_unknown: set[str] = set()  # tasks that were complained about


def expire(apps: Mapping[str, Celery]) -> int:
    """Take back every job whose lease ended or whose holder is dead; return how many."""
    now = rows.database_time()
    count = 0
    for head in rows.heads(JobState.RUNNING):
        after: rows.Claimed | None = None
        while page := rows.claimed(head, limit=PAGE, after=after):
            over = [row for row in page if _is_over(row, now=now)]
            if over:
                count += _take_back(over, apps=apps)
            if len(page) < PAGE:
                break
            after = page[-1]
    return count


def _is_over(row: rows.Claimed, *, now: float) -> bool:
    if not is_dead(row.holder):
        return row.due_at <= now
    return row.due_at + WITNESS <= now if has_witness(row.holder) else True


def _take_back(over: list[rows.Claimed], *, apps: Mapping[str, Celery]) -> int:
    """Decide about rows that are still in the hands that were found gone."""
    seen = {(row.id, row.token, row.due_at) for row in over}
    with transaction.atomic():
        found = [
            row for row in rows.lock_running([row.id for row in over]) if (row[0].id, row[0].token, row[1]) in seen
        ]
        again, decided = [], 0
        for row, _ in found:
            task = _task(row, apps=apps)
            if task is None:
                continue
            decided += 1
            ledger.record(
                row.id,
                EventKind.EXPIRED,
                epoch=row.epoch,
                attempts=row.attempts,
                error="the holder is dead" if is_dead(row.holder) else "the lease ended",
                worker=row.holder,
            )
            if task.on_unknown == "park":
                lost = "The lease ended while the body ran; whether it reached the other side is not known."
                deaths.park(task, row, OutcomeUnknown(lost))
            else:
                again.append(row.id)
        if again:
            rows.due_once_more(again)
    if decided:
        logger.warning("leases ended", count=decided, again=len(again))
    return decided


def _task(row: Row, *, apps: Mapping[str, Celery]) -> Any:
    """Return the row's task; None when this relay does not know it and so must not decide."""
    app = apps.get(row.app)
    task = app.tasks.get(row.task) if app is not None else None
    if task is None and row.task not in _unknown:
        _unknown.add(row.task)
        logger.error("leases ended of a task that this relay does not know", task=row.task, task_id=row.id)
    return task
