"""Which calls of a task still stand: their jobs are open, or parked and wait for a person.

Asked by whoever looks for work that was left undone, before it promises the work once more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from celery import current_app
from kombu.utils.json import loads

from myproject.jobs.aliases import old_names
from myproject.jobs.keys import arguments
from myproject.jobs.models import Job, JobKey
from myproject.jobs.states import OPEN, JobState

#: Values of one statement: below every database's limit of parameters.
BATCH = 500


@dataclass(frozen=True, slots=True)
class Standing:
    """The calls of one task that stand, each as the tuple of its arguments, defaults included."""

    open: frozenset[tuple[Any, ...]]
    parked: frozenset[tuple[Any, ...]]


def standing_calls(*, task: str, key: str, values: Sequence[Any]) -> Standing:
    """Return the calls of `task`, by any of its names, whose business key `key` has one of these values."""
    registered = current_app.tasks[task]
    names = (task, *old_names(task))
    found: dict[bool, set[tuple[Any, ...]]] = {True: set(), False: set()}
    wanted = [str(value) for value in dict.fromkeys(values)]
    for start in range(0, len(wanted), BATCH):
        ids = JobKey.objects.filter(name=key, value__in=wanted[start : start + BATCH]).values("job_id")
        jobs = Job.objects.filter(id__in=ids, task__in=names, state__in=(*OPEN, JobState.PARKED))
        for state, body in jobs.values_list("state", "body"):
            args, kwargs, *_ = loads(body)
            found[state == JobState.PARKED].add(tuple(arguments(registered, args, kwargs).values()))
    return Standing(open=frozenset(found[False]), parked=frozenset(found[True]))
