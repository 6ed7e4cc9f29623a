"""The harness itself: servers come up empty, stop completely, and what is left behind is found."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
import redis
from kombu import Connection

from tests.servers import fixtures
from tests.servers.fixtures import MariadbServer, RabbitServer, RedisServer
from tests.servers.platform import paused
from tests.servers.pool import ServerPool
from tests.servers.processes import (
    MARK,
    NotAvailable,
    NotStarted,
    Process,
    clean_environment,
    end_survivors,
    find_survivors,
    free_port,
    python,
    sessions_file,
    wait_until,
)
from tests.servers.smtp import SmtpServer

SLEEPER = "import subprocess, sys, time; subprocess.Popen(['sleep', '60'], start_new_session=True); time.sleep(60)"


@pytest.fixture
def mark() -> Iterator[str]:
    name = f"harness-{os.getpid()}-{free_port()}"
    yield name
    end_survivors(name, patience=0)


def start_sleeper(folder: Path, mark: str) -> Process:
    """Start a process that starts another one, which leaves its session."""
    process = Process([python(), "-c", SLEEPER], folder=folder, name="sleeper", env=clean_environment() | {MARK: mark})
    return process.wait_ready(lambda: len(find_survivors(mark)) == 2, timeout=60)


def test_a_process_that_leaves_its_session_is_found_and_ended(tmp_path: Path, mark: str) -> None:
    # Given a process whose child left its group and session
    process = start_sleeper(tmp_path, mark)

    # When the process is stopped by its own id
    process.stop()

    # Then the child is found by its mark, ended and named
    assert list(end_survivors(mark, patience=0.2).values()) == ["sleep 60"]
    assert find_survivors(mark) == {}
    assert not sessions_file(mark).exists()


def test_killing_a_process_takes_its_group_with_it(tmp_path: Path, mark: str) -> None:
    command = [python(), "-c", SLEEPER.replace(", start_new_session=True", "")]
    process = Process(command, folder=tmp_path, name="sleeper", env=clean_environment() | {MARK: mark})
    process.wait_ready(lambda: len(find_survivors(mark)) == 2, timeout=60)
    assert process.kill() == -signal.SIGKILL
    assert end_survivors(mark, patience=2) == {}


WRITER = """
import os, sqlite3, sys, time
os.fork()
database = sqlite3.connect(sys.argv[1], timeout=60, isolation_level=None)
while True:
    database.execute("BEGIN IMMEDIATE")
    database.execute("INSERT INTO entry VALUES (1)")
    time.sleep(0.02)
    database.execute("COMMIT")
    time.sleep(0.01)
"""


def test_a_paused_program_stands_still_and_holds_no_lock(tmp_path: Path) -> None:
    # Given a program of two processes that hold the write lock most of the time
    path = tmp_path / "a database.sqlite3"

    def count() -> int:
        with contextlib.closing(sqlite3.connect(path, timeout=60)) as database:
            return int(database.execute("SELECT COUNT(*) FROM entry").fetchone()[0])

    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("CREATE TABLE entry (number INTEGER)")
    with Process([python(), "-c", WRITER, str(path)], folder=tmp_path, name="writer") as writer:
        wait_until(lambda: count() > 2, timeout=60, what="entries")

        # When it is paused
        with paused(writer.pid, database_url="sqlite:///" + quote(str(path))):
            # Then it writes nothing and we may
            before = count()
            with contextlib.closing(sqlite3.connect(path, timeout=0.1, isolation_level=None)) as database:
                database.execute("BEGIN IMMEDIATE")
                time.sleep(0.2)
                database.execute("ROLLBACK")
            assert count() == before

        # And afterwards it goes on
        wait_until(lambda: count() > before, timeout=60, what="more entries")


def test_a_program_that_ends_at_once_is_reported_with_its_log(tmp_path: Path) -> None:
    process = Process([python(), "-c", "raise SystemExit('no such setting')"], folder=tmp_path, name="web")
    with pytest.raises(NotStarted, match="no such setting"):
        process.wait_ready(lambda: False, timeout=60)


def test_environment_of_programs_holds_nothing_of_the_developer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://production/0")
    assert "REDIS_URL" not in clean_environment()


@pytest.mark.parametrize("name", ["redis", "valkey"])
def test_redis_databases_are_fresh(name: str, request: pytest.FixtureRequest) -> None:
    server: RedisServer = request.getfixturevalue(f"{name}_server")
    first, second = server.fresh_url(), server.fresh_url()
    assert first != second
    with redis.Redis.from_url(first) as client:
        client.set("key", "value")
    with redis.Redis.from_url(second) as client:
        assert client.dbsize() == 0
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}


def test_mariadb_gives_empty_databases(mariadb_server: MariadbServer) -> None:
    import MySQLdb

    url = mariadb_server.fresh_url()
    port = int(url.rpartition(":")[2].partition("/")[0])
    connection = MySQLdb.connect(host="127.0.0.1", port=port, user="root", database=url.rpartition("/")[2])
    cursor = connection.cursor()
    cursor.execute("SHOW TABLES")
    assert cursor.fetchall() == ()
    connection.close()


def test_rabbitmq_accepts_connections(rabbitmq_server: RabbitServer) -> None:
    with Connection(rabbitmq_server.url) as connection:
        connection.connect()
        assert connection.connected


def test_smtp_keeps_mails_and_can_refuse(smtp_server: SmtpServer) -> None:
    import smtplib
    from email.message import EmailMessage

    mail = EmailMessage()
    mail["To"], mail["From"], mail["Subject"] = "ada@example.com", "shop@example.com", "Order 1"
    with smtplib.SMTP("127.0.0.1", smtp_server.port) as client:
        client.send_message(mail)
        smtp_server.refuse = "451 4.3.0 try again later"
        with pytest.raises(smtplib.SMTPDataError, match="try again later"):
            client.send_message(mail)
    assert smtp_server.recipients() == ["ada@example.com"]


def test_missing_server_skips_by_name_and_fails_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="server redis is missing: not installed"):
        fixtures.missing("redis", NotAvailable("not installed"))
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="required server redis is missing: not installed"):
        fixtures.missing("redis", NotAvailable("not installed"))


def test_pool_starts_a_server_once_and_stops_it(monkeypatch: pytest.MonkeyPatch, mark: str) -> None:
    # Given a pool of our own, and no server that is already up
    monkeypatch.delenv("TEST_REDIS_URL", raising=False)
    monkeypatch.setenv(MARK, mark)
    pool = ServerPool.create()
    try:
        # When two ask for the same server
        try:
            urls = {pool.url("redis"), ServerPool(pool.folder).url("redis")}
        except NotAvailable as reason:
            fixtures.missing("redis", reason)

        # Then they get the same one
        assert len(urls) == 1
        assert len(find_survivors(mark)) == 1
    finally:
        pool.stop()

    # And nothing of it stays
    assert end_survivors(mark, patience=2) == {}
    assert not pool.folder.exists()


def test_child_dies_with_the_process_that_started_it(tmp_path: Path, mark: str) -> None:
    # Given a process that starts another through the harness
    code = (
        "import sys, time; from pathlib import Path; from tests.servers.processes import Process;"
        "Process(['sleep', '60'], folder=Path(sys.argv[1]), name='child'); print('up', flush=True); time.sleep(60)"
    )
    command = [python(), "-c", code, str(tmp_path)]
    with subprocess.Popen(command, env=clean_environment() | {MARK: mark}, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()
        assert len(find_survivors(mark)) == 2

        # When it is killed, so that it can clear nothing away
        parent.kill()

    # Then the other one is gone too
    assert end_survivors(mark, patience=5) == {}
