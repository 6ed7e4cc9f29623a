"""The states of a job, what may follow what, and the state that Celery's users see for each."""

from __future__ import annotations

from celery import states as celery_states
from django.db import models

from myproject.states import state_table


class JobState(models.IntegerChoices):
    """Where a job is. Numbers, because the relay's index begins with them; open states are the smallest."""

    SCHEDULED = 0, "scheduled"  # its time has not come, or it was put back: no message of it is out
    QUEUED = 1, "queued"  # a message is out; `due_at` is when that message counts as lost
    RUNNING = 2, "running"  # claimed in lease mode; `due_at` is the end of the lease
    SUCCEEDED = 3, "succeeded"
    PARKED = 4, "parked"  # given up, with its error; kept until somebody retries or discards it
    CANCELLED = 5, "cancelled"
    REPLACED = 6, "replaced"  # `Task.replace`: another task delivers the result under this id
    IGNORED = 7, "ignored"  # the body raised Ignore
    DISCARDED = 8, "discarded"  # parked, and an operator decided that it stays undone


OPEN = (JobState.SCHEDULED, JobState.QUEUED, JobState.RUNNING)
CLOSED = tuple(state for state in JobState if state not in OPEN)

#: What the statements of `statements.py`, of the relay and of the operators do, as a transaction leaves it behind: a
#: test tries each of them from each state. `running` to `scheduled` is an expired lease, a death or a retry. A job that
#: is closed lives again when an operator retries it, or when the task that replaced it takes its id; a job that waits
#: is parked when the step before it failed.
TABLE = state_table(
    "job",
    {
        "scheduled": {"queued", "parked", "cancelled"},
        "queued": {"scheduled", "queued", "running", "succeeded", "parked", "cancelled", "replaced", "ignored"},
        "running": {"scheduled", "queued", "succeeded", "parked", "cancelled", "replaced", "ignored"},
        "succeeded": set(),
        "parked": {"scheduled", "discarded"},
        "cancelled": {"scheduled"},
        "replaced": {"scheduled", "queued", "succeeded", "parked", "cancelled"},
        "ignored": set(),
        "discarded": {"scheduled"},
    },
)

#: What `AsyncResult.state` says. A job that is retrying says RETRY: that stands in the row's `meta`.
CELERY_STATES = {
    JobState.SCHEDULED: celery_states.PENDING,
    JobState.QUEUED: celery_states.PENDING,
    JobState.RUNNING: celery_states.STARTED,
    JobState.SUCCEEDED: celery_states.SUCCESS,
    JobState.PARKED: celery_states.FAILURE,
    JobState.CANCELLED: celery_states.REVOKED,
    JobState.REPLACED: celery_states.PENDING,
    JobState.IGNORED: celery_states.IGNORED,
    JobState.DISCARDED: celery_states.FAILURE,
}
