"""The rows of a transaction's jobs are written at its end, by one statement, and are there for whoever asks earlier."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.db import DEFAULT_DB_ALIAS, OperationalError, connections, transaction

from myproject.jobs import ledger, on_commit
from myproject.jobs.models import Job, JobKey
from tests.jobs.job_tasks import RAN, fail, run_open, skip, write

pytestmark = pytest.mark.django_db(transaction=True)


class Undone(Exception):
    """Rolls a transaction back."""


@contextmanager
def inserts() -> Iterator[list[int]]:
    """Gather how many rows each statement that inserts jobs writes."""
    found: list[int] = []

    def note(execute: Callable[..., Any], sql: str, *rest: Any) -> Any:
        if "INSERT INTO jobs_job " in sql:
            [_, values] = sql.split(";")[0].split(" VALUES ")
            found.append(values.count("),(") + 1)
        return execute(sql, *rest)

    with connections[DEFAULT_DB_ALIAS].execute_wrapper(note):
        yield found


def watching() -> bool:
    return on_commit._look in connections[DEFAULT_DB_ALIAS].execute_wrappers


def test_the_jobs_of_a_transaction_are_one_statement():
    with inserts() as written, transaction.atomic():
        ids = [fail.delay(number).id for number in range(5)]
        assert written == []
    assert written == [5]
    assert set(Job.objects.values_list("id", flat=True)) == set(ids)
    assert not watching()
    run_open()
    assert len(RAN) == 5


def test_their_business_keys_ride_along():
    with inserts() as written, transaction.atomic():
        first, second = write.delay("a"), write.delay("b")
    assert written == [2]
    found = JobKey.objects.order_by("value").values_list("job_id", "name", "value")
    assert list(found) == [(first.id, "slug", "a"), (second.id, "slug", "b")]


def test_a_call_outside_of_a_transaction_is_written_at_once():
    with inserts() as written:
        fail.delay(1)
        assert written == [1]
    assert not watching()


@pytest.mark.parametrize("ask", [
    lambda result: Job.objects.filter(id=result.id).count() == 1,
    lambda result: ledger.read(result.id) is not None,
    lambda result: result.state == "PENDING" and ledger.cancel_waiting(result.id, retention=1),
])  # fmt: skip
def test_whoever_asks_for_the_rows_finds_them(ask):
    with inserts() as written, transaction.atomic():
        result = fail.delay(1)
        assert ask(result)
        assert written == [1]
        fail.delay(2)
    assert written == [1, 1]
    assert Job.objects.count() == 2


def test_a_second_call_with_a_unique_key_finds_the_first():
    with transaction.atomic():
        assert skip.delay("one").id == skip.delay("one").id
    assert Job.objects.count() == 1


def test_a_savepoint_that_is_rolled_back_takes_its_own_jobs_and_no_others():
    with transaction.atomic():
        before = fail.delay("before")
        with suppress(Undone), transaction.atomic():
            fail.delay("in it")
            assert Job.objects.count() == 2
            raise Undone
        with transaction.atomic():
            kept = fail.delay("kept")
            with suppress(Undone), transaction.atomic():
                fail.delay("deeper")
                raise Undone
        after = fail.delay("after")
    assert set(Job.objects.values_list("id", flat=True)) == {before.id, kept.id, after.id}


def test_a_block_without_a_savepoint_that_fails_takes_everything():
    with suppress(Undone), transaction.atomic():
        fail.delay("before")
        with transaction.atomic(savepoint=False):
            fail.delay("in it")
            raise Undone
    Group.objects.create(name="the next statement")
    assert Job.objects.count() == 0
    assert not watching()


def test_the_next_transaction_writes_nothing_of_one_that_was_rolled_back():
    with suppress(Undone), transaction.atomic():
        fail.delay("undone")
        raise Undone
    with transaction.atomic():
        kept = fail.delay("kept")
    assert list(Job.objects.values_list("id", flat=True)) == [kept.id]


@pytest.mark.parametrize(
    ("name", "limit", "written_by_limit"), [("ROWS", 3, [3, 3, 1]), ("CHARACTERS", 100, [2, 2, 2, 1])]
)
def test_many_jobs_do_not_wait_for_the_commit(name, limit, written_by_limit, monkeypatch):
    monkeypatch.setattr(on_commit, name, limit)
    with inserts() as written, transaction.atomic():
        for number in range(7):
            fail.delay(number)
    assert written == written_by_limit
    assert Job.objects.count() == 7


def test_whoever_gets_over_a_failure_to_write_cannot_commit_without_the_jobs(monkeypatch):
    execute = ledger.execute

    def fail_once(sql: str, parameters: Any) -> int:
        monkeypatch.setattr(ledger, "execute", execute)
        raise OperationalError(1205, "Lock wait timeout exceeded; try restarting transaction")

    with transaction.atomic():
        Group.objects.create(name="undone")
        fail.delay("undone")
        monkeypatch.setattr(ledger, "execute", fail_once)
        with pytest.raises(OperationalError):
            Job.objects.count()
        with pytest.raises(transaction.TransactionManagementError):
            Group.objects.count()
    with transaction.atomic():
        kept = fail.delay("kept")
    assert list(Job.objects.values_list("id", flat=True)) == [kept.id]
    assert Group.objects.count() == 0


@pytest.mark.mariadb
def test_who_commits_by_hand_and_tries_again_keeps_the_promise(monkeypatch):
    insertion = ledger.insertion

    def fail_once(jobs: Any) -> Any:
        monkeypatch.setattr(ledger, "insertion", insertion)
        raise OperationalError(1205, "Lock wait timeout exceeded; try restarting transaction")

    transaction.set_autocommit(False)
    try:
        with transaction.atomic():
            result = fail.delay("kept")
        monkeypatch.setattr(ledger, "insertion", fail_once)
        with pytest.raises(OperationalError):
            transaction.commit()
        transaction.commit()
    finally:
        transaction.set_autocommit(True)
    assert list(Job.objects.values_list("id", flat=True)) == [result.id]


def test_wrappers_that_others_put_around_statements_stay_in_their_order():
    seen: list[str] = []

    def note(execute: Callable[..., Any], sql: str, *rest: Any) -> Any:
        seen.append(sql)
        return execute(sql, *rest)

    with transaction.atomic():
        with connections[DEFAULT_DB_ALIAS].execute_wrapper(note):
            fail.delay("one")
            Group.objects.create(name="within")
        count = len(seen)
        Group.objects.create(name="after")
        assert len(seen) == count
    assert Job.objects.count() == 1
    assert connections[DEFAULT_DB_ALIAS].execute_wrappers == []


@pytest.mark.django_db(transaction=False)
def test_a_test_that_calls_the_hooks_of_its_transaction_finds_the_rows(django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True) as hooks:
        result = fail.delay("one")
    assert len(hooks) == 1
    assert Job.objects.filter(id=result.id).exists()
