"""Parts of one chord that end at the same moment, on a server that locks rows."""

from __future__ import annotations

from functools import partial

import pytest
from celery import chain, chord
from celery.result import AsyncResult

from myproject.jobs import ledger
from myproject.jobs.local import run_row
from myproject.jobs.models import Chord, Job, JobEvent
from tests.jobs.workflow_tasks import PREFIX
from tests.orders.threads import in_threads

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.mariadb, pytest.mark.serial]

THREADS = 4


def run_at_once(app, lists):
    """Run several lists of jobs, each in a thread with a connection of its own, all beginning together."""

    def work(ids):
        for task_id in ids:
            row = ledger.read(task_id)
            if row is not None:
                run_row(app, row)

    assert in_threads(*(partial(work, ids) for ids in lists)) == []


def test_of_parts_that_end_together_one_sends_the_body(tasks, shop, app):
    parts = 40
    result = chord([tasks.add.s(n, 1) for n in range(parts)], tasks.gather.s()).delay()
    ids = list(Job.objects.filter(task=PREFIX + "add").values_list("id", flat=True))

    # Every thread tries every part: of the copies of one message one runs.
    run_at_once(app, [ids[start:] + ids[:start] for start in range(0, parts, parts // THREADS)])

    assert Chord.objects.get().returned == parts
    shop.drain()
    assert AsyncResult(result.id, app=app).get(timeout=30) == list(range(1, parts + 1))
    assert tasks.notes == [list(range(1, parts + 1))]
    assert JobEvent.objects.count() == 0


def test_parts_that_fail_together_fail_inner_and_outer_chord_once(tasks, shop, app):
    inner = [chord([tasks.fail.s(str(n)), tasks.add.s(n, 1)], tasks.total.s()) for n in range(6)]
    body = tasks.gather.s().on_error(tasks.on_error.s(key="outer"))
    result = chain(chord(inner, body), tasks.note.s()).delay()
    ids = list(Job.objects.values_list("id", flat=True))

    run_at_once(app, [ids[start::THREADS] for start in range(THREADS)])
    shop.drain()

    assert AsyncResult(result.id, app=app).state == "FAILURE"
    assert [note[0::2] for note in tasks.notes] == [("new", "ChordError")]


def test_a_body_that_runs_is_started_for_everybody_who_asks(tasks, app):
    seen = []

    @app.task(name=PREFIX + "watched", shared=False, bind=True)
    def watched(self):
        # Other connections ask, all at once, and the lock that they see is the body's.
        task_id = self.request.id
        asks = [lambda: seen.append(AsyncResult(task_id, app=app).state) for _ in range(THREADS)]
        assert in_threads(*asks) == []

    result = watched.delay()
    waiting = tasks.add.delay(1, 1)
    assert AsyncResult(result.id, app=app).state == "PENDING"
    row = ledger.read(result.id)
    run_row(app, row)

    assert seen == ["STARTED"] * THREADS
    assert AsyncResult(result.id, app=app).state == "SUCCESS"

    asked = []
    asks = [lambda: asked.extend(AsyncResult(waiting.id, app=app).state for _ in range(20)) for _ in range(THREADS)]
    assert in_threads(*asks) == []
    assert set(asked) == {"PENDING"}
