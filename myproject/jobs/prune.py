"""Deleting closed jobs when their time is over, with what belongs to them and what nobody needs, a few at a time.

`due_at` of a closed row is when it may go: the close added its task's retention. Parked jobs wait for somebody and are
never deleted. A batch is picked by the index, locked by primary key with SKIP LOCKED and deleted in one short
transaction, so it waits for nobody and hardly anybody waits for it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from django.db import transaction

from myproject.jobs.chord_pruning import prune_chords
from myproject.jobs.ledger import execute, fetch
from myproject.jobs.relay import rows
from myproject.jobs.relay.rows import Due, Lane
from myproject.jobs.statements import dialect, marks
from myproject.jobs.states import JobState

#: Rows of one transaction: about 10 ms of deleting, which is as long as SQLite's one lock is taken away from others.
BATCH = 200
#: What may be deleted. A replaced job is closed once more by the one that took its id; when that never comes, it goes
#: after a month.
STATES = (JobState.SUCCEEDED, JobState.CANCELLED, JobState.IGNORED, JobState.DISCARDED, JobState.REPLACED)
REPLACED_GRACE = 30 * 86_400.0
#: Seconds that a saved group is kept.
SAVED_GRACE = 7 * 86_400.0
#: Seconds until the place of a concurrency key may go that nobody has. A key that is in use is written anew once a day,
#: and a server whose clock runs by another time zone than UTC deletes half a day early or late.
SLOT_GRACE = 86_400.0
#: The tables whose rows belong to a job, with the index over the job's id.
BELONGING = (("jobs_jobkey", "job_key_once"), ("jobs_jobevent", "job_event_job"))


def prune(*, limit: int | None = None, pause: float = 0.0) -> int:
    """Delete what may go, at most about `limit` rows, and wait `pause` times a batch's length after each.

    Returns how many jobs, chords, groups and places were deleted.
    """
    count = 0
    started = time.monotonic()
    for deleted in batches():
        count += deleted
        if limit is not None and count >= limit:
            break
        time.sleep(min(pause * (time.monotonic() - started), 1.0))
        started = time.monotonic()
    return count


def batches(*, thorough: bool = True) -> Iterator[int]:
    """Delete batch after batch and yield the size of each; ends when there is nothing left to delete.

    `thorough` goes beyond the jobs, to what has to be looked at to know whether it may go.
    """
    for state in STATES:
        yield from _closed(state)
    if thorough:
        yield from prune_chords()
        yield from _saved_groups()
        yield from _free_slots()


def _closed(state: JobState) -> Iterator[int]:
    until = rows.database_time() - (REPLACED_GRACE if state == JobState.REPLACED else 0.0)
    for head in rows.heads(state):
        if head.due_at > until:
            continue
        due = Due(until=until)
        while picked := rows.pick(Lane(None, head.queue, head.priority), state, due, limit=BATCH):
            deleted = _delete_jobs(picked, state, due)
            yield deleted
            if not deleted:  # somebody has them locked: the next pass will find them
                break


def _delete_jobs(ids: list[str], state: JobState, due: Due) -> int:
    with transaction.atomic():
        found = rows.lock_ids(ids, state, due)
        if found:
            for table, index in BELONGING:
                _delete(rows.delete_from(table, index=index), "job_id", found)
            # A closed job has given its unique key back. If one did not, it must not stand in the way for ever.
            kept = fetch(f"SELECT `key` FROM jobs_uniquekey WHERE job_id IN ({marks(found)})", found)
            if kept:
                _delete(rows.delete_from("jobs_uniquekey"), "`key`", [key for (key,) in kept])
            _delete(rows.delete_from("jobs_job"), "id", found)
    return len(found)


def _delete(beginning: str, column: str, values: list[str]) -> None:
    execute(f"{beginning} WHERE {column} IN ({marks(values)})", values)


def _saved_groups() -> Iterator[int]:
    until = rows.stamp(rows.database_time() - SAVED_GRACE)
    while True:
        found = fetch(
            "SELECT id FROM jobs_savedgroup WHERE created_at<=%s ORDER BY created_at LIMIT %s", [until, BATCH]
        )
        if not found:
            return
        ids = [group_id for (group_id,) in found]
        _delete(rows.delete_from("jobs_savedgroup"), "id", ids)
        yield len(ids)


def _free_slots() -> Iterator[int]:
    """Delete the places of concurrency keys that no job has. One that is locked is being taken."""
    now = rows.database_time() - SLOT_GRACE
    free = "created_at<=%s AND (job_id IS NULL OR until<=%s)"
    table, values = "jobs_concurrencyslot", [rows.stamp(now), rows.stamp(now)]
    sql = (
        f"SELECT `key` FROM {rows.by_index(table, index='job_slot_created')} WHERE {free} ORDER BY created_at LIMIT %s"
    )
    while found := fetch(sql, [*values, BATCH]):
        keys = [key for (key,) in found]
        with transaction.atomic():
            sure = f"SELECT `key` FROM {rows.by_key(table)} WHERE `key` IN ({marks(keys)}) AND {free}"
            locked = [key for (key,) in fetch(f"{sure}{dialect().skip}", [*keys, *values])]
            if locked:
                _delete(rows.delete_from(table), "`key`", locked)
        yield len(locked)
        if not locked:  # somebody has them: the next pass will find them
            return
