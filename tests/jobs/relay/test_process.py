"""`manage.py relay` as a process: starts, reports, survives outages of everything, ends when it is told to."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis

from tests.faults.brokers import Broker
from tests.servers import mariadb
from tests.servers.fixtures import MariadbServer, RedisServer
from tests.servers.platform import paused
from tests.servers.processes import Process, clean_environment, python, wait_until

Start = Callable[[Process], Process]
INSERT = (
    "INSERT INTO jobs_job (id, app, task, queue, priority, state, due_at, created_at, body, epoch, attempts,"
    " deliveries, token) VALUES "
)


class Store:
    """The database of a relay process, by its URL."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.now = "strftime('%Y-%m-%d %H:%M:%f', 'now', '{:+} seconds')"
        if url.startswith("mysql"):
            self.now = "UTC_TIMESTAMP(6) + INTERVAL {} SECOND"

    def execute(self, sql: str) -> list[tuple[Any, ...]]:
        if self.url.startswith("mysql"):
            return self._ask_mysql(sql)
        with closing(sqlite3.connect(self.url.removeprefix("sqlite:///"), timeout=30)) as connection, connection:
            return list(connection.execute(sql).fetchall())

    def _ask_mysql(self, sql: str) -> list[tuple[Any, ...]]:
        import MySQLdb

        parts = urlsplit(self.url)
        options = {"host": parts.hostname, "port": parts.port, "user": parts.username, "db": parts.path[1:]}
        with closing(MySQLdb.connect(**options)) as connection:
            cursor = connection.cursor()
            cursor.execute(sql)
            connection.commit()
            return list(cursor.fetchall())

    def add(self, count: int, *, state: int = 1, due: float = -1, prefix: str = "j", queue: str = "default") -> None:
        when = self.now.format(due)
        body = "'[[],{},{}]'"
        for start in range(0, count, 1000):
            lines = ",".join(
                f"('{prefix}{number}','myproject','celery.ping','{queue}',0,{state},{when},{when},{body},0,0,0,0)"
                for number in range(start, min(start + 1000, count))
            )
            self.execute(INSERT + lines)

    def report(self) -> dict[str, Any]:
        found = self.execute("SELECT report FROM jobs_relay")
        return json.loads(found[0][0]) if found else {}

    def app_report(self) -> dict[str, Any]:
        found: dict[str, Any] = self.report().get("apps", {}).get("myproject", {})
        return found


@pytest.fixture(scope="module")
def migrated() -> dict[str, str]:
    """Databases with tables, by kind: made when they are first asked for."""
    return {}


@pytest.fixture(params=["sqlite", "mariadb"])
def database_url(
    request: pytest.FixtureRequest, migrated: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> str:
    """The URL of a database with empty tables, once on SQLite and once on MariaDB."""
    if request.param not in migrated:
        folder = tmp_path_factory.mktemp("database")
        url = f"sqlite:///{folder / 'db.sqlite3'}"
        if request.param == "mariadb":
            server: MariadbServer = request.getfixturevalue("mariadb_server")
            url = server.fresh_url()
        env = environment_for(url, "redis://127.0.0.1:1/0", folder)
        with Process(
            [python(), "manage.py", "migrate", "--verbosity", "0"], folder=folder, name="migrate", env=env
        ) as process:
            wait_until(lambda: not process.is_running(), timeout=180, what="the migration")
            assert process.popen.returncode == 0, process.log()
        migrated[request.param] = url
    store = Store(migrated[request.param])
    for table in ("jobs_job", "jobs_relay", "jobs_brokermark"):
        store.execute(f"DELETE FROM {table}")
    return store.url


@pytest.fixture
def environment(database_url: str, valkey_server: RedisServer, tmp_path: Path) -> dict[str, str]:
    return environment_for(database_url, valkey_server.fresh_url(), tmp_path)


def environment_for(database_url: str, redis_url: str, folder: Path) -> dict[str, str]:
    address, _, number = redis_url.rpartition("/")
    return clean_environment(
        DJANGO_SETTINGS_MODULE="myproject.settings.development",
        STATE_DIR=str(folder / "state"),
        DATABASE_URL=database_url,
        REDIS_URL=redis_url,
        ABANDON_CART_REDIS_URL=f"{address}/{int(number) + 3}",
        SECRET_KEY="a-key-for-tests-that-is-long-enough-to-sign-with-it",
        EMAIL_URL="dummy://",
        LOG_FORMAT="json",
    )


@pytest.fixture
def relay(tmp_path: Path, start_process: Start) -> Callable[..., Process]:
    """Return a function that starts a relay."""

    def start(env: dict[str, str], *options: str, name: str = "relay") -> Process:
        command = [python(), "manage.py", "relay", *options]
        found = start_process(Process(command, folder=tmp_path, name=name, env=env))
        return found.wait_ready(lambda: "relay started" in found.log(), timeout=180)

    return start


def length(env: dict[str, str], queue: str = "default") -> int:
    return int(redis.Redis.from_url(env["REDIS_URL"]).llen(queue))


def test_it_publishes_reports_and_ends_when_told(environment: dict[str, str], relay: Callable[..., Process]) -> None:
    process = relay(environment)
    store = Store(environment["DATABASE_URL"])
    store.add(150, prefix="lost")
    store.add(150, state=0, prefix="due")
    wait_until(lambda: length(environment) == 300, timeout=90, what="publishing")
    counts = {"published": 150, "republished": 150}
    wait_until(lambda: counts.items() <= store.app_report().items(), timeout=90, what="the report")
    report = store.report()
    assert report["apps"]["myproject"]["outage"] is None
    assert set(report["apps"]) == {"myproject", "fast_queue"}
    assert store.execute("SELECT DISTINCT state FROM jobs_job") == [(1,)]
    assert process.stop() == 0
    assert store.execute("SELECT id FROM jobs_relay") == []


def test_two_relays_publish_every_row_once(environment: dict[str, str], relay: Callable[..., Process]) -> None:
    relay(environment)
    relay(environment, name="second")
    store = Store(environment["DATABASE_URL"])
    wait_until(lambda: len(store.execute("SELECT id FROM jobs_relay")) == 2, timeout=90, what="both reports")
    store.add(1_000, prefix="lost")
    store.add(500, state=0, prefix="due")
    done = "SELECT COUNT(*) FROM jobs_job WHERE state=1 AND (deliveries=1 OR id LIKE 'due%')"
    wait_until(lambda: store.execute(done)[0][0] == 1_500, timeout=90, what="publishing")
    wait_until(lambda: length(environment) >= 1_500, timeout=90, what="the messages")
    time.sleep(1)
    assert length(environment) == 1_500


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    """A Redis of the test's own, on a port that it keeps; not started."""
    found = Broker("redis", folder=tmp_path / "broker")
    yield found
    if found.is_running():
        found.kill()


def test_an_outage_of_the_broker_leaves_the_rows_as_they_are(
    database_url: str, tmp_path: Path, relay: Callable[..., Process], broker: Broker
) -> None:
    env = environment_for(database_url, broker.url, tmp_path)
    process = relay(env)
    store = Store(database_url)
    store.add(50, state=0)
    wait_until(lambda: store.app_report().get("outage"), timeout=90, what="the outage")
    assert store.execute("SELECT DISTINCT state, deliveries FROM jobs_job") == [(0, 0)]
    broker.start()
    wait_until(lambda: length(env) == 50, timeout=90, what="publishing after the outage")
    wait_until(lambda: store.app_report()["outage"] is None, timeout=90, what="the end of the outage")
    assert process.is_running()


def test_a_broker_that_came_back_empty_gets_everything_again_once(
    database_url: str, tmp_path: Path, relay: Callable[..., Process], broker: Broker
) -> None:
    env = environment_for(database_url, broker.url, tmp_path)
    store = Store(database_url)
    broker.start()
    relay(env)
    store.add(500, state=0)
    wait_until(lambda: length(env) == 500, timeout=90, what="publishing")
    wait_until(lambda: store.execute("SELECT count FROM jobs_brokermark") != [], timeout=90, what="the mark")
    broker.kill()
    broker.start()
    wait_until(lambda: length(env) == 500, timeout=90, what="publishing everything again")
    time.sleep(1)
    assert length(env) == 500
    assert store.execute("SELECT DISTINCT deliveries FROM jobs_job") == [(1,)]


def test_a_broker_that_takes_no_writes_leaves_the_rows_as_they_are(
    database_url: str, tmp_path: Path, relay: Callable[..., Process], broker: Broker
) -> None:
    env = environment_for(database_url, broker.url, tmp_path)
    store = Store(database_url)
    broker.start()
    relay(env)
    with broker.client() as client:
        client.config_set("min-replicas-to-write", 1)
        wait_until(lambda: store.app_report().get("outage"), timeout=90, what="the outage")
        store.add(50, state=0)
        time.sleep(1)
        assert store.execute("SELECT DISTINCT state, deliveries FROM jobs_job") == [(0, 0)]
        client.config_set("min-replicas-to-write", 0)
    wait_until(lambda: length(env) == 50, timeout=90, what="publishing after the outage")


def test_it_outlives_its_database(environment: dict[str, str], relay: Callable[..., Process]) -> None:
    """Its connections are killed, and its tables are not there for a while."""
    process = relay(environment)
    store = Store(environment["DATABASE_URL"])
    store.execute("ALTER TABLE jobs_job RENAME TO jobs_away")
    wait_until(lambda: "cannot publish" in process.log(), timeout=90, what="the trouble")
    store.execute("ALTER TABLE jobs_away RENAME TO jobs_job")
    store.add(10, state=0)
    wait_until(lambda: length(environment) == 10, timeout=90, what="publishing after the trouble")
    if store.url.startswith("mysql"):
        import MySQLdb

        database = store.url.rpartition("/")[2]
        killed = 0
        for (number,) in store.execute(f"SELECT id FROM information_schema.processlist WHERE db='{database}'"):
            with suppress(MySQLdb.OperationalError):  # our own, or gone
                mariadb.execute(store.url, f"KILL {number:d}")
                killed += 1
        assert killed > 0
        store.add(10, state=0, prefix="more")
        wait_until(lambda: length(environment) == 20, timeout=90, what="publishing on new connections")
    assert process.is_running()


def test_it_goes_on_after_a_stop_and_a_continue(environment: dict[str, str], relay: Callable[..., Process]) -> None:
    process = relay(environment)
    store = Store(environment["DATABASE_URL"])
    with paused(process.pid, database_url=store.url):
        store.add(10, state=0)
    wait_until(lambda: length(environment) == 10, timeout=90, what="publishing")


def peak_memory(process: Process) -> float:
    """Return the most megabytes that a process has held so far."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


@pytest.mark.slow
@pytest.mark.timeout(500)
def test_its_memory_does_not_grow_with_the_rows(environment: dict[str, str], relay: Callable[..., Process]) -> None:
    """200,000 rows wait to be published, 60,000 of them are; a relay that read them all would hold 200 MB more."""
    store = Store(environment["DATABASE_URL"])
    process = relay(environment, "--window", "60000")
    store.add(2_000, state=0, prefix="first")
    wait_until(lambda: length(environment) == 2_000, timeout=90, what="the first batches")
    before = peak_memory(process)
    store.add(100_000, state=0, prefix="due", due=-60)
    store.add(100_000, prefix="lost", due=-60)
    wait_until(lambda: length(environment) >= 60_000, timeout=240, what="filling the window")
    assert peak_memory(process) - before < 50
    assert length(environment) < 100_000


@pytest.mark.slow
def test_what_is_due_is_published_in_time(environment: dict[str, str], relay: Callable[..., Process]) -> None:
    """100 jobs become due in each of three seconds. Measured: 0.05 s late at the 99th percentile."""
    relay(environment)
    store = Store(environment["DATABASE_URL"])
    due_at = {}
    for number in range(30):
        store.add(10, state=0, due=3 + number / 10, prefix=f"n{number:02}-")
    for task_id, moment in store.execute("SELECT id, due_at FROM jobs_job"):
        found = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
        due_at[task_id] = found.replace(tzinfo=UTC).timestamp()
    wait_until(lambda: length(environment) == 300, timeout=90, what="publishing")
    messages = redis.Redis.from_url(environment["REDIS_URL"]).lrange("default", 0, -1)
    headers = [json.loads(message)["headers"] for message in messages]
    late = sorted(found["job_at"] / 1000 - due_at[found["id"]] for found in headers)
    assert late[0] > -0.01  # never early
    assert late[150] < 10  # on a machine that does ten other things
