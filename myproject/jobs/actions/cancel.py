"""Cancelling before a job starts, one, many, or a workflow with everything that would follow."""

from __future__ import annotations

from django.db import transaction

from myproject.jobs.actions.bulk import BATCH, Done, act_on_all, act_on_one, app_of, audit, check_actor
from myproject.jobs.canvas import WORKFLOW_CANCELLED
from myproject.jobs.models import Job
from myproject.jobs.queries.filters import JobFilter
from myproject.jobs.queries.jobs import count_exactly
from myproject.jobs.queries.workflow import find_roots
from myproject.jobs.states import JobState
from myproject.jobs.steering_sql import record_all

#: What can be cancelled: it has not begun.
WAITING = (JobState.SCHEDULED, JobState.QUEUED)


def cancel_jobs(*, wanted: JobFilter, expected: int, actor: str, reason: str = "", slack: int = 0) -> Done:
    """Cancel every job of the filter that has not begun, for good. See `act_on_all`.

    Celery's users see it as REVOKED; a chord that it is a part of fails, its unique key is free. Messages that are out
    run nothing.
    """

    def work(jobs: list[Job]) -> tuple[int, list[tuple[str, str]]]:
        for job in jobs:
            revoke_row(job, reason=sign(f"cancelled by {actor}", reason))
        return len(jobs), []

    return act_on_all(
        action="cancel", wanted=wanted, states=WAITING, expected=expected, slack=slack, actor=actor, reason=reason,
        work=work,
    )  # fmt: skip


def cancel_job(*, task_id: str, actor: str, reason: str = "") -> Done:
    """Cancel one job. Raises NotFound, and NotApplicable when it has begun or ended."""

    def run(wanted: JobFilter) -> Done:
        return cancel_jobs(wanted=wanted, expected=1, actor=actor, reason=reason)

    return act_on_one(task_id=task_id, states=WAITING, verb="cancelled", run=run)


def cancel_workflow(*, task_id: str, actor: str, reason: str = "") -> Done:
    """Cancel what has not started of the workflow that a job belongs to, and what would follow. Raises NotFound.

    Steps that are running end as they would; nothing is sent after them. Retrying a step lets the workflow go on.
    """
    check_actor(actor, reason)
    found, _ = find_roots(task_id)
    roots = sorted(found)
    count = counted = 0
    left: list[tuple[str, str]] = []
    for start in range(0, len(roots), BATCH):
        part = roots[start : start + BATCH]
        with transaction.atomic():
            # Before anything is cancelled, so that no running step sends more. A first job that is pruned has no line.
            record_all(part, WORKFLOW_CANCELLED, actor=actor, text=reason)
            audit(actor=actor, action="cancel_workflow", filters={"roots": part}, count=len(part), reason=reason)
        wanted = JobFilter(roots=tuple(part), states=WAITING)
        expected = count_exactly(wanted.within(WAITING))
        # What a running step had sent when the line was written is cancelled, too: hence the slack.
        done = cancel_jobs(wanted=wanted, expected=expected, actor=actor, reason=reason, slack=max(expected, 100))
        count, counted, left = count + done.count, counted + done.counted, [*left, *done.left]
    return Done(action="cancel_workflow", count=count, counted=counted, left=tuple(left))


def revoke_row(job: Job, *, reason: str) -> None:
    """Have Celery's backend close a job as REVOKED, in the caller's transaction."""
    app_of(job.app).backend.mark_as_revoked(job.id, reason, None, True)


def sign(what: str, reason: str) -> str:
    """Return the line that a job's history keeps."""
    return f"{what}: {reason}" if reason else what
