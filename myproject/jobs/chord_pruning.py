"""Deleting the chords that nothing will ask for any more: neither a part that is still to report, nor the body.

A chord's row holds the count of its parts, the body's signature when that is long, and the results. It stays as long
as any of the jobs that may need it is there, however long their delays are and however long one of them is parked.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from myproject.jobs.chords import SUCCEEDED, flat
from myproject.jobs.ledger import execute, fetch
from myproject.jobs.relay import rows
from myproject.jobs.statements import marks
from myproject.jobs.states import JobState

#: Seconds before a chord is looked at: most of them are over by then.
CHORD_GRACE = 2 * 86_400.0
#: Seconds for a chord that did not end well and of which no job is left: its best-effort parts have no rows, and may
#: still be on their way.
BROKEN_GRACE = 90 * 86_400.0
#: Parts of one chord that are deleted at a time, and chords that are read at a time: each holds its parts' ids.
PARTS, CHORDS = 500, 20
#: Ids of one question.
IDS = 500
#: Jobs in these states are over for good; every other one may run, or an operator may retry it.
DONE = (JobState.SUCCEEDED, JobState.IGNORED)


class _Chord(NamedTuple):
    id: str
    created_at: Any
    fired: bool
    structure: str | None


def prune_chords() -> Iterator[int]:
    """Delete chord after chord and yield 1 for each, and 0 for each batch of parts."""
    now = rows.database_time()
    after = ("1970-01-01", "")
    while True:
        found = fetch(
            "SELECT id, created_at, fired, structure FROM jobs_chord WHERE created_at<=%s AND created_at>=%s"
            " AND (created_at>%s OR id>%s) ORDER BY created_at, id LIMIT %s",
            [rows.stamp(now - CHORD_GRACE), after[0], *after, CHORDS],
        )
        for chord in map(_Chord._make, found):
            if _is_over(chord, is_old=rows.seconds(chord.created_at) <= now - BROKEN_GRACE):
                yield from _delete(chord.id)
        if len(found) < CHORDS:
            return
        after = (rows.stamp(rows.seconds(found[-1][1])), found[-1][0])


def _is_over(chord: _Chord, *, is_old: bool) -> bool:
    """Tell whether no job needs the chord.

    One that ended well is needed by whoever of the body reads its results. One that waits, or whose failure may still
    be mended, is needed by its whole workflow: the step that leads to a part may be any of its jobs.
    """
    kept = json.loads(chord.structure) if chord.structure else {}
    body_id = (kept.get("body") or {}).get("id") or ""
    if chord.fired and not _has_failed(chord.id):
        return not _is_there([body_id, *kept.get("readers", ())])
    members = [body_id, *kept.get("roots", ()), *flat(kept.get("order") or [])]
    return is_old and not _may_go_on(members)


def _has_failed(chord_id: str) -> bool:
    failed = "SELECT id FROM jobs_chordpart WHERE chord_id=%s AND value NOT LIKE %s LIMIT 1"
    return bool(fetch(failed, [chord_id, f"{SUCCEEDED}%"]))


def _is_there(ids: Sequence[str]) -> bool:
    return any(fetch(f"SELECT id FROM jobs_job WHERE id IN ({marks(part)}) LIMIT 1", part) for part in _parts(ids))


def _may_go_on(roots: Sequence[str]) -> bool:
    """Tell whether a job of the workflows that began with these may still run."""
    for part in _parts(roots):
        for column, table in (("id", rows.by_key()), ("root_id", rows.by_index(index="job_root"))):
            sql = f"SELECT id FROM {table} WHERE {column} IN ({marks(part)}) AND state NOT IN ({marks(DONE)}) LIMIT 1"
            if fetch(sql, [*part, *DONE]):
                return True
    return False


def _parts(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    return (ids[start : start + IDS] for start in range(0, len(ids), IDS))


def _delete(chord_id: str) -> Iterator[int]:
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
