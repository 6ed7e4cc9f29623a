"""The statements by which operators change jobs, many at a time. As in `ledger.py`, nothing here commits.

Each names the states that it applies to, so that a job which moved on since it was looked at is left alone.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence

from django.db import DEFAULT_DB_ALIAS, connections

from myproject.jobs.ledger import EventKind, execute, later_sql, now_sql
from myproject.jobs.models import Job
from myproject.jobs.statements import marks
from myproject.jobs.states import JobState

#: Headers that end with a job's life: the count of its retries, and the moment after which it was not to run. An
#: operator who retries a job wants it to run, and to be retried as often as a new one.
ENDING_HEADERS = ("retries", "expires")
#: Seconds that an operator's action waits for rows that somebody else has.
PATIENCE = 0.5
#: What an operator may retry.
RETRIABLE = (JobState.PARKED, JobState.CANCELLED, JobState.DISCARDED)


def record_all(ids: Sequence[str], kind: EventKind | str, *, actor: str, text: str | None = None) -> None:
    """Add a line to the history of each job, with its life and attempts as they are now."""
    execute(
        "INSERT INTO jobs_jobevent (job_id, at, kind, epoch, attempts, error, actor)"
        f" SELECT id, {now_sql()}, %s, epoch, attempts, %s, %s FROM jobs_job WHERE id IN ({marks(ids)})",
        [kind, text[:255] if text else None, actor, *ids],
    )


def revive_all(ids: Sequence[str]) -> int:
    """Begin another life of closed jobs: due now, with nothing counted against them. Return how many."""
    states = ",".join(f"{state:d}" for state in RETRIABLE)
    return execute(
        f"UPDATE jobs_job SET state={JobState.SCHEDULED:d}, due_at={now_sql()}, epoch=epoch+1, attempts=0,"
        " deliveries=0, holder=NULL, started_at=NULL, finished_at=NULL, meta=NULL, error=NULL, fingerprint=NULL"
        f" WHERE id IN ({marks(ids)}) AND state IN ({states})",
        list(ids),
    )


def renew_headers(job: Job, *, unknown: bool) -> None:
    """Take out of a job's headers what ended with its life; with `unknown`, note that somebody is to be asked first."""
    headers = json.loads(job.headers or "{}")
    kept = {name: value for name, value in headers.items() if name not in ENDING_HEADERS}
    if unknown:
        kept["job_unknown"] = True
    if kept != headers:
        text = json.dumps(kept, separators=(",", ":")) if kept else None
        execute("UPDATE jobs_job SET headers=%s WHERE id=%s", [text, job.id])


def discard_all(ids: Sequence[str], *, retention: float) -> int:
    """Close parked jobs for good: they may be pruned in `retention` seconds. Return how many."""
    return execute(
        f"UPDATE jobs_job SET state={JobState.DISCARDED:d}, due_at={later_sql()}"
        f" WHERE id IN ({marks(ids)}) AND state={JobState.PARKED:d}",
        [retention, *ids],
    )


def lock_free(ids: Sequence[str], *, patience: float = PATIENCE) -> list[str]:
    """Return those of `ids` whose rows nobody else works on, locked until the transaction ends.

    A relay has a row for milliseconds, a body for as long as it runs: after `patience` seconds it is a body.
    """
    rows = Job.objects.order_by()
    if connections[DEFAULT_DB_ALIAS].features.has_select_for_update_skip_locked:
        rows = rows.select_for_update(skip_locked=True)
    free: list[str] = []
    left, end = list(ids), time.monotonic() + patience
    while left:
        free += rows.filter(id__in=left).values_list("id", flat=True)
        got = set(free)
        left = [task_id for task_id in left if task_id not in got]
        if time.monotonic() >= end or not left or not Job.objects.filter(id__in=left).exists():
            break
        time.sleep(0.02)
    return free
