"""The graph of a workflow, read from the rows of its jobs."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from myproject.jobs.chords import flat
from myproject.jobs.models import Chord, Job
from myproject.jobs.queries.filters import JobFilter
from myproject.jobs.queries.jobs import CHUNK, batches, get_job
from myproject.jobs.states import JobState

#: The most jobs of a workflow that are read for its graph: a page with more is not read by anybody.
MOST_JOBS = 2_000
#: Sisters that are told one by one; of larger groups the rest is counted by state.
MOST_SISTERS = 20

COLUMNS = ("id", "task", "state", "root_id", "parent_id", "group_id", "created_at", "error", "attempts")


@dataclass(frozen=True, kw_only=True)
class Line:
    """A job in the graph, in the order of reading.

    `depth` grows where a job sent several: a chain stays in one column, and `follows` marks its steps. `folded`
    counts by state the sisters that are not told apart; `job` is None on the line that tells of them.
    """

    job: Job | None
    parent: str | None = None
    depth: int = 0
    follows: bool = False
    folded: dict[str, int] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        found: dict[str, Any] = {"parent": self.parent, "depth": self.depth}
        if self.job is None:
            return found | {"folded": self.folded}
        state = self.job.get_state_display()
        return found | {"id": self.job.id, "task": self.job.task, "state": state, "group": self.job.group_id}


@dataclass(frozen=True, kw_only=True)
class Workflow:
    """Everything that came from one call."""

    id: str
    lines: list[Line]
    counts: dict[str, int]
    chords: list[Chord]
    complete: bool = True

    def as_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        chords = [{"id": c.id, "size": c.size, "returned": c.returned, "fired": c.fired} for c in self.chords]
        jobs = [line.as_json() for line in self.lines]
        return {"id": self.id, "counts": self.counts, "complete": self.complete, "chords": chords, "jobs": jobs}


def read_workflow(task_id: str, *, sisters: int = MOST_SISTERS) -> Workflow:
    """Return the workflow that a job belongs to: who sent whom, and how far each is. Raises NotFound."""
    roots, chords = find_roots(task_id, most=MOST_JOBS)
    jobs, complete = _read_jobs(sorted(roots))
    known = {job.id for job in jobs}
    children: dict[str | None, list[Job]] = defaultdict(list)
    for job in sorted(jobs, key=lambda job: (job.created_at, job.id)):
        lost = job.id in roots or job.parent_id == job.id or job.parent_id not in known  # such as a pruned parent's
        children[None if lost else job.parent_id].append(job)
    return Workflow(
        id=task_id,
        lines=list(_lines(children, sisters=sisters)),
        counts=dict(Counter(job.get_state_display() for job in jobs)),
        chords=sorted(chords, key=lambda chord: (chord.created_at, chord.id)),
        complete=complete and len(roots) < MOST_JOBS,
    )


def find_roots(task_id: str, *, most: int | None = None) -> tuple[set[str], list[Chord]]:
    """Return the first jobs of everything that belongs together with a job, and its chords. Raises NotFound.

    The parts of a chord that is sent by itself are roots of their own, as in Celery; the chord tells that they belong
    together.
    """
    roots = {get_job(task_id).root_id or task_id}
    chords: dict[str, Chord] = {}
    fresh = set(roots)
    while fresh and (most is None or len(roots) < most):
        groups: set[str] = set()
        for rows in (Job.objects.filter(root_id__in=fresh), Job.objects.filter(id__in=fresh)):  # each by its own index
            found = rows.exclude(group_id=None).order_by().values_list("group_id", flat=True).distinct()
            groups |= {group_id for group_id in found if group_id}
        members: set[str] = set()
        for chord in Chord.objects.filter(id__in=groups - set(chords)):
            chords[chord.id] = chord
            members |= set(_members(chord))
        fresh = _roots_of(sorted(members)[:most]) - roots
        roots |= fresh
    return roots, list(chords.values())


def _members(chord: Chord) -> Iterator[str]:
    """Return the ids of a chord's parts and of its body."""
    kept = json.loads(chord.structure or "{}")
    return flat([kept.get("order") or [], (kept.get("body") or {}).get("id") or []])


def _roots_of(ids: list[str]) -> set[str]:
    found: set[str] = set()
    for start in range(0, len(ids), CHUNK):
        rows = Job.objects.filter(id__in=ids[start : start + CHUNK]).values_list("id", "root_id")
        found |= {root_id or task_id for task_id, root_id in rows}
    return found


def _read_jobs(roots: list[str]) -> tuple[list[Job], bool]:
    jobs: list[Job] = []
    for start in range(0, len(roots), CHUNK):
        for batch in batches(JobFilter(roots=tuple(roots[start : start + CHUNK]))):
            jobs += Job.objects.filter(id__in=[task_id for _, task_id in batch]).only(*COLUMNS)
            if len(jobs) > MOST_JOBS:
                return jobs[:MOST_JOBS], False
    return jobs, True


def _lines(children: dict[str | None, list[Job]], *, sisters: int) -> Iterator[Line]:
    """Walk the tree without recursion: a chain of a thousand steps is a thousand deep."""
    waiting = _row(None, children, depth=0, sisters=sisters)
    while waiting:
        line = waiting.pop()
        yield line
        if line.job is not None:
            waiting += _row(line.job.id, children, depth=line.depth, sisters=sisters)


def _row(parent: str | None, children: dict[str | None, list[Job]], *, depth: int, sisters: int) -> list[Line]:
    """Return the lines of a job's children, the first one last: what went wrong or leads on is told before the rest."""
    jobs = children.get(parent, [])
    depth += int(parent is not None and len(jobs) > 1)
    follows = parent is not None and len(jobs) == 1
    if len(jobs) > sisters:
        striking = {job.id for job in jobs if job.id in children or job.state == JobState.PARKED}
        jobs = sorted(jobs, key=lambda job: job.id not in striking)
    told, rest = jobs[:sisters], jobs[sisters:]
    lines = [Line(job=job, parent=parent, depth=depth, follows=follows) for job in told]
    if rest:
        folded = dict(Counter(job.get_state_display() for job in rest))
        lines.append(Line(job=None, parent=parent, depth=depth, folded=folded))
    return lines[::-1]
