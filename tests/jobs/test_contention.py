"""What waits for a row that another process has, and for how long: nobody waits for the end of a body."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from celery.app.trace import build_tracer
from django.db import connections, transaction

from myproject.jobs import ledger, statements
from myproject.jobs.local import request_of
from myproject.jobs.models import Job, UniqueKey
from myproject.jobs.states import JobState
from tests.jobs import job_tasks
from tests.jobs.job_tasks import RAN, app, extend, fail, in_turn, make_due, replace, run_again, run_open, skip

pytestmark = [pytest.mark.mariadb, pytest.mark.django_db(transaction=True)]

#: Seconds: less than the lock wait of a session (10 s) on a slow machine, more than that of a copy (1 s).
SOON = 8.0


@contextmanager
def running(task_id: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have the job's body run in another thread, on another connection, as long as the block does."""
    begun, let_go = threading.Event(), threading.Event()

    def body(value: object) -> None:
        RAN.append(value)
        begun.set()
        assert let_go.wait(60)

    def run() -> None:
        try:
            run_again(task_id)
        finally:
            connections.close_all()

    with monkeypatch.context() as patch:
        patch.setattr(job_tasks, "fail_once", body)
        thread = threading.Thread(target=run)
        thread.start()
        try:
            assert begun.wait(60)
            since = time.monotonic()
            yield
            assert time.monotonic() - since < SOON
        finally:
            let_go.set()
            thread.join()


def state(task_id: str) -> int:
    return Job.objects.get(id=task_id).state


@pytest.mark.parametrize("delivery", [0, 1], ids=["first message", "sent again"])
def test_a_copy_of_a_message_gives_its_place_in_the_pool_back(monkeypatch, delivery):
    task_id = fail.delay("once").id
    with running(task_id, monkeypatch):
        run_again(task_id, delivery=delivery)
        assert state(task_id) == JobState.QUEUED
    assert (RAN, state(task_id)) == (["once"], JobState.SUCCEEDED)


def test_a_call_with_the_id_of_a_job_that_runs_does_not_wait_for_its_end(monkeypatch):
    task_id = fail.apply_async(("once",), task_id="order-1").id
    with running(task_id, monkeypatch):
        assert fail.apply_async(("once",), task_id="order-1").id == task_id
    assert (RAN, state(task_id)) == (["once"], JobState.SUCCEEDED)


def test_a_copy_of_a_foreign_message_does_not_wait_either(monkeypatch):
    task_id = fail.delay("once").id
    row = ledger.read(task_id)
    with running(task_id, monkeypatch):
        request = {name: value for name, value in request_of(app, row).items() if name != "job_epoch"}
        build_tracer(fail.name, fail, app=app)(task_id, ("once",), {}, request)
    assert (RAN, state(task_id)) == (["once"], JobState.SUCCEEDED)


def test_a_copy_that_is_put_off_does_not_wait_either(monkeypatch):
    task_id = fail.delay("once").id
    with running(task_id, monkeypatch):
        assert not ledger.snooze(task_id, epoch=0, seconds=0)
    assert (RAN, state(task_id)) == (["once"], JobState.SUCCEEDED)


def test_a_job_whose_row_somebody_has_for_a_moment_runs_when_it_is_free(monkeypatch):
    """Such as a relay that has it in a batch. Whoever passed it over would leave the job to the relay for seconds."""
    task_id = fail.delay("once").id
    monkeypatch.setattr(job_tasks, "fail_once", RAN.append)
    for _ in range(20):  # a machine that stands still for the second of patience costs a try
        had, over = threading.Event(), threading.Event()

        def hold(had: threading.Event = had, over: threading.Event = over) -> None:
            try:
                with transaction.atomic():
                    assert ledger.lock(task_id)
                    had.set()
                    over.wait(0.1)
            finally:
                connections.close_all()

        holder = threading.Thread(target=hold)
        holder.start()
        assert had.wait(60)
        run_again(task_id)
        holder.join()
        if RAN:
            break
    assert (RAN, state(task_id)) == (["once"], JobState.SUCCEEDED)


@pytest.mark.parametrize("name", ["close", "snooze"])
def test_what_does_not_wait_looks_at_one_row_by_its_id(name):
    for number in range(500):
        fail.delay(number)
    sql = getattr(statements.dialect(), name)
    explain = "EXPLAIN FORMAT=TRADITIONAL UPDATE jobs_job SET"
    task_id = Job.objects.latest("pk").pk
    values = {"close": (60, task_id, 0), "snooze": (0, 0, None, 0, 0, task_id, 0, 0, 0)}[name]
    with connections["default"].cursor() as cursor:
        cursor.execute("ANALYZE TABLE jobs_job")
        cursor.execute(sql.replace("UPDATE jobs_job SET", explain, 1), values)
        columns = [column[0] for column in cursor.description]
        plans = [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]
    looks = [(plan["key"], int(plan["rows"])) for plan in plans if plan["table"] == "jobs_job"]
    assert looks == [("PRIMARY", 1)] * len(looks) != []


@pytest.mark.parametrize("known", [False, True], ids=["new key", "known key"])
def test_a_job_whose_key_is_taken_by_a_transaction_is_put_off(monkeypatch, known):
    if known:
        in_turn.delay(1)
        run_open()
        RAN.clear()
    first, second = in_turn.delay(1).id, in_turn.delay(1).id
    with running(first, monkeypatch):
        run_again(second)
        assert state(second) == JobState.SCHEDULED
    make_due()
    run_open()
    assert RAN == [1, 1]
    assert {state(first), state(second)} == {JobState.SUCCEEDED}


@pytest.mark.parametrize("task", [skip, replace, extend], ids=["skip", "replace", "extend"])
def test_a_call_whose_unique_job_runs_does_not_wait_for_its_end(monkeypatch, task):
    first = task.delay("k").id
    with running(first, monkeypatch):
        assert task.delay("k").id == first
    assert (len(RAN), state(first)) == (1, JobState.SUCCEEDED)
    assert not UniqueKey.objects.exists()
    assert task.delay("k").id != first


@pytest.mark.parametrize("task", [skip, replace, extend], ids=["skip", "replace", "extend"])
def test_calls_with_one_key_at_the_same_time_wait_for_each_other_and_none_fails(task):
    """Each of them reads the key and then writes it: with shared locks in between, one of two would be a deadlock."""
    together = threading.Barrier(4)

    def call(number: int) -> str:
        try:
            together.wait(60)
            with transaction.atomic():
                return str(task.delay("k").id)
        finally:
            connections.close_all()

    for _ in range(10):
        with ThreadPoolExecutor(4) as pool:
            ids = set(pool.map(call, range(4)))
        standing = UniqueKey.objects.get().job_id
        assert standing in ids
        assert list(Job.objects.exclude(state=JobState.CANCELLED).values_list("id", flat=True)) == [standing]


def test_a_row_that_is_gone_is_not_waited_for(monkeypatch):
    """Hundreds of messages can be left of rows that are gone: after a restored backup, or beyond a retention."""
    task_id = fail.delay("once").id
    Job.objects.filter(id=task_id).delete()
    monkeypatch.setattr(ledger.time, "sleep", lambda seconds: pytest.fail("waited for a row that is gone"))
    with transaction.atomic():
        assert ledger.lock_patiently(task_id, patience=3600) is None
    assert ledger.count_start(task_id, epoch=0) is None
