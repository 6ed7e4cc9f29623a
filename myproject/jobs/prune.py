"""Deleting closed jobs when their time is over, with what belongs to them, a few at a time.

`due_at` of a closed row is when it may go: the close added its task's retention. Parked jobs wait for somebody and are
never deleted. A batch is picked by the index, locked by primary key with SKIP LOCKED and deleted in one short
transaction, so it waits for nobody and hardly anybody waits for it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

from django.db import transaction

from myproject.jobs.chords import SUCCEEDED
from myproject.jobs.ledger import execute, fetch
from myproject.jobs.relay import rows
from myproject.jobs.relay.rows import Due, Lane
from myproject.jobs.statements import marks
from myproject.jobs.states import JobState

#: Rows of one transaction: about 10 ms of deleting, which is as long as SQLite's one lock is taken away from others.
BATCH = 200
#: What may be deleted. A replaced job is closed once more by the one that took its id; when that never comes, it goes
#: after a month.
STATES = (JobState.SUCCEEDED, JobState.CANCELLED, JobState.IGNORED, JobState.DISCARDED, JobState.REPLACED)
REPLACED_GRACE = 30 * 86_400.0
#: Seconds before a chord is looked at, and its parts are not needed any more once its body is closed and pruned.
CHORD_GRACE = 2 * 86_400.0
#: Seconds for a chord that did not end well. A part of it may be parked, and an operator who retries that part expects
#: the body to run.
BROKEN_GRACE = 90 * 86_400.0
#: Seconds that a saved group is kept.
SAVED_GRACE = 7 * 86_400.0
#: Parts of one chord that are deleted at a time, and chords that are read at a time: each holds its parts' ids.
PARTS, CHORDS = 500, 20
#: The tables whose rows belong to a job, with the index over the job's id.
BELONGING = (("jobs_jobkey", "job_key_once"), ("jobs_jobevent", "job_event_job"))


def prune(*, limit: int | None = None, pause: float = 0.0) -> int:
    """Delete what may go, at most about `limit` rows, and wait `pause` times a batch's length after each.

    Returns how many jobs, chords and groups were deleted.
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


def batches() -> Iterator[int]:
    """Delete batch after batch and yield the size of each; ends when there is nothing left to delete."""
    for state in STATES:
        yield from _closed(state)
    yield from _chords()
    yield from _saved_groups()


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


def _chords() -> Iterator[int]:
    """Delete the chords that nothing will ask for any more."""
    now = rows.database_time()
    after = ("1970-01-01", "")
    while True:
        found = fetch(
            "SELECT id, created_at, fired, structure FROM jobs_chord WHERE created_at<=%s AND created_at>=%s"
            " AND (created_at>%s OR id>%s) ORDER BY created_at, id LIMIT %s",
            [rows.stamp(now - CHORD_GRACE), after[0], *after, CHORDS],
        )
        for chord_id, created_at, fired, structure in found:
            broken = rows.seconds(created_at) <= now - BROKEN_GRACE
            if (fired or broken) and _is_over(chord_id, structure, broken=broken):
                yield from _chord(chord_id)
        if len(found) < CHORDS:
            return
        after = (rows.stamp(rows.seconds(found[-1][1])), found[-1][0])


def _is_over(chord_id: str, structure: str | None, *, broken: bool) -> bool:
    """Tell whether the body's row is gone and no part of it failed; an old chord is given up with its failures."""
    body = (json.loads(structure) if structure else {}).get("body") or {}
    if fetch("SELECT id FROM jobs_job WHERE id=%s", [body.get("id") or ""]):
        return False
    failed = "SELECT id FROM jobs_chordpart WHERE chord_id=%s AND value NOT LIKE %s LIMIT 1"
    return broken or not fetch(failed, [chord_id, f"{SUCCEEDED}%"])


def _chord(chord_id: str) -> Iterator[int]:
    """Delete a chord, its parts first."""
    while True:
        parts = fetch("SELECT task_id FROM jobs_chordpart WHERE chord_id=%s LIMIT %s", [chord_id, PARTS])
        names = [name for (name,) in parts]
        if names:
            beginning = rows.delete_from("jobs_chordpart", index="chord_part_once")
            execute(f"{beginning} WHERE chord_id=%s AND task_id IN ({marks(names)})", [chord_id, *names])
        else:
            execute("DELETE FROM jobs_chord WHERE id=%s", [chord_id])
        yield int(not names)
        if not names:
            return


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
