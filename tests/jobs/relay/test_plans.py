"""No statement of the relay or of the pruner reads a whole table, however many rows there are."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from celery import Celery
from django.db import connection
from django.utils import timezone

from myproject.jobs import controls, prune
from myproject.jobs.controls import Hold, Holds
from myproject.jobs.models import Chord, ChordPart, ConcurrencySlot, Job, JobEvent, JobKey, SavedGroup, UniqueKey
from myproject.jobs.relay import courier as couriers
from myproject.jobs.relay.leases import expire
from myproject.jobs.relay.process import RelayProcess
from myproject.jobs.states import CLOSED, JobState
from tests.jobs import job_tasks
from tests.jobs.relay.conftest import Eager, Lists

pytestmark = [pytest.mark.mariadb, pytest.mark.django_db(transaction=True)]

#: Tables with a row per process, app or hold: read as a whole, or by a key that the optimizer need not use.
SMALL = {"jobs_relay", "jobs_control", "jobs_brokermark"}
ROWS = 3_000

Statement = tuple[str, Any]


@contextmanager
def recorded() -> Iterator[list[Statement]]:
    """Collect what is sent to the database while the block runs."""
    seen: list[Statement] = []

    def note(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        seen.append((sql, params))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(note):
        yield seen


def plans(sql: str, params: Any) -> list[dict[str, Any]]:
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN FORMAT=TRADITIONAL {sql}", params)  # a table; MySQL answers with a tree
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def fill(add: Callable[..., list[str]]) -> None:
    """Write thousands of rows in every state, and the rows that belong to them."""
    for state in JobState:
        for queue in ("q", "r"):
            prefix = f"{state.name}{queue}"
            due = 3600.0 if state in CLOSED else -30.0
            add(ROWS // 20, state=state, queue=queue, prefix=prefix, due=due, task="t.leased", app="myproject")
            add(ROWS // 10, state=state, queue=queue, prefix=f"due{prefix}", due=-3600.0)
    now = timezone.now()
    ids = list(Job.objects.values_list("id", flat=True))
    JobKey.objects.bulk_create(JobKey(job_id=job_id, name="order", value=job_id) for job_id in ids)
    JobEvent.objects.bulk_create(JobEvent(job_id=job_id, at=now, kind="failed", epoch=0, attempts=1) for job_id in ids)
    UniqueKey.objects.bulk_create(UniqueKey(key=f"k{job_id}", job_id=job_id) for job_id in ids)
    numbers = range(2_000)
    Chord.objects.bulk_create(
        Chord(id=f"c{number}", size=2, returned=2, fired=True, structure="{}") for number in numbers
    )
    SavedGroup.objects.bulk_create(SavedGroup(id=f"g{number}", result="[]") for number in numbers)
    ChordPart.objects.bulk_create(
        ChordPart(chord_id=f"c{number}", task_id=f"p{number}-{part}", value='["SUCCESS", 1]')
        for number in numbers
        for part in range(2)
    )
    aged, ancient = now - timedelta(days=30), now - timedelta(days=100)
    Chord.objects.filter(id__startswith="c19").update(created_at=aged)
    # Of a chord that waits, the jobs of its workflow are asked for.
    waiting = {"order": ["none"], "body": {"id": "none"}, "roots": ["none too"]}
    Chord.objects.filter(id__startswith="c198").update(created_at=ancient, fired=False, structure=json.dumps(waiting))
    ConcurrencySlot.objects.bulk_create(
        ConcurrencySlot(key=f"s{number}", created_at=aged if number < 100 else now) for number in numbers
    )
    SavedGroup.objects.filter(id__startswith="g19").update(created_at=aged)
    with connection.cursor() as cursor:
        cursor.execute(
            "ANALYZE TABLE jobs_job, jobs_jobkey, jobs_jobevent, jobs_chord, jobs_chordpart, jobs_savedgroup,"
            " jobs_concurrencyslot"
        )


@pytest.mark.slow
@pytest.mark.server
def test_every_statement_uses_an_index(
    celery_app: Celery, add: Callable[..., list[str]], lists: Lists, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(add)
    monkeypatch.setattr(couriers, "PAGES", 2)
    courier = Eager(celery_app, window=100_000)
    process = RelayProcess({})
    hold = Hold(controls.ControlKind.TASK, "held.task", controls.ControlAction.PAUSE)
    with recorded() as seen:
        courier.round()
        lists.flush()
        controls.assume(Holds(tasks={"held.task": hold}), seconds=60)
        courier.round()
        controls.assume(Holds(), seconds=60)
        expire({"myproject": job_tasks.app})
        process.tend()
        prune.prune()
    kinds = {sql.split(None, 1)[0] for sql, _ in seen}
    assert {"SELECT", "UPDATE", "DELETE", "INSERT"} <= kinds
    assert not any("SET STATEMENT" in sql for sql, _ in seen)  # MariaDB alone has it
    unique = {sql: params for sql, params in reversed(seen) if sql.split(None, 1)[0] in ("SELECT", "UPDATE", "DELETE")}
    assert len(unique) > 20
    found = {
        (sql, plan["table"], plan["type"], plan["key"])
        for sql, params in unique.items()
        for plan in plans(sql, params)
        if plan["table"] and plan["table"] not in SMALL and (plan["key"] is None or plan["type"] in ("ALL", "index"))
    }
    assert found == set()
