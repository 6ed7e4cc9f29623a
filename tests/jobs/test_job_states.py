"""The table in `states.py` says what the SQL does and nothing else: each change of a row, tried from each state."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from celery.app.task import Context
from celery.exceptions import WorkerLostError
from django.db import transaction

import myproject.jobs
from myproject.jobs import deaths, ledger
from myproject.jobs.ledger import NewJob, Row
from myproject.jobs.local import request_of
from myproject.jobs.models import Job
from myproject.jobs.relay import leases, rows
from myproject.jobs.states import CLOSED, OPEN, TABLE, JobState
from myproject.jobs.steering_sql import discard_all, revive_all
from tests.jobs.job_tasks import app

pytestmark = pytest.mark.django_db

ID, TOKEN = "job", 7
#: What a statement looks like that gives a job another state.
CHANGES = re.compile(r"\bSET state=|\bchange = f\"state=|\.update\((?:[^()]*, )?state=")


def new(*, delay: float | None = None) -> NewJob:
    """Return the job's next life."""
    return NewJob(id=ID, app=app.main, task="t.leased", queue="q", priority=0, body="[[1],{},{}]", delay=delay)


def finish(state: JobState, *, closed_here: bool = False) -> bool:
    """Write an outcome."""
    return ledger.finish(ID, state=state, meta=None, retention=1, closed_here=closed_here)


def in_transaction_mode(ending: Callable[[], Any]) -> Callable[[], Any]:
    """Return a run in transaction mode: the close first, then what the body's end writes."""

    def run() -> Any:
        with ledger.closing(ID, epoch=0, retention=1) as closed:
            return closed and ending()

    return run


def in_lease_mode(ending: Callable[[], Any]) -> Callable[[], Any]:
    """Return the end of a run in lease mode."""
    return lambda: ledger.release(ID, token=TOKEN, retention=1) and ending()


def read() -> Row:
    """Return the row."""
    row = ledger.read(ID)
    assert row is not None
    return row


def rearm_in(state: JobState, *, delay: float | None) -> Callable[[], Any]:
    """Return the writing of a next life by whoever knows the present one to be in `state`."""
    token = TOKEN if state == JobState.RUNNING else 0
    return lambda: ledger.rearm(new(delay=delay), epoch=0, state=state, token=token)


def mark_for_relay(state: JobState) -> None:
    """Publish it as the relay does: rows are locked with their state, then marked."""
    found = rows.lock([ID], state, rows.Due(until=rows.database_time() + 100))
    if found:
        rows.mark([ID], state=state, first="5", again="10")


def fail() -> None:
    """Report a failure as the tracer does: for an open row of that life, by who may speak for it."""
    app.backend.mark_as_failure(ID, ValueError("x"), None, request=Context(request_of(app, read())))


def count_death() -> None:
    """Count a death that was seen."""
    deaths.count_seen(app, ID, Context(request_of(app, read())), WorkerLostError("x"))


MOVES: dict[str, Callable[[], Any]] = {
    "close": in_transaction_mode(lambda: None),
    "close, then an outcome": in_transaction_mode(lambda: finish(JobState.SUCCEEDED, closed_here=True)),
    "close, then Ignore": in_transaction_mode(lambda: finish(JobState.IGNORED, closed_here=True)),
    "close, then replace": in_transaction_mode(lambda: finish(JobState.REPLACED, closed_here=True)),
    "close, then retry": in_transaction_mode(rearm_in(JobState.SUCCEEDED, delay=1)),
    "close, then retry at once": in_transaction_mode(rearm_in(JobState.SUCCEEDED, delay=None)),
    "retry after the roll-back": rearm_in(JobState.QUEUED, delay=1),
    "retry at once after the roll-back": rearm_in(JobState.QUEUED, delay=None),
    "count_start": lambda: ledger.count_start(ID, epoch=0),
    "claim": lambda: ledger.claim(ID, epoch=0, holder="me", lease=1),
    "release": in_lease_mode(lambda: None),
    "release, then Ignore": in_lease_mode(lambda: finish(JobState.IGNORED, closed_here=True)),
    "release, then replace": in_lease_mode(lambda: finish(JobState.REPLACED, closed_here=True)),
    "retry of a claimed job": rearm_in(JobState.RUNNING, delay=1),
    "retry of a claimed job at once": rearm_in(JobState.RUNNING, delay=None),
    "success of the replacement": lambda: read().state == JobState.REPLACED and finish(JobState.SUCCEEDED),
    "failure of the step before": lambda: finish(JobState.PARKED),
    "revocation of the step before": lambda: finish(JobState.CANCELLED),
    "next life of the replaced": rearm_in(JobState.REPLACED, delay=1),
    "next life of the replaced at once": rearm_in(JobState.REPLACED, delay=None),
    "snooze": lambda: ledger.snooze(ID, epoch=0, seconds=1),
    "snooze of a claimed job": lambda: ledger.snooze(ID, epoch=0, seconds=1, token=TOKEN),
    "failure": fail,
    "death": count_death,
    "revoke": lambda: app.backend.mark_as_revoked(ID, "x"),
    "cancel": lambda: ledger.cancel_waiting(ID, retention=1),
    "postpone": lambda: ledger.postpone(ID, seconds=1),
    "relay: due": lambda: mark_for_relay(JobState.SCHEDULED),
    "relay: lost": lambda: mark_for_relay(JobState.QUEUED),
    "relay: lease": lambda: leases.expire({app.main: app}),
    "operator: retry": lambda: revive_all([ID]),
    "operator: discard": lambda: discard_all([ID], retention=1),
}


def put(state: JobState) -> None:
    """Have the row stand in a state, a claim that is over included."""
    Job.objects.all().delete()
    ledger.insert(new())
    Job.objects.filter(id=ID).update(state=state, token=TOKEN if state == JobState.RUNNING else 0)
    ledger.execute(f"UPDATE jobs_job SET due_at={ledger.later_sql()} WHERE id=%s", (-60, ID))


def observed() -> dict[tuple[str, str], set[str]]:
    """Return every change of state that some move makes, and which do."""
    found: dict[tuple[str, str], set[str]] = {}
    for name, move in MOVES.items():
        for state in JobState:
            put(state)
            before = read()
            with transaction.atomic():
                move()
            after = read()
            changed = (after.state, after.epoch) != (before.state, before.epoch)
            if changed:
                pair = (state.name.lower(), JobState(after.state).name.lower())
                found.setdefault(pair, set()).add(name)
    return found


def test_the_table_allows_what_the_sql_does_and_nothing_else() -> None:
    found = observed()
    allowed = {(before, after) for before, targets in TABLE.transitions.items() for after in targets}
    forbidden = {pair: moves for pair, moves in found.items() if pair not in allowed}
    assert forbidden == {}
    assert allowed - set(found) == set()


def test_every_statement_that_changes_a_state_is_tried() -> None:
    """A new one must be tried above: this is the count of them in each module."""
    folder = Path(myproject.jobs.__file__).parent
    found = {str(file.relative_to(folder)): len(CHANGES.findall(file.read_text())) for file in folder.rglob("*.py")}
    assert {file: count for file, count in found.items() if count} == {
        "statements.py": 9,  # close, claim, release, snooze, rearm, finish, revive, cancel, postpone
        "relay/rows.py": 2,  # mark, due_once_more
        "steering_sql.py": 2,
        "testing.py": 1,  # due at once, for tests: what the relay does to a scheduled job
    }


def test_open_and_closed_are_all_there_is() -> None:
    assert sorted((*OPEN, *CLOSED)) == sorted(JobState)
    assert TABLE.final == {"succeeded", "ignored"}
