"""Retrying what was given up: another life of the same job, with the same arguments."""

from __future__ import annotations

import json

from django.db import transaction

from myproject.jobs.actions.bulk import Done, act_on_all, act_on_one, app_of
from myproject.jobs.canvas import WORKFLOW_CANCELLED
from myproject.jobs.keys import unique_key
from myproject.jobs.ledger import EventKind
from myproject.jobs.models import Job, JobEvent, UniqueKey
from myproject.jobs.queries.filters import JobFilter
from myproject.jobs.states import OPEN
from myproject.jobs.steering_sql import RETRIABLE, record_all, renew_headers, revive_all


def retry_jobs(*, wanted: JobFilter, expected: int, actor: str, reason: str = "", slack: int = 0) -> Done:
    """Let every parked, discarded or cancelled job of the filter run again, as soon as a relay has published it.

    A retried job begins a new life: what was counted against it is forgotten (its history keeps it), and what is left
    of its workflow goes on after it. A unique job whose key another open job has is left alone. See `act_on_all`.
    """

    def work(jobs: list[Job]) -> tuple[int, list[tuple[str, str]]]:
        free: list[Job] = []
        for job in jobs:
            if _take_unique(job, taken={other.id for other in free}):
                free.append(job)
        ids = [job.id for job in free]
        left = [(job.id, "another open job has its unique key") for job in jobs if job.id not in ids]
        if not ids:
            return 0, left
        record_all(ids, EventKind.REPLAYED, actor=actor, text=reason)
        revive_all(ids)
        for job in free:
            renew_headers(job, unknown=_asks_first(job))
        _resume_workflows(free)
        return len(ids), left

    return act_on_all(
        action="retry", wanted=wanted, states=RETRIABLE, expected=expected, slack=slack, actor=actor, reason=reason,
        work=work,
    )  # fmt: skip


def retry_job(*, task_id: str, actor: str, reason: str = "") -> Done:
    """Retry one job. Raises NotFound, and NotApplicable when it is open or ended well."""

    def run(wanted: JobFilter) -> Done:
        return retry_jobs(wanted=wanted, expected=1, actor=actor, reason=reason)

    return act_on_one(task_id=task_id, states=RETRIABLE, verb="retried", run=run)


def _asks_first(job: Job) -> bool:
    """Tell whether the job's task can ask what became of an earlier run: an operator's retry does that, too."""
    return getattr(app_of(job.app).tasks.get(job.task), "on_unknown", None) == "lookup"


def _take_unique(job: Job, *, taken: set[str]) -> bool:
    """Take the job's unique key again, which its end released. False: another open job has it, or one of `taken`."""
    task = app_of(job.app).tasks.get(job.task)
    if task is None or not getattr(task, "unique", None):
        return True
    args, kwargs, _ = json.loads(job.body)
    key = unique_key(task, args=args, kwargs=kwargs)
    if key is None:
        return True
    with transaction.atomic():
        row, created = UniqueKey.objects.select_for_update().get_or_create(key=key, defaults={"job_id": job.id})
    if created or row.job_id == job.id:
        return True
    if row.job_id in taken or Job.objects.filter(id=row.job_id, state__in=OPEN).exists():
        return False
    UniqueKey.objects.filter(key=key).update(job_id=job.id)
    return True


def _resume_workflows(jobs: list[Job]) -> None:
    """Let workflows that were cancelled as a whole go on: who retries a step wants what follows from it."""
    roots = {job.root_id or job.id for job in jobs}
    # The note becomes an ordinary line of the history.
    JobEvent.objects.filter(job_id__in=roots, kind=WORKFLOW_CANCELLED).update(kind=EventKind.CANCELLED)
