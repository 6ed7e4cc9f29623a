"""Terminating: a job that is running is cancelled, and the process that runs it is stopped."""

from __future__ import annotations

import time
from dataclasses import dataclass

import structlog
from django.db import transaction
from kombu.exceptions import OperationalError

from myproject.jobs.actions.bulk import NotApplicable, app_of, audit, check_actor
from myproject.jobs.actions.cancel import revoke_row, sign
from myproject.jobs.ledger import EventKind
from myproject.jobs.models import ConcurrencySlot, Job
from myproject.jobs.queries.jobs import get_job
from myproject.jobs.states import OPEN, JobState
from myproject.jobs.steering_sql import lock_free, record_all

logger = structlog.get_logger(__name__)

#: Seconds that `terminate_job` waits for a process to die and the server to free its row.
PATIENCE = 10.0
PAUSE = 0.05


@dataclass(frozen=True, kw_only=True)
class Terminated:
    """How a termination ended: `cancelled` says that the job is closed and will not run again, `told` that the workers
    were told to stop it."""

    cancelled: bool
    told: bool
    state: str


def terminate_job(
    *, task_id: str, actor: str, reason: str = "", signal: str = "SIGTERM", patience: float = PATIENCE
) -> Terminated:
    """Cancel a job and stop the process that runs it.

    A lease-mode job is cancelled first: whatever its body still does, its outcome is not written. The body of a
    transaction-mode job holds the row, so it is stopped first, which undoes it, and then cancelled. Effects outside
    the database stay. Raises NotFound, and NotApplicable when the job ended before.
    """
    check_actor(actor, reason)
    job = get_job(task_id)
    if job.state not in OPEN:
        raise NotApplicable(f"The job is {job.get_state_display()} already.", state=job.get_state_display())
    filters = {"ids": [task_id]}
    cancelled = _cancel(task_id, actor=actor, reason=reason)
    told = _tell(job, signal=signal)
    end = time.monotonic() + patience
    while not cancelled and told and time.monotonic() < end:
        time.sleep(PAUSE)
        if get_job(task_id).state not in OPEN:  # it was faster, or the worker has cancelled it
            break
        cancelled = _cancel(task_id, actor=actor, reason=reason)
    job = get_job(task_id)
    cancelled = job.state == JobState.CANCELLED
    audit(actor=actor, action="terminate", filters=filters, count=int(cancelled), reason=reason)
    return Terminated(cancelled=cancelled, told=told, state=job.get_state_display())


def _cancel(task_id: str, *, actor: str, reason: str) -> bool:
    """Cancel a job whose row is free, and free its place among the running. False: its body holds the row."""
    with transaction.atomic():
        if not lock_free([task_id]):
            return False
        job = Job.objects.get(id=task_id)
        if job.state not in OPEN:
            return False
        if job.state == JobState.RUNNING:
            record_all([task_id], EventKind.TERMINATED, actor=actor, text=reason)
        revoke_row(job, reason=sign(f"terminated by {actor}", reason))
        ConcurrencySlot.objects.filter(job_id=task_id).update(job_id=None, until=None)
    return True


def _tell(job: Job, *, signal: str) -> bool:
    """Tell the workers to stop a job. False: the broker is away."""
    try:
        app_of(job.app).control.revoke(job.id, terminate=True, signal=signal)
    except (OperationalError, OSError) as error:
        logger.warning("the workers could not be told to stop a job", task_id=job.id, error=type(error).__name__)
        return False
    return True
