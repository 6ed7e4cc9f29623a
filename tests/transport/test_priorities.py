"""Nine is the most urgent on Redis, Valkey and RabbitMQ, for our producers and for stock ones."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kombu import Connection

from tests.servers.processes import ROOT, Process, clean_environment, python, wait_until

QUEUE = "default"
STEPS = {"priority_steps": list(range(10))}


class Bench:
    """One broker, one record of what ran, and a way to publish to it."""

    def __init__(self, broker_url: str, folder: Path) -> None:
        self.broker_url, self.record = broker_url, folder / "record"
        self.record.touch()
        self.env = clean_environment(
            DJANGO_SETTINGS_MODULE="myproject.settings.test",
            STATE_DIR=str(folder / "state"),
            TEST_RECORD=str(self.record),
            CELERY_BROKER_URL=broker_url,
            CELERY_RESULT_BACKEND="cache+memory://",
        )

    def publish(self, messages: list[tuple[str, str, dict[str, Any]]], *, producer: str = "ours") -> None:
        subprocess.run(
            [python(), "-m", "tests.transport.publisher", producer],
            input=json.dumps(messages), env=self.env, cwd=ROOT, check=True, text=True, timeout=60,
        )  # fmt: skip

    def celery(self, *arguments: str) -> str:
        done = subprocess.run(
            [python(), "-m", "celery", "-A", "tests.transport.app", *arguments],
            env=self.env, cwd=ROOT, check=True, text=True, timeout=60, capture_output=True,
        )  # fmt: skip
        return done.stdout

    def waiting(self) -> int:
        """Return how many messages the broker holds in the queue, whatever their priority."""
        # Redis has no empty lists, so there an empty queue is asked for as a new one.
        passive = self.broker_url.startswith("amqp")
        with Connection(self.broker_url, transport_options={} if passive else STEPS) as connection:
            channel: Any = connection.default_channel
            count: int = channel.queue_declare(QUEUE, passive=passive).message_count
            return count

    def ran(self, count: int) -> list[str]:
        """Return the labels in the order they ran, once there are `count`."""
        wait_until(lambda: len(self.record.read_text().splitlines()) >= count, timeout=90, what=f"{count} tasks")
        return self.record.read_text().splitlines()


@pytest.fixture(params=["redis", "valkey", "rabbitmq"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    if request.param == "rabbitmq":
        url: str = request.getfixturevalue("rabbitmq_server").url
        yield Bench(url, tmp_path)
        with Connection(url) as connection:
            channel: Any = connection.default_channel
            channel.queue_delete(QUEUE)
    else:
        yield Bench(request.getfixturevalue(f"{request.param}_server").fresh_url(), tmp_path)


def start(worker: Callable[..., Process], bench: Bench) -> Process:
    process = worker(env=bench.env, queues=[QUEUE], app="tests.transport.app")
    process.stop_signal = signal.SIGKILL  # nothing of these tests is worth the seconds of a warm shutdown
    return process


def to(priority: int) -> dict[str, Any]:
    return {"priority": priority}


# The tests on RabbitMQ share its queue of that name: they stay in one file, which goes to one worker of xdist.
pytestmark = pytest.mark.slow


def test_nine_runs_first_and_no_priority_means_five(bench: Bench, worker: Callable[..., Process]) -> None:
    # Given messages of every kind that wait before any worker is there
    bench.publish(
        [("tests.record", str(priority), to(priority)) for priority in (0, 3, 6, 9, 5)]
        + [("tests.record", "default", {}), ("tests.record", "4", to(4)), ("tests.record", "late 9", to(9))]
    )

    # When a worker starts
    start(worker, bench)

    # Then it takes the most urgent first, and equal ones in the order they came
    assert bench.ran(8) == ["9", "late 9", "6", "5", "default", "4", "3", "0"]


def test_stock_producer_is_understood(bench: Bench, worker: Callable[..., Process]) -> None:
    # Given a queue that exists, and messages of a producer with nothing but default settings
    bench.publish([("tests.record", "ours", to(8))])
    bench.publish([("tests.record", str(priority), to(priority)) for priority in (0, 3, 6, 9)], producer="stock")

    # When a worker starts
    start(worker, bench)

    # Then its priorities mean the same
    assert bench.ran(5) == ["9", "ours", "6", "3", "0"]


def test_retry_keeps_the_priority(bench: Bench, worker: Callable[..., Process]) -> None:
    # Given an urgent task that fails once, and others that wait behind it
    bench.publish([("tests.record", "0", to(0)), ("tests.record", "8", to(8)), ("tests.retry_once", "9", to(9))])

    # When a worker starts
    start(worker, bench)

    # Then the second try is as urgent as the first
    assert bench.ran(4) == ["9 run 1 priority 9", "9 run 2 priority 9", "8", "0"]


def test_inspect_and_control_reach_the_worker_and_purge_empties_every_priority(
    bench: Bench, worker: Callable[..., Process]
) -> None:
    # Given a worker that was told to leave its queue alone
    process = start(worker, bench)
    node = f"{process.name}@localhost"
    assert json.loads(bench.celery("inspect", "active_queues", "-d", node, "--json"))[node][0]["name"] == QUEUE
    bench.celery("control", "cancel_consumer", QUEUE, "-d", node)

    # When messages of all ten priorities arrive
    bench.publish([("tests.record", str(priority), to(priority)) for priority in range(10)])

    # Then the broker counts all of them and purge removes all of them, and none ran
    assert bench.waiting() == 10
    assert "Purged 10 messages" in bench.celery("purge", "-f", "-Q", QUEUE)
    assert bench.waiting() == 0
    assert bench.record.read_text() == ""
