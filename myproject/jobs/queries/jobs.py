"""Lists of jobs, their counts, and one job."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from django.db.models import QuerySet

from myproject.errors import NotFound
from myproject.jobs.models import Job
from myproject.jobs.queries.filters import JobFilter
from myproject.jobs.queries.walk import CHUNK, Cursor, is_exact, walk

PAGE = 50
#: Counts end here and say "10,000+": up to there an index is counted in milliseconds, and nobody reads further.
MOST_COUNTED = 10_000
#: The most jobs that one page looks at for what no index knows (an age, the queue of a task's jobs): about 50 ms. The
#: page then says where it stopped, and the next one goes on from there.
MOST_EXAMINED = 2_000

#: Columns that may be large and that no list shows.
LARGE = ("body", "headers", "options", "meta")


@dataclass(frozen=True, kw_only=True)
class Page:
    """Some jobs of a list. `after` is where the next page begins; empty at the end.

    `examined` tells how many jobs were looked at. A page can be short, or empty, and not the last.
    """

    jobs: list[Job]
    after: str = ""
    examined: int = 0


@dataclass(frozen=True)
class Count:
    """How many there are, or that there are more."""

    value: int
    more: bool = False

    def __str__(self) -> str:
        return f"{self.value:,}{'+' if self.more else ''}"


def batches(
    wanted: JobFilter, *, after: Cursor | None = None, first: int = CHUNK
) -> Iterator[list[tuple[Cursor, str]]]:
    """Yield the places and ids of `walk` in lists of at most CHUNK."""
    places = walk(wanted, after=after, first=first)
    while batch := list(islice(places, min(first, CHUNK))):
        yield batch


def fitting(wanted: JobFilter, ids: list[str]) -> QuerySet[Job]:
    """Return those of `ids` that fit the filter, found by primary key."""
    return Job.objects.filter(wanted.condition, id__in=ids)


def list_jobs(wanted: JobFilter, *, size: int = PAGE, after: str = "") -> Page:
    """Return a page of jobs: open ones by what comes next, closed ones by what was closed last.

    With a task, a business key or without a state, the newest come first. Raises InvalidInput for an unknown `after`.
    """
    first = size + 1 if is_exact(wanted) else CHUNK
    found: list[Job] = []
    examined = 0
    last: Cursor | None = None
    for batch in batches(wanted, after=Cursor.decode(after) if after else None, first=first):
        jobs = {job.id: job for job in fitting(wanted, [task_id for _, task_id in batch]).defer(*LARGE)}
        for place, task_id in batch:
            if len(found) == size:
                return Page(jobs=found, after=last.encode() if last else "", examined=examined)
            if task_id in jobs:
                found.append(jobs.pop(task_id))
            examined, last = examined + 1, place
        if examined >= MOST_EXAMINED:
            return Page(jobs=found, after=last.encode() if last else "", examined=examined)
    return Page(jobs=found, examined=examined)


def count_jobs(wanted: JobFilter, *, most: int = MOST_COUNTED, examined: int = MOST_EXAMINED) -> Count:
    """Count the jobs of a filter up to `most`; where no index knows them, those among the first `examined`."""
    if is_exact(wanted) and not wanted.roots:
        counted = Job.objects.filter(wanted.condition).order_by().values("id")[: most + 1].count()
        return Count(min(counted, most), more=counted > most)
    counted = looked_at = 0
    for batch in batches(wanted):
        if looked_at >= examined:
            return Count(counted, more=True)
        counted += fitting(wanted, [task_id for _, task_id in batch]).count()
        looked_at += len(batch)
    return Count(counted)


def count_exactly(wanted: JobFilter) -> int:
    """Count every job of a filter, however many: what a bulk action asks to be confirmed."""
    if is_exact(wanted) and not wanted.roots:
        return Job.objects.filter(wanted.condition).count()
    return sum(fitting(wanted, [task_id for _, task_id in batch]).count() for batch in batches(wanted))


def get_job(task_id: str) -> Job:
    """Return one job. Raises NotFound."""
    job = Job.objects.filter(id=task_id).first()
    if job is None:
        raise NotFound(f"There is no job {task_id!r}: it never was durable, or it was pruned since.")
    return job


def read_search(text: str) -> JobFilter:
    """Return the filter for what somebody typed: `name=value`, an id, a workflow's id, a key, a task, a fingerprint.

    The first of these that finds a job wins; a text that finds none is taken for a business key.
    """
    text = text.strip()
    name, equals, value = text.partition("=")
    ways = [JobFilter(key_name=name, key=value)] if equals and name and value else []
    ways += [JobFilter(ids=(text,)), JobFilter(roots=(text,)), JobFilter(key=text), JobFilter(task=text)]
    ways += [JobFilter(fingerprint=text)]
    return next((way for way in ways if list_jobs(way, size=1).jobs), JobFilter(key=text))
