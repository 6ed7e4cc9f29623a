"""Jobs in words and columns, for people at a terminal; and as plain values, for programs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from myproject.jobs.models import Control, Job
from myproject.jobs.queries.backlog import Backlog
from myproject.jobs.queries.failures import Failure
from myproject.jobs.queries.history import Moment
from myproject.jobs.queries.workflow import Workflow

#: Characters of an error in a list: the beginning tells which it is.
SHORT_ERROR = 60

_UNITS = ((86_400, "d"), (3_600, "h"), (60, "m"))


def age(seconds: float | None) -> str:
    """Return a duration as people say it: `12 s`, `3 m`, `2 h`, `5 d`."""
    if seconds is None:
        return ""
    for unit, name in _UNITS:
        if abs(seconds) >= 2 * unit:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds:.0f} s"


def columns(rows: Sequence[Sequence[Any]], *, head: Sequence[str]) -> Iterator[str]:
    """Yield the lines of a table. Numbers stand at the right."""
    texts = [[_text(value) for value in row] for row in rows]
    widths = [max(len(line[at]) for line in [list(head), *texts]) for at in range(len(head))]
    right = [bool(rows) and all(isinstance(row[at], int) for row in rows) for at in range(len(head))]
    for line in [list(head), *texts]:
        cells = [
            text.rjust(width) if number else text.ljust(width)
            for text, width, number in zip(line, widths, right, strict=True)
        ]
        yield "  ".join(cells).rstrip()


def _text(value: Any) -> str:
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S")
    return f"{value:,}" if isinstance(value, int) else str(value if value is not None else "")


def job_lines(jobs: Sequence[Job], *, now: datetime) -> Iterator[str]:
    """Yield a list of jobs."""
    rows = [
        (
            job.id,
            job.get_state_display(),
            job.task,
            job.queue,
            job.priority,
            age((now - job.created_at).total_seconds()),
            job.attempts,
            (job.error or "")[:SHORT_ERROR],
        )
        for job in jobs
    ]
    return columns(rows, head=("id", "state", "task", "queue", "priority", "age", "attempts", "error"))


def job_json(job: Job) -> dict[str, Any]:
    """Return what a list tells of a job."""
    names = ("id", "app", "task", "queue", "priority", "epoch", "attempts", "deliveries", "created_at", "due_at",
             "started_at", "finished_at", "root_id", "parent_id", "group_id", "error", "fingerprint")  # fmt: skip
    found = {name: getattr(job, name) for name in names}
    return {"id": found.pop("id"), "state": job.get_state_display(), **found}


def history_lines(moments: Sequence[Moment], *, traces: bool) -> Iterator[str]:
    """Yield a job's history, with the tracebacks if they are asked for."""
    for moment in moments:
        by = f" by {moment.by}" if moment.by else ""
        life = f" (life {moment.epoch}, {moment.attempts} attempts)" if moment.epoch or moment.attempts else ""
        yield f"{_text(moment.at)}  {moment.kind}{by}{life}{f': {moment.error}' if moment.error else ''}"
        if traces and moment.traceback:
            yield from (f"    {line}" for line in moment.traceback.rstrip().splitlines())


def workflow_lines(workflow: Workflow) -> Iterator[str]:
    """Yield the graph of a workflow."""
    for line in workflow.lines:
        margin = "   " * line.depth
        if line.job is None:
            yield f"{margin}   ... and {_counts(line.folded)}"
            continue
        sign = "-> " if line.follows else "*  " if line.depth else ""
        yield f"{margin}{sign}{line.job.task}  {line.job.get_state_display()}  {line.job.id}"
    for chord in workflow.chords:
        yield f"chord {chord.id}: {chord.returned} of {chord.size} parts, body {'sent' if chord.fired else 'not sent'}"
    yield f"{_counts(workflow.counts)}{'' if workflow.complete else '; there are more than can be shown'}"


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {state}" for state, count in counts.items())


def backlog_lines(found: Sequence[Backlog]) -> Iterator[str]:
    """Yield the backlog."""
    rows = [
        (
            row.queue,
            row.scheduled,
            row.queued,
            row.running,
            age(row.oldest),
            age(row.overdue),
            str(row.hold.action) if row.hold else "",
        )
        for row in found
    ]
    return columns(rows, head=("queue", "scheduled", "queued", "running", "oldest", "overdue", "held"))


def backlog_json(row: Backlog) -> dict[str, Any]:
    """Return the backlog of a queue."""
    counts = {name: getattr(row, name) for name in ("scheduled", "queued", "running")}
    return {
        "queue": row.queue,
        **{name: count.value for name, count in counts.items()},
        "more": [name for name, count in counts.items() if count.more],
        "oldest": row.oldest,
        "overdue": row.overdue,
        "hold": str(row.hold) if row.hold else None,
    }


def failure_lines(found: Sequence[Failure]) -> Iterator[str]:
    """Yield failures grouped by cause."""
    rows = [(row.count, row.task, row.fingerprint, row.last, row.error[:SHORT_ERROR], row.example) for row in found]
    return columns(rows, head=("count", "task", "fingerprint", "last", "error", "example"))


def failure_json(row: Failure) -> dict[str, Any]:
    """Return one group of failures."""
    names = ("task", "fingerprint", "error", "example", "first", "last", "more")
    return {"count": row.value, **{name: getattr(row, name) for name in names}, "queues": sorted(row.queues)}


def control_lines(found: Sequence[Control]) -> Iterator[str]:
    """Yield what is held."""
    rows = [(row.kind, row.name, row.action, row.since, row.actor, row.reason) for row in found]
    return columns(rows, head=("kind", "name", "held by", "since", "actor", "reason"))


def control_json(row: Control) -> dict[str, Any]:
    """Return one hold."""
    return {name: getattr(row, name) for name in ("kind", "name", "action", "since", "actor", "reason")}
