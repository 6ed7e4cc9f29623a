"""Statements that ride along with a transaction's begin and end: on every server, in one exchange on MySQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import pytest
from django.contrib.auth.models import Group
from django.db import DEFAULT_DB_ALIAS, DatabaseError, IntegrityError, OperationalError, connections, transaction
from django.db.utils import load_backend

from myproject.databases.riding import Riding, Statement

pytestmark = pytest.mark.django_db(transaction=True)

INSERT = "INSERT INTO auth_group (name) VALUES (%s)"


def connection() -> Any:
    return cast(Riding, connections[DEFAULT_DB_ALIAS])


def names() -> list[str]:
    return sorted(Group.objects.values_list("name", flat=True))


@contextmanager
def exchanges() -> Iterator[list[str]]:
    """Gather what the driver sends, by the first words of each exchange."""
    found: list[str] = []

    def note(execute: Callable[..., Any], sql: str, *rest: Any) -> Any:
        found.append(sql)
        return execute(sql, *rest)

    connection().ensure_connection()
    with connection().execute_wrapper(note):
        yield found


def riding(*names: str) -> Callable[[], list[Statement]]:
    return lambda: [(INSERT, (name,)) for name in names]


def test_what_rides_is_committed_with_the_transaction():
    with transaction.atomic():
        Group.objects.create(name="own")
        connection().before_commit = riding("one", "two")
        assert names() == ["own"]
    assert names() == ["one", "own", "two"]
    assert connection().get_autocommit()
    assert connection().before_commit is None


def test_a_transaction_that_is_rolled_back_takes_nothing_along():
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        connection().before_commit = riding("one")
        raise ZeroDivisionError
    connection().before_commit = None
    assert names() == []


@pytest.mark.parametrize("passengers", [("one", "one"), ("own",)])
def test_a_passenger_that_fails_undoes_the_transaction(passengers):
    with pytest.raises(IntegrityError), transaction.atomic():
        Group.objects.create(name="own")
        connection().before_commit = riding(*passengers)
    assert names() == []
    assert connection().get_autocommit()


def test_an_interruption_before_the_commit_undoes_the_transaction_and_its_hooks():
    told: list[str] = []

    def interrupted() -> list[Statement]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), transaction.atomic():
        Group.objects.create(name="own")
        transaction.on_commit(lambda: told.append("committed"))
        connection().before_commit = interrupted
    with transaction.atomic():
        Group.objects.create(name="next")
    assert names() == ["next"]
    assert told == []


def test_an_interruption_during_the_commit_leaves_all_or_nothing(monkeypatch):
    told: list[str] = []
    wrapper = type(connection())
    commit_after = wrapper._commit_after

    def interrupted(self: Any, statements: Any) -> None:
        commit_after(self, statements)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(wrapper, "_commit_after", interrupted)
        with pytest.raises(KeyboardInterrupt), transaction.atomic():
            transaction.on_commit(lambda: told.append("committed"))
            connection().before_commit = riding("one")
    with transaction.atomic():
        Group.objects.create(name="next")
    assert names() == ["next", "one"]
    assert told == []


def test_hooks_run_after_a_commit_with_passengers():
    told: list[list[str]] = []
    with transaction.atomic():
        transaction.on_commit(lambda: told.append(names()))
        connection().before_commit = riding("one")
    assert told == [["one"]]


def test_a_block_begins_with_a_statement_and_tells_the_count_of_its_rows():
    Group.objects.create(name="old")
    with connection().atomic_with("UPDATE auth_group SET name=%s WHERE name=%s", ("new", "old")) as count:
        assert (count, connection().in_atomic_block) == (1, True)
        Group.objects.create(name="more")
    assert names() == ["more", "new"]
    with connection().atomic_with("UPDATE auth_group SET name=%s WHERE name=%s", ("x", "nobody")) as count:
        assert count == 0
    assert connection().get_autocommit()


def test_such_a_block_is_rolled_back_with_its_statement():
    with pytest.raises(ZeroDivisionError), connection().atomic_with(INSERT, ("one",)):
        raise ZeroDivisionError
    assert names() == []


def test_within_a_block_it_is_a_savepoint():
    with transaction.atomic():
        Group.objects.create(name="outer")
        with pytest.raises(ZeroDivisionError), connection().atomic_with(INSERT, ("one",)):
            raise ZeroDivisionError
        with connection().atomic_with(INSERT, ("two",)) as count:
            assert count == 1
    assert names() == ["outer", "two"]


def test_a_first_statement_that_fails_leaves_nothing_open():
    Group.objects.create(name="one")
    with pytest.raises(IntegrityError), connection().atomic_with(INSERT, ("one",)):
        raise AssertionError("it began")
    assert not connection().in_atomic_block
    Group.objects.create(name="two")  # is committed at once
    connection().close()
    assert names() == ["one", "two"]


# --- MySQL and MariaDB


@pytest.mark.mariadb
def test_code_that_ends_its_transactions_itself_keeps_its_mode():
    connection().set_autocommit(False)
    try:
        with connection().atomic_with(INSERT, ("undone",)):
            pass
        connection().rollback()
        with transaction.atomic():
            connection().before_commit = riding("one")
        connection().commit()
        assert not connection().get_autocommit()
        Group.objects.create(name="undone")
        connection().rollback()
    finally:
        connection().set_autocommit(True)
    assert names() == ["one"]


@pytest.mark.mariadb
def test_the_end_is_one_exchange():
    with exchanges() as sent, transaction.atomic():
        connection().before_commit = riding("one", "two")
    assert sent == [f"{INSERT};{INSERT};COMMIT;SET autocommit=1"]
    assert connection().connection.get_autocommit()


@pytest.mark.mariadb
def test_the_beginning_is_one_exchange_and_then_so_is_the_end():
    with exchanges() as sent, connection().atomic_with(INSERT, ("one",)):
        assert not connection().connection.get_autocommit()
    assert sent == [f"SET autocommit=0;{INSERT}", "COMMIT;SET autocommit=1"]


@pytest.mark.mariadb
def test_a_transaction_without_passengers_is_left_alone():
    with exchanges() as sent, transaction.atomic():
        Group.objects.create(name="own")
    assert [text.split()[0] for text in sent] == ["INSERT"]


@pytest.mark.mariadb
def test_a_lock_that_is_not_had_leaves_autocommit_on():
    Group.objects.create(name="one")
    other = load_backend(connection().settings_dict["ENGINE"]).DatabaseWrapper(connection().settings_dict, "other")
    lock = "SELECT 1 FROM auth_group WHERE name=%s FOR UPDATE NOWAIT"
    try:
        other.set_autocommit(False)
        other.cursor().execute(lock, ("one",))
        with pytest.raises(OperationalError), connection().atomic_with(lock, ("one",)):
            raise AssertionError("it began")
    finally:
        other.close()
    assert connection().connection.get_autocommit()
    Group.objects.create(name="two")
    connection().close()
    assert names() == ["one", "two"]


@pytest.mark.mariadb
def test_a_connection_that_is_lost_on_the_way_is_an_error_of_the_database_and_the_next_one_works():
    with pytest.raises(DatabaseError), transaction.atomic():
        Group.objects.create(name="lost")
        end_session()
        connection().before_commit = riding("one")
    with pytest.raises(DatabaseError):
        end_session()
        with connection().atomic_with(INSERT, ("two",)):
            raise AssertionError("it began")
    connection().close_if_unusable_or_obsolete()
    with connection().atomic_with(INSERT, ("three",)):
        pass
    assert names() == ["three"]


def end_session() -> None:
    """Have the server end this connection, as it does when it stops."""
    connection().ensure_connection()
    other = load_backend(connection().settings_dict["ENGINE"]).DatabaseWrapper(connection().settings_dict, "other")
    try:
        with other.cursor() as cursor:
            cursor.execute(f"KILL {connection().connection.thread_id()}")
    finally:
        other.close()


@pytest.mark.mariadb
def test_a_server_behind_a_proxy_gets_one_statement_at_a_time(monkeypatch):
    monkeypatch.setitem(connection().settings_dict["OPTIONS"], "multi_statements", False)
    connection().close()
    try:
        with exchanges() as sent, connection().atomic_with(INSERT, ("one",)):
            connection().before_commit = riding("two")
        assert sent == [INSERT, INSERT]
        assert names() == ["one", "two"]
    finally:
        connection().close()
