"""Rows of jobs for the tests of steering, written as the platform writes them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from itertools import count

from myproject.jobs.models import Job, JobEvent, JobKey
from myproject.jobs.states import JobState

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
TASK = "orders.tasks.process_order"
_numbers = count(1)


def job(**fields):
    """Insert one job; `keys` are its business keys. Ids grow, as those of the platform do."""
    number = next(_numbers)
    keys = fields.pop("keys", {})
    given = {
        "id": f"job-{number:06}",
        "app": "myproject",
        "task": TASK,
        "queue": "orders",
        "priority": 7,
        "state": JobState.QUEUED,
        "due_at": NOW + timedelta(seconds=number),
        "created_at": NOW,
        "body": json.dumps([[number], {}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}]),
        **fields,
    }
    if given["state"] > JobState.RUNNING:
        given.setdefault("finished_at", NOW + timedelta(seconds=number))
    row = Job.objects.create(**given)
    JobKey.objects.bulk_create(JobKey(job_id=row.id, name=name, value=value) for name, value in keys.items())
    return row


def parked(**fields):
    """Insert a job that failed for good."""
    row = job(**{"state": JobState.PARKED, "error": "ValueError: no", "fingerprint": "f1", "attempts": 3, **fields})
    for second in (1, 2):  # it failed twice of the same cause
        JobEvent.objects.create(
            job_id=row.id, at=NOW + timedelta(seconds=second), kind="failed", epoch=0, attempts=second, error=row.error,
            fingerprint=row.fingerprint,
        )  # fmt: skip
    return row
