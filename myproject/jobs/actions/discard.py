"""Discarding what was given up: an operator decides that it stays undone."""

from __future__ import annotations

from collections import defaultdict

from myproject.jobs.actions.bulk import Done, act_on_all, act_on_one, app_of
from myproject.jobs.ledger import EventKind
from myproject.jobs.models import Job
from myproject.jobs.queries.filters import JobFilter
from myproject.jobs.states import JobState
from myproject.jobs.steering_sql import discard_all, record_all

#: Seconds that a discarded job of a task that is gone is kept: as long as most outcomes are.
RETENTION = 86_400.0


def discard_jobs(*, wanted: JobFilter, expected: int, actor: str, reason: str = "", slack: int = 0) -> Done:
    """Close every parked job of the filter for good. It can be retried until it is pruned. See `act_on_all`."""

    def work(jobs: list[Job]) -> tuple[int, list[tuple[str, str]]]:
        record_all([job.id for job in jobs], EventKind.DISCARDED, actor=actor, text=reason)
        kept: dict[float, list[str]] = defaultdict(list)
        for job in jobs:
            task = app_of(job.app).tasks.get(job.task)
            kept[float(getattr(task, "retention", RETENTION))].append(job.id)
        return sum(discard_all(ids, retention=retention) for retention, ids in kept.items()), []

    return act_on_all(
        action="discard", wanted=wanted, states=(JobState.PARKED,), expected=expected, slack=slack, actor=actor,
        reason=reason, work=work,
    )  # fmt: skip


def discard_job(*, task_id: str, actor: str, reason: str = "") -> Done:
    """Discard one job. Raises NotFound, and NotApplicable when it is not parked."""

    def run(wanted: JobFilter) -> Done:
        return discard_jobs(wanted=wanted, expected=1, actor=actor, reason=reason)

    return act_on_one(task_id=task_id, states=(JobState.PARKED,), verb="discarded", run=run)
