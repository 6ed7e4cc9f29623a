"""Cancelling before a job starts, one, many, or a workflow with everything that would follow."""

from __future__ import annotations

from django.db import transaction

from myproject.jobs.actions.bulk import Done, act_on_all, act_on_one, app_of, audit, check_actor
from myproject.jobs.canvas import WORKFLOW_CANCELLED
from myproject.jobs.models import Job, JobEvent
from myproject.jobs.queries.filters import JobFilter, database_now
from myproject.jobs.queries.jobs import count_exactly, get_job
from myproject.jobs.states import JobState

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
    root = get_job(task_id).root_id or task_id
    wanted = JobFilter(root=root, states=WAITING)
    with transaction.atomic():
        row = Job.objects.filter(id=root).only("epoch", "attempts").first()
        # The first job may be pruned; then nothing of the workflow is running that could send more by itself.
        if row is not None:
            JobEvent.objects.create(
                job_id=root, at=database_now(), kind=WORKFLOW_CANCELLED, epoch=row.epoch, attempts=row.attempts,
                error=reason or None, actor=actor,
            )  # fmt: skip
        audit(actor=actor, action="cancel_workflow", filters={"root": root}, count=0, reason=reason)
    counted = count_exactly(wanted)
    # What a running step had sent when the note was written is cancelled, too: hence the slack.
    return cancel_jobs(wanted=wanted, expected=counted, actor=actor, reason=reason, slack=max(counted, 100))


def revoke_row(job: Job, *, reason: str) -> None:
    """Have Celery's backend close a job as REVOKED, in the caller's transaction."""
    app_of(job.app).backend.mark_as_revoked(job.id, reason, None, True)


def sign(what: str, reason: str) -> str:
    """Return the line that a job's history keeps."""
    return f"{what}: {reason}" if reason else what
