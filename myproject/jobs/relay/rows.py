"""What the relay asks of the jobs' table: every statement uses the index `job_due` or the primary key.

Rows are picked by a plain read and then locked by primary key with SKIP LOCKED: a locking read along the index locks
in another order than the workers do, and MySQL answers with deadlocks. Times go in and out as seconds since 1970 by the
database's clock; the tests explain each statement on MariaDB.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from django.db import DEFAULT_DB_ALIAS, connections

from myproject.jobs.ledger import COLUMNS, Row, database_now, execute, fetch, later_sql, moment, now_sql
from myproject.jobs.statements import dialect, marks
from myproject.jobs.states import JobState

#: The rows behind one that was seen, in the order of the index.
PAST = " AND due_at>=%s AND (due_at>%s OR id>%s)"


class Lane(NamedTuple):
    """The rows of one app (None: of any) in one queue with one priority: what is picked and published together."""

    app: str | None
    queue: str
    priority: int


class Head(NamedTuple):
    """The first row of an index range: who is next in one queue and priority, and when."""

    app: str
    queue: str
    priority: int
    due_at: float


class Claimed(NamedTuple):
    """A running row that was read without a lock."""

    id: str
    due_at: float
    token: int
    holder: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """Which rows of a lane are meant: due until `until`; with `flushed`, also those published before that moment.

    A row's last publication is its `due_at` less what `marked` added: `first` seconds at deliveries 0, else `again`.
    """

    until: float
    flushed: float | None = None
    first: float = 0.0
    again: float = 0.0
    without: Collection[str] = ()  # names of tasks that are held

    @property
    def latest(self) -> float:
        """The end of the index range that holds all of them."""
        return self.until if self.flushed is None else max(self.until, self.flushed + max(self.first, self.again))

    def where(self) -> tuple[str, list[Any]]:
        """Return the condition on a row and its parameters."""
        sql, parameters = "due_at<=%s", [stamp(self.latest)]
        if self.flushed is not None:
            sql += " AND (due_at<=%s OR (deliveries=0 AND due_at<=%s) OR (deliveries>0 AND due_at<=%s))"
            parameters += map(stamp, (self.until, self.flushed + self.first, self.flushed + self.again))
        if self.without:
            sql += f" AND task NOT IN ({marks(self.without)})"
            parameters += self.without
        return sql, parameters


def stamp(seconds: float) -> str:
    """Return a moment as both kinds of server compare it."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")


def seconds(value: datetime | str) -> float:
    """Return what a server answered for a moment as seconds since 1970."""
    return moment(value).timestamp()


def has_locks() -> bool:
    """Tell whether the server locks single rows. SQLite has one lock for all, taken at the transaction's begin."""
    return connections[DEFAULT_DB_ALIAS].vendor != "sqlite"


def by_index(table: str = "jobs_job", *, index: str = "job_due") -> str:
    """Return a table with an index named: a plan must not depend on statistics that are an hour old."""
    return f"{table} FORCE INDEX ({index})" if has_locks() else f"{table} INDEXED BY {index}"


def by_key(table: str = "jobs_job") -> str:
    """Return a table with its primary key named: a small table would be read, and locked, as a whole."""
    return f"{table} FORCE INDEX (PRIMARY)" if has_locks() else table


def delete_from(table: str, *, index: str = "PRIMARY") -> str:
    """Return the beginning of a DELETE that uses that index, for the same reason."""
    return f"DELETE {table} FROM {table} FORCE INDEX ({index})" if has_locks() else f"DELETE FROM {table}"


def database_time() -> float:
    """Return the database's time."""
    return database_now().timestamp()


def heads(state: JobState) -> list[Head]:
    """Return the first row of each queue and priority in that state, two short reads of the index for each."""
    found: list[Head] = []
    step = f"SELECT app, queue, priority, due_at FROM {by_index()} WHERE state=%s AND "
    while True:
        row: list[tuple[Any, ...]] = []
        if found:
            row = fetch(
                f"{step} queue=%s AND priority>%s ORDER BY priority, due_at LIMIT 1",
                [state, found[-1].queue, found[-1].priority],
            )
        if not row:  # the first one may be the empty name, of outcomes that were never sent
            beyond, after = (">", found[-1].queue) if found else (">=", "")
            row = fetch(f"{step} queue{beyond}%s ORDER BY queue, priority, due_at LIMIT 1", [state, after])
        if not row:
            return found
        app, queue, priority, due_at = row[0]
        found.append(Head(app, queue, priority, seconds(due_at)))


def pick(lane: Lane, state: JobState, due: Due, *, limit: int, after: str | None = None) -> list[str]:
    """Return the ids of the first rows of a lane that are meant, without locking them, `after` one seen before."""
    condition, parameters = due.where()
    sql = f"SELECT id FROM {by_index()} WHERE state=%s AND queue=%s AND priority=%s AND {condition}"
    values = [state, lane.queue, lane.priority, *parameters]
    if lane.app is not None:
        sql += " AND app=%s"
        values.append(lane.app)
    if after is not None:
        seen = fetch(f"SELECT due_at FROM {by_key()} WHERE id=%s", [after])
        if not seen:
            return []
        due_at = stamp(seconds(seen[0][0]))
        sql += PAST
        values += [due_at, due_at, after]
    rows = fetch(f"{sql} ORDER BY due_at, id LIMIT %s", [*values, limit])
    return [task_id for (task_id,) in rows]


def claimed(head: Head, *, limit: int, after: Claimed | None = None) -> list[Claimed]:
    """Return the running rows of a queue and priority, without locking them, `after` a row that was seen before."""
    sql = f"SELECT id, due_at, token, holder FROM {by_index()} WHERE state=%s AND queue=%s AND priority=%s"
    values: list[Any] = [JobState.RUNNING, head.queue, head.priority]
    if after is not None:
        sql += PAST
        values += [stamp(after.due_at), stamp(after.due_at), after.id]
    rows = fetch(f"{sql} ORDER BY due_at, id LIMIT %s", [*values, limit])
    return [Claimed(row[0], seconds(row[1]), row[2], row[3]) for row in rows]


def lock_running(ids: Sequence[str]) -> list[tuple[Row, float]]:
    """Lock those of the rows that run and that nobody else has locked; return them with the end of their leases."""
    sql = f"SELECT due_at, {COLUMNS} FROM {by_key()} WHERE id IN ({marks(ids)}) AND state=%s{dialect().skip}"
    return [(Row(*row[1:]), seconds(row[0])) for row in fetch(sql, [*ids, JobState.RUNNING])]


def _lock(columns: str, ids: Sequence[str], state: JobState, due: Due) -> list[tuple[Any, ...]]:
    condition, parameters = due.where()
    sql = f"SELECT {columns} FROM {by_key()} WHERE id IN ({marks(ids)}) AND state=%s AND {condition}{dialect().skip}"
    return fetch(sql, [*ids, state, *parameters])


def lock(ids: Sequence[str], state: JobState, due: Due) -> list[Row]:
    """Lock those of the rows that are still meant and that nobody else has locked, in the order of `ids`."""
    found = {row[0]: Row(*row) for row in _lock(COLUMNS, ids, state, due)}
    return [found[task_id] for task_id in ids if task_id in found]


def lock_ids(ids: Sequence[str], state: JobState, due: Due) -> list[str]:
    """Do the same and return the ids alone."""
    return [task_id for (task_id,) in _lock("id", ids, state, due)]


def mark(ids: Sequence[str], *, state: JobState, first: str, again: str) -> None:
    """Note that the locked rows are being published. `first` and `again` say in SQL when their messages count as lost.

    A scheduled row is published for the first time in its life; a queued one once more.
    """
    if state == JobState.SCHEDULED:
        lost_after = f"(CASE WHEN deliveries=0 THEN {first} ELSE {again} END)"
        change = f"state={JobState.QUEUED:d}, due_at={later_sql().replace('%s', lost_after)}"
    else:  # MySQL assigns from left to right: the time is reckoned from the deliveries so far
        change = f"due_at={later_sql().replace('%s', f'({again})')}, deliveries=deliveries+1"
    execute(f"UPDATE {by_key()} SET {change} WHERE id IN ({marks(ids)})", ids)


def take_back(ids: Sequence[str]) -> None:
    """Have rows whose publication failed published again as soon as the broker answers."""
    execute(f"UPDATE {by_key()} SET due_at={now_sql()} WHERE id IN ({marks(ids)}) AND state={JobState.QUEUED:d}", ids)


def due_once_more(ids: Sequence[str]) -> None:
    """Have rows whose holder is gone published as due now. It stays named: what it did is not known."""
    change = f"state={JobState.SCHEDULED:d}, due_at={now_sql()}, deliveries=deliveries+1"
    execute(f"UPDATE {by_key()} SET {change} WHERE id IN ({marks(ids)})", ids)
