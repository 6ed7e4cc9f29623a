"""Workflows and results with real workers and a real Redis, on SQLite and on MariaDB."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.servers import programs
from tests.servers.fixtures import RedisServer
from tests.servers.processes import Process, clean_environment, python

# Alone: beside three other passes on two cores its worker once took no job for a minute.
pytestmark = [pytest.mark.slow, pytest.mark.alone]

Scenario = Callable[[str], Any]


@pytest.fixture(scope="module", params=["sqlite", "mariadb"])
def scenario(
    request: pytest.FixtureRequest, valkey_server: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Scenario]:
    """Start a worker and a relay; return a function that runs a scenario of `live_client` and returns its JSON."""
    folder = tmp_path_factory.mktemp("live")
    url = f"sqlite:///{folder / 'db.sqlite3'}"
    if request.param == "mariadb":
        url = request.getfixturevalue("mariadb_server").fresh_url()
    broker = valkey_server.fresh_url()
    address, _, number = broker.rpartition("/")
    env = clean_environment(
        DJANGO_SETTINGS_MODULE="myproject.settings.test",
        STATE_DIR=str(folder / "state"),
        DATABASE_URL=url,
        REDIS_URL=broker,
        TESTS_GATE_URL=f"{address}/{int(number) + 2}",
        ABANDON_CART_REDIS_URL=f"{address}/{int(number) + 3}",
        JOBS_LOST_AFTER="2",
        LOG_FORMAT="json",
    )

    def run(*command: str) -> str:
        done = subprocess.run([python(), *command], env=env, capture_output=True, text=True, timeout=170, check=False)
        assert done.returncode == 0, done.stderr[-4000:]
        return done.stdout

    run("manage.py", "migrate", "--verbosity", "0")
    started: list[Process] = []
    try:
        relay = Process([python(), "manage.py", "relay"], folder=folder, name="relay", env=env)
        started.append(relay)
        started.append(
            programs.start_worker(
                env=env, queues=["default"], folder=folder, app="tests.jobs.live_worker", concurrency=2
            )
        )
        relay.wait_ready(lambda: "relay started" in relay.log(), timeout=180)
        yield lambda name: json.loads(run("-m", "tests.jobs.live_client", name).splitlines()[-1])
    finally:
        for process in reversed(started):
            process.stop()


def test_workflows_of_every_kind_come_to_their_results(scenario: Scenario) -> None:
    assert scenario("forms") == {
        "chain": 16,
        "group": [2 * n for n in range(10)],
        "chord": 380,
        "nested": [3, 23],
        "replaced": 6,
        "grouped": [2, 3],
        "retried": [5, 2],
        "quiet retry": "after 1",
        "chunks": [[0, 2], [4, 6], [8, 10]],
        "starmap": [3, 7],
        "best effort": 7,
        "mixed": 3,
        "mixed chord": 5,
    }


def test_a_failure_reaches_everybody_who_waits(scenario: Scenario) -> None:
    assert scenario("failures") == {"chord": "FAILURE", "error": "ChordError", "chain": "Refused: declined"}


def test_what_runs_is_started_and_shows_its_progress(scenario: Scenario) -> None:
    seen = scenario("progress")

    assert seen["transaction"]["started"]
    assert seen["transaction"]["shown"] == {"current": 3, "total": 10}
    assert seen["transaction"]["result"] == 1
    assert seen["lease"] == {
        "started": seen["transaction"]["started"],
        "shown": {"current": 4, "total": 10},
        "result": "sent",
    }


@pytest.mark.serial
def test_a_waiter_is_told_and_does_not_depend_on_it(scenario: Scenario) -> None:
    waited = scenario("latency")

    # With the word a waiter returns at once; without it at its next look, which is a quarter of a second away at most.
    assert waited["told"] < 15
    assert waited["alone"] < 15


def test_outcomes_outlive_a_flush_of_the_broker(scenario: Scenario) -> None:
    assert scenario("flushed") == {"before": 42, "after": 42, "state": "SUCCESS"}


def test_waiting_in_a_transaction_is_refused_for_its_own_jobs_only(scenario: Scenario) -> None:
    assert scenario("own_transaction") == {"other": 2, "refused": "WaitsForItself", "own": 3}


def test_a_part_that_is_killed_runs_again_and_the_body_runs_once(scenario: Scenario) -> None:
    assert scenario("killed") == {"result": [5, 2]}
