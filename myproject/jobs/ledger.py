"""Every change of a job's row, in SQL.

The insert rides the caller's transaction and the close rides the body's, so each is one statement, and each names the
life (`epoch`) and the state that it expects: of two processes one wins, and the other one reads that from the count.
Times are by the database's clock, never by a host's. Nothing here commits; whoever calls owns the transaction.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from typing import Any, ClassVar, NamedTuple, cast

from django.db import DEFAULT_DB_ALIAS, DatabaseError, OperationalError, connections, transaction

from myproject.databases.riding import Riding, Statement
from myproject.jobs.errors import is_lock_wait
from myproject.jobs.failpoints import hit
from myproject.jobs.statements import PATIENCE, dialect, server_of, statements_for
from myproject.jobs.states import JobState

#: Seconds that a published message may stay unanswered before the relay looks. It costs nothing on the fast path; less
#: would only have the relay look at jobs that wait their turn in a worker.
LOST_AFTER = 5.0


class EventKind(StrEnum):
    """What a row of a job's history says."""

    KILLED = "killed"
    PARKED = "parked"
    EXPIRED = "expired_lease"
    REPLAYED = "replayed"
    DISCARDED = "discarded"
    CANCELLED = "cancelled"
    TERMINATED = "terminated"


class Row(NamedTuple):
    """What is needed of a job to publish and to run it, in the order of COLUMNS."""

    id: str
    app: str
    task: str
    queue: str
    priority: int
    state: int
    epoch: int
    attempts: int
    deliveries: int
    token: int
    holder: str | None
    root_id: str | None
    parent_id: str | None
    group_id: str | None
    body: str
    headers: str | None
    options: str | None


COLUMNS = ", ".join(Row._fields)
#: Columns that most new jobs leave empty.
FURTHER = ("root_id", "parent_id", "group_id", "headers", "options")
#: Names that stand in a statement as they are: letters, digits and what module paths are made of.
_HARMLESS = re.compile(r"[\w.:-]+", re.ASCII).fullmatch


@dataclass(slots=True, kw_only=True)  # not frozen: that takes twice as long to make
class NewJob:
    """A job to insert, with its business keys as pairs of name and value. It is the first message of its first life.

    `delay` is in seconds; None publishes on commit. `headers` and `options` are JSON or None.
    """

    epoch: ClassVar[int] = 0
    delivery: ClassVar[int] = 0

    id: str
    app: str
    task: str
    queue: str
    priority: int
    body: str
    headers: str | None = None
    options: str | None = None
    root_id: str | None = None
    parent_id: str | None = None
    group_id: str | None = None
    delay: float | None = None
    keys: tuple[tuple[str, str], ...] = ()


def now_sql() -> str:
    """Return the SQL expression of this moment, for statements that have parameters (its `%` are doubled)."""
    return dialect().now


def later_sql() -> str:
    """Return the SQL expression of a moment that lies `%s` seconds ahead."""
    return dialect().later


def execute(sql: str, parameters: Sequence[Any]) -> int:
    """Run one statement; return the count of rows."""
    with connections[DEFAULT_DB_ALIAS].cursor() as cursor:
        cursor.execute(sql, parameters)
        return int(cursor.rowcount)


def _briefly(
    run: Callable[[str, Sequence[Any]], int], sql: str, parameters: Sequence[Any], *, task_id: str, epoch: int
) -> int:
    """Have `run` run a statement on one row that does not wait for long; return the count of rows.

    That is 0 when there is no such open row, or another process goes on having it.
    """
    try:
        return run(sql, parameters) or _once_free(sql, parameters, task_id=task_id, epoch=epoch)
    except OperationalError as error:
        if not is_lock_wait(error):
            raise
        return 0


def _once_free(sql: str, parameters: Sequence[Any], *, task_id: str, epoch: int) -> int:
    """Run a statement again that changed nothing on MySQL: it passes over a row that somebody has at the moment."""
    if not dialect().passes_over:
        return 0
    row = read(task_id)
    if row is None or row.epoch != epoch or row.state > JobState.RUNNING or lock_patiently(task_id) is None:
        return 0
    return execute(sql, parameters)


def fetch(sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    """Run one query; return all its rows."""
    with connections[DEFAULT_DB_ALIAS].cursor() as cursor:
        cursor.execute(sql, parameters)
        return list(cursor.fetchall())


def moment(value: datetime | str) -> datetime:
    """Return what a server answered for a moment, which is in UTC."""
    return (datetime.fromisoformat(value) if isinstance(value, str) else value).replace(tzinfo=UTC)


def database_now() -> datetime:
    """Return the database's time: the clock of every row."""
    ((found,),) = fetch(f"SELECT {now_sql()}")
    return moment(found)


def insert(job: NewJob) -> None:
    """Write the row of a new job into the caller's transaction. Raises IntegrityError for an id that exists."""
    for sql, parameters in insertion([job]):
        execute(sql, parameters)


def insertion(jobs: Sequence[NewJob]) -> list[Statement]:
    """Return the statements that write new jobs and their keys: one for all rows that have the same columns."""
    server = server_of(connections[DEFAULT_DB_ALIAS])
    found: dict[str, tuple[list[str], list[Any]]] = {}
    for job in jobs:
        further = {name: value for name in FURTHER if (value := getattr(job, name)) is not None}
        state, seconds = (1, LOST_AFTER) if job.delay is None else (0, job.delay)
        text, values, unusual = _insert_text(server, job.app, job.task, job.queue, job.priority, state, tuple(further))
        rows, parameters = found.setdefault(text, ([], []))
        rows.append(values)
        parameters += (job.id, job.body, seconds, *unusual, *further.values())
        for name, value in job.keys:
            rows, parameters = found.setdefault("INSERT INTO jobs_jobkey (job_id, name, value)", ([], []))
            rows.append("(%s,%s,%s)")
            parameters += (job.id, name, value)
    return [(f"{text} VALUES {','.join(rows)}", parameters) for text, (rows, parameters) in found.items()]


@lru_cache(maxsize=1024)
def _insert_text(
    server: str, app: str, task: str, queue: str, priority: int, state: int, further: tuple[str, ...]
) -> tuple[str, str, tuple[str, ...]]:
    """Return the INSERT of such a job, its values, and the names that are parameters because they need escaping.

    Each parameter costs the driver 1.5 us, and most values are the same from call to call.
    """
    found = statements_for(server)
    names = (app, task, queue)
    columns = ", ".join(("id, body, due_at, created_at, app, task, queue, priority, state", *further))
    known = ",".join(f"'{name}'" if _HARMLESS(name) else "%s" for name in names)
    values = f"(%s,%s,{found.later},{found.now},{known},{int(priority)},{state}{',%s' * len(further)})"
    unusual = tuple(name for name in names if not _HARMLESS(name))
    return f"INSERT INTO jobs_job ({columns})", values, unusual


def _select(task_id: str, *, suffix: str = "") -> Row | None:
    found = fetch(f"SELECT {COLUMNS} FROM jobs_job WHERE id=%s{suffix}", (task_id,))
    return Row(*found[0]) if found else None


def read(task_id: str) -> Row | None:
    """Return the row of a job as it is committed (or written by this transaction); None when there is none."""
    return _select(task_id)


def lock(task_id: str, *, epoch: int | None = None) -> Row | None:
    """Return the open row of that life, locked until the transaction ends; None when it is closed or another life."""
    row = _select(task_id, suffix=dialect().lock)
    return row if row and row.state <= JobState.RUNNING and epoch in (None, row.epoch) else None


def lock_patiently(task_id: str, *, patience: float = PATIENCE) -> Row | None:
    """Return a job's row, locked, or None when it is locked by somebody else for `patience` seconds, or not there.

    A row that is not there is not waited for: 150 messages of rows that were gone kept four processes for 40 s.
    """
    end = time.monotonic() + patience
    while (row := _select(task_id, suffix=dialect().skip)) is None and time.monotonic() < end:
        if read(task_id) is None:
            return None
        time.sleep(0.02)
    return row


def own_connection() -> Riding:
    """Return this thread's connection to the database of the jobs."""
    return cast(Riding, connections[DEFAULT_DB_ALIAS])


@contextmanager
def closing(task_id: str, *, epoch: int, retention: float) -> Iterator[bool]:
    """Begin the transaction of a body with the close of its queued job; yield whether that is this message's to run.

    It is not, either, when another process has the row for longer than a moment: a body, whose copy this message is.
    If that one dies, the row is queued as it was, and the relay sends it again.
    """
    with ExitStack() as stack:

        def begin(sql: str, parameters: Sequence[Any]) -> int:
            return stack.enter_context(own_connection().atomic_with(sql, parameters))

        values = (retention, task_id, epoch)
        yield _briefly(begin, dialect().close, values, task_id=task_id, epoch=epoch) == 1


def count_start(task_id: str, *, epoch: int) -> int | None:
    """Count the start of a job that was delivered again; commit. Return its attempts; None when it is not to be run.

    Counting at the start and not at the delivery: one kill redelivers every message that the dead worker had reserved,
    and those jobs did nothing.
    """
    with transaction.atomic():
        row = lock_patiently(task_id)
        if row is None or row.epoch != epoch or row.state != JobState.QUEUED:
            return None
        execute(dialect().count_start, (LOST_AFTER, task_id, epoch))
    hit("start.counted")
    return row.attempts + 1


def claim(task_id: str, *, epoch: int, holder: str, lease: float) -> int | None:
    """Claim a queued job in lease mode for `lease` seconds. Return its fencing token; None when it is not to be run."""
    hit("claim.before")
    found = dialect()
    with connections[DEFAULT_DB_ALIAS].cursor() as cursor:
        cursor.execute(found.claim, (holder, lease, task_id, epoch))
        if connections[DEFAULT_DB_ALIAS].vendor == "sqlite":
            returned = cursor.fetchone()
            token = returned[0] if returned else None
        else:
            token = cursor.lastrowid if cursor.rowcount == 1 else None
    return token


def extend(task_id: str, *, token: int, lease: float) -> bool:
    """Renew a lease. False: it ended, and the job may be somebody else's."""
    return execute(dialect().extend, (lease, task_id, token)) == 1


def extend_slot(key: str, task_id: str, *, lease: float) -> None:
    """Renew the place of a running job under its concurrency key."""
    sql = f"UPDATE jobs_concurrencyslot SET until={dialect().later} WHERE `key`=%s AND job_id=%s"
    execute(sql, (lease, key, task_id))


def release(task_id: str, *, token: int, retention: float) -> bool:
    """Close a job that this process has claimed. False: the lease ended and its outcome is not ours to write."""
    return execute(dialect().release, (retention, task_id, token)) == 1


def snooze(
    task_id: str, *, epoch: int, seconds: float, token: int = 0, uncount: int = 0, holder: str | None = None
) -> bool:
    """Put a job back for `seconds` without using anything up.

    False: it is not this message's, or another process goes on having it. Who claimed it (`token`) leaves `holder`
    behind where the outcome is unknown. Who did not leaves the row's as it is: it tells of an earlier run.
    """
    values = (seconds, token, holder, uncount, uncount, task_id, epoch, token, token)
    return _briefly(execute, dialect().snooze, values, task_id=task_id, epoch=epoch) == 1


def rearm(job: NewJob, *, epoch: int, state: JobState, token: int = 0, meta: str | None = None) -> bool:
    """Begin the next life of a job: a retry, or the task that replaces it.

    The present life is `epoch`, in `state`: succeeded within the body's own transaction, running (then `token` is the
    caller's) in lease mode, replaced when the replacement reports. False: the job moved on without the caller.
    """
    hit("rearm.before")
    new_state, seconds = (1, LOST_AFTER) if job.delay is None else (0, job.delay)
    what = (job.app, job.task, job.queue, job.priority, job.body, job.headers, job.options)
    links = (job.root_id, job.parent_id, job.group_id)
    return execute(dialect().rearm, (new_state, seconds, meta, *what, *links, job.id, epoch, state, token, token)) == 1


def finish(
    task_id: str,
    *,
    state: JobState,
    meta: str | None,
    retention: float,
    error: str | None = None,
    fingerprint: str | None = None,
    closed_here: bool = False,
) -> bool:
    """Close a job that is open, or replaced by the one that reports now. False: it was closed already.

    `closed_here` says that the close is this very transaction's first statement, so that its outcome is still ours.
    """
    sql = dialect().settle if closed_here else dialect().finish
    if not closed_here:
        execute("DELETE FROM jobs_uniquekey WHERE job_id=%s", (task_id,))
    return execute(sql, (state, retention, meta, error[:255] if error else None, fingerprint, task_id)) == 1


def set_attempts(task_id: str, attempts: int) -> None:
    """Write how many starts and deaths count against a job that this transaction has locked."""
    execute("UPDATE jobs_job SET attempts=%s WHERE id=%s", (attempts, task_id))


def revive(task_id: str, *, epoch: int, attempts: int, seconds: float) -> bool:
    """Put back a job whose process died, to run again in `seconds`, as one that was delivered before.

    Its holder stays: what it did is not known.
    """
    return execute(dialect().revive, (seconds, attempts, task_id, epoch)) == 1


def cancel_waiting(task_id: str, *, retention: float) -> bool:
    """Cancel a job that has not begun."""
    return execute(dialect().cancel, (retention, task_id)) == 1


def postpone(task_id: str, *, seconds: float) -> bool:
    """Move the time of a job that has not begun to `seconds` from now."""
    return execute(dialect().postpone, (seconds, task_id)) == 1


def record(
    task_id: str,
    kind: EventKind,
    *,
    epoch: int,
    attempts: int,
    error: str | None = None,
    fingerprint: str | None = None,
    traceback: str | None = None,
    worker: str | None = None,
    actor: str | None = None,
) -> None:
    """Add a line to a job's history."""
    error = error[:255] if error else None
    execute(dialect().event, (task_id, kind, epoch, attempts, error, fingerprint, traceback, worker, actor))


def is_running(task_id: str) -> bool:
    """Tell whether a queued row is locked by a body at this moment. Always False on SQLite, which locks no rows."""
    connection = connections[DEFAULT_DB_ALIAS]
    if connection.vendor == "sqlite":
        return False
    # A shared lock, for as long as the statement takes: two who ask at once do not take each other for a body.
    shared = "LOCK IN SHARE MODE" if connection.mysql_is_mariadb else "FOR SHARE"  # type: ignore[attr-defined]
    with suppress(DatabaseError), transaction.atomic():
        return not fetch(f"SELECT 1 FROM jobs_job WHERE id=%s {shared} SKIP LOCKED", (task_id,))
    return False
