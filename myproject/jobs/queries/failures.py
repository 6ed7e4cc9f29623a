"""What fails, grouped by its cause."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice

from django.db.models import QuerySet

from myproject.jobs.models import Job
from myproject.jobs.queries.filters import JobFilter
from myproject.jobs.queries.jobs import CHUNK, MOST_COUNTED, Count
from myproject.jobs.queries.walk import walk
from myproject.jobs.states import JobState


@dataclass(kw_only=True)
class Failure:
    """Jobs of one task whose last error has one cause. `example` is the last of them."""

    task: str
    fingerprint: str
    error: str
    example: str
    value: int = 0
    more: bool = False
    first: datetime | None = None
    last: datetime | None = None
    queues: set[str] = field(default_factory=set)

    @property
    def count(self) -> Count:
        """How many they are, or how many of the jobs that were looked at."""
        return Count(self.value, more=self.more)

    def add(self, job: Job) -> None:
        """Count one more."""
        self.value += 1
        self.queues.add(job.queue)
        moment = job.finished_at or job.created_at
        self.first = min(self.first or moment, moment)
        if self.last is None or moment >= self.last:
            self.last, self.example, self.error = moment, job.id, job.error or ""


def group_failures(wanted: JobFilter | None = None, *, most: int = MOST_COUNTED) -> list[Failure]:
    """Return the failures among the jobs of the filter, the most frequent first; without a filter, of parked jobs.

    The last `most` of them are looked at. Jobs without an error are left out.
    """
    wanted = wanted or JobFilter(states=(JobState.PARKED,))
    found: dict[tuple[str, str], Failure] = {}
    places = walk(wanted)
    examined = 0
    while ids := [task_id for _, task_id in islice(places, min(CHUNK, most - examined))]:
        examined += len(ids)
        for job in _failed(wanted, ids):
            key = (job.task, job.fingerprint or "")
            if key not in found:
                found[key] = Failure(task=job.task, fingerprint=key[1], error=job.error or "", example=job.id)
            found[key].add(job)
    more = next(places, None) is not None
    for failure in found.values():
        failure.more = more
    return sorted(found.values(), key=lambda failure: (-failure.value, failure.task, failure.fingerprint))


def _failed(wanted: JobFilter, ids: Sequence[str]) -> QuerySet[Job]:
    rows = Job.objects.filter(wanted.condition, id__in=ids).exclude(error=None)
    return rows.only("id", "task", "queue", "error", "fingerprint", "finished_at", "created_at")
