"""The way through the jobs of a filter: along one stretch of one index after the other, never by counting off rows.

A lane is a stretch of an index within which the next columns give an order, such as one queue and priority of one
state, where rows lie by `due_at`. The lanes of a group are merged; groups follow each other. A cursor names the last
job seen, so the next page begins in the middle of an index and costs what the first one cost, however deep it lies.
"""

from __future__ import annotations

import base64
import heapq
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from django.db import connection
from django.db.models import Exists, Min, OuterRef, Q, QuerySet

from myproject.errors import InvalidInput
from myproject.jobs.models import Job, JobEvent, JobKey
from myproject.jobs.queries.filters import JobFilter
from myproject.jobs.states import OPEN, JobState

#: Positions that a lane reads at once at most: 500 index entries take about a millisecond.
CHUNK = 500


class Cursor(NamedTuple):
    """The place of a job in the walk: the number of its group, and its key within that."""

    group: int
    key: tuple[Any, ...]

    def encode(self) -> str:
        """Return it as text for links and command lines."""
        parts = [part.isoformat() if isinstance(part, datetime) else part for part in self.key]
        return base64.urlsafe_b64encode(json.dumps([self.group, *parts]).encode()).decode().rstrip("=")

    @classmethod
    def decode(cls, text: str) -> Cursor:
        """Return the cursor that `encode` gave. Raises InvalidInput."""
        try:
            group, *parts = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
            key = tuple(datetime.fromisoformat(part) if len(parts) == 2 and not at else part
                        for at, part in enumerate(parts))  # fmt: skip
            if not isinstance(group, int) or not key:
                raise ValueError
        except (ValueError, TypeError):
            raise InvalidInput(
                "This place in the list does not exist; begin at its first page.", field="after"
            ) from None
        return cls(group, key)


@dataclass(frozen=True, kw_only=True)
class Lane:
    """Rows that lie in one stretch of an index, in the order of the columns `order`, the last of which is unique."""

    rows: QuerySet[Any]
    order: tuple[str, ...] = ("id",)
    descending: bool = False
    job: str = "id"  # the column that holds the job's id
    distinct: bool = False

    def positions(self, after: tuple[Any, ...] | None, *, first: int) -> Iterator[tuple[tuple[Any, ...], str]]:
        """Yield (key, job id) behind `after`, reading `first` of them and then more at a time."""
        signed = [f"-{name}" if self.descending else name for name in self.order]
        size = min(first, CHUNK)
        while True:
            rows = self.rows.filter(self._beyond(after)) if after else self.rows
            rows = rows.order_by(*signed).values_list(*self.order, self.job)
            found = list((rows.distinct() if self.distinct else rows)[:size])
            for row in found:
                yield tuple(row[:-1]), row[-1]
            if len(found) < size:
                return
            after, size = tuple(found[-1][:-1]), min(2 * size, CHUNK)

    def _beyond(self, after: tuple[Any, ...]) -> Q:
        beyond = "lt" if self.descending else "gt"
        *leading, last = zip(self.order, after, strict=True)
        found = Q(**{f"{last[0]}__{beyond}": last[1]})
        for name, value in leading:
            # Written so that the server takes the first condition for a range of its index.
            found = Q(**{f"{name}__{beyond}e": value}) & (Q(**{f"{name}__{beyond}": value}) | found)
        return found


class Group(NamedTuple):
    """Lanes that are merged into one order."""

    lanes: list[Lane]
    descending: bool


def lanes_of(state: JobState, *, queue: str = "") -> list[tuple[str, int]]:
    """Return the (queue, priority) pairs in which jobs of `state` lie, by stepping through the index."""
    rows = Job.objects.filter(state=state)
    if connection.vendor == "mysql":  # which steps by itself ("Using index for group-by")
        rows = rows.filter(queue=queue) if queue else rows
        return [pair[1:] for pair in rows.order_by().values_list("state", "queue", "priority").distinct()]
    found = []
    name: str | None = queue or rows.aggregate(least=Min("queue"))["least"]
    while name is not None:
        here = rows.filter(queue=name)
        priority = here.aggregate(least=Min("priority"))["least"]
        while priority is not None:
            found.append((name, priority))
            priority = here.filter(priority__gt=priority).aggregate(least=Min("priority"))["least"]
        name = None if queue else rows.filter(queue__gt=name).aggregate(least=Min("queue"))["least"]
    return found


def _by_state(wanted: JobFilter) -> Iterator[tuple[int, Group]]:
    """Group by state: open jobs by what comes next, closed ones by what was closed last."""
    for state in wanted.states or tuple(JobState):
        descending = state not in OPEN
        pairs = lanes_of(state, queue=wanted.queue)
        lanes = [
            Lane(
                rows=Job.objects.filter(state=state, queue=queue, priority=priority),
                order=("due_at", "id"),
                descending=descending,
            )
            for queue, priority in pairs
            if queue or not wanted.sent
        ]
        yield int(state), Group(lanes, descending)


def _by_task(wanted: JobFilter) -> Group:
    """By id, the last one first: ids that the platform makes grow with time."""
    rows = Job.objects.filter(task__in=wanted.task_names)
    rows = rows.filter(state__in=wanted.states) if wanted.states else rows
    pairs = rows.order_by().values_list("task", "state").distinct()
    lanes = [Lane(rows=Job.objects.filter(task=name, state=state), descending=True) for name, state in pairs]
    return Group(lanes, descending=True)


def key_names() -> list[str]:
    """Return the names of the business keys that jobs have, by stepping through the index."""
    found = []
    name = JobKey.objects.aggregate(least=Min("name"))["least"]
    while name is not None:
        found.append(name)
        name = JobKey.objects.filter(name__gt=name).aggregate(least=Min("name"))["least"]
    return found


def _groups(wanted: JobFilter) -> Iterator[tuple[int, Group]]:
    """Choose the index: what is rarest first."""
    if wanted.ids:
        yield 0, Group([Lane(rows=Job.objects.filter(id__in=wanted.ids))], descending=False)
    elif wanted.roots:
        sent = Job.objects.filter(root_id__in=wanted.roots).exclude(id__in=wanted.roots)
        rows = (Job.objects.filter(id__in=wanted.roots), sent)
        for number, found in enumerate(rows):
            yield number, Group([Lane(rows=found)], descending=False)
    elif wanted.key:
        names = [wanted.key_name] if wanted.key_name else key_names()
        later = JobKey.objects.filter(job_id=OuterRef("job_id"), value=OuterRef("value"), pk__gt=OuterRef("pk"))
        # A job that has the value under two names is told once, at the later one.
        once = ~Exists(later) if len(names) > 1 else Q()
        keys = [JobKey.objects.filter(once, name=name, value=wanted.key) for name in names]
        yield 0, Group([Lane(rows=found, descending=True, job="job_id") for found in keys], descending=True)
    elif wanted.fingerprint:
        events = JobEvent.objects.filter(fingerprint=wanted.fingerprint)
        yield 0, Group([Lane(rows=events, order=("job_id",), descending=True, job="job_id", distinct=True)], True)
    elif wanted.task:
        yield 0, _by_task(wanted)
    elif wanted.states or wanted.queue:
        yield from _by_state(wanted)
    else:
        yield 0, Group([Lane(rows=Job.objects.all(), descending=True)], descending=True)


def is_exact(wanted: JobFilter) -> bool:
    """Tell whether every job of the walk fits the filter, so that none is read in vain."""
    if wanted.unindexed or wanted.ids or wanted.key:
        return False
    if wanted.roots:
        return not (wanted.states or wanted.task or wanted.queue or wanted.sent)
    return not (wanted.task and (wanted.queue or wanted.sent)) and bool(wanted.states or not wanted.sent)


def walk(wanted: JobFilter, *, after: Cursor | None = None, first: int = CHUNK) -> Iterator[tuple[Cursor, str]]:
    """Yield the place and id of each job on the way through the filter's index; not all of them fit the filter.

    `first` is how many are expected to be enough.
    """
    for number, group in _groups(wanted):
        if after is not None and number < after.group:
            continue
        key = after.key if after is not None and number == after.group else None
        if key is not None and group.lanes and len(key) != len(group.lanes[0].order):
            raise InvalidInput("This place belongs to another list; begin at its first page.", field="after")
        each = max(10, 2 * first // max(1, len(group.lanes)))  # most lanes give less than their share
        lanes = [lane.positions(key, first=each) for lane in group.lanes]
        for place, task_id in heapq.merge(*lanes, reverse=group.descending):
            yield Cursor(number, place), task_id
