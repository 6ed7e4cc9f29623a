"""The history of one job: what happened to it, and what operators did that reached it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from myproject.jobs.models import Job, JobEvent, JobKey

#: The most events that are shown of one job: a task that retries every minute writes 1,440 a day.
MOST_EVENTS = 500


@dataclass(frozen=True, kw_only=True)
class Moment:
    """One line of a job's history."""

    at: datetime
    kind: str
    epoch: int = 0
    attempts: int = 0
    error: str = ""
    fingerprint: str = ""
    traceback: str = ""
    by: str = ""  # the worker, or the operator


def read_history(job: Job) -> list[Moment]:
    """Return what happened to a job, in order: it was created, each event, it began, it was closed."""
    events = list(JobEvent.objects.filter(job_id=job.id).order_by("-id")[:MOST_EVENTS])
    found = [
        Moment(
            at=event.at,
            kind=event.kind,
            epoch=event.epoch,
            attempts=event.attempts,
            error=event.error or "",
            fingerprint=event.fingerprint or "",
            traceback=event.traceback or "",
            by=event.actor or event.worker or "",
        )
        for event in events
    ]
    found.append(Moment(at=job.created_at, kind="created"))
    if job.started_at is not None:
        found.append(Moment(at=job.started_at, kind="started", epoch=job.epoch, by=job.holder or ""))
    label = job.get_state_display()
    if job.finished_at is not None and not any(event.kind == label for event in events):
        found.append(Moment(at=job.finished_at, kind=label, epoch=job.epoch, attempts=job.attempts))
    return sorted(found, key=lambda moment: moment.at)


def read_keys(task_id: str) -> dict[str, str]:
    """Return the business keys of a job."""
    return dict(JobKey.objects.filter(job_id=task_id).order_by("name").values_list("name", "value"))
