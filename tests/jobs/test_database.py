"""A worker keeps its database connection from task to task, replaces a dead one, and shares none across a fork."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from celery import Celery
from celery.result import AsyncResult

from tests.servers import mariadb
from tests.servers.fixtures import MariadbServer, RedisServer
from tests.servers.processes import Process

TASK = "tests.jobs.connection_number"


@pytest.fixture
def urls(valkey_server: RedisServer, mariadb_server: MariadbServer) -> dict[str, str]:
    return {"REDIS_URL": valkey_server.fresh_url(), "DATABASE_URL": mariadb_server.fresh_url()}


def run_tasks(urls: dict[str, str], count: int, *, at_once: int = 1) -> list[tuple[int, ...]]:
    """Run `count` tasks, `at_once` at a time, and return (process, connection) of each."""
    client = Celery("client", set_as_current=False)
    broker = urls["REDIS_URL"]
    backend = broker.rsplit("/", 1)[0] + f"/{int(broker.rsplit('/', 1)[1]) + 1}"
    client.conf.update(
        broker_read_url=broker, broker_write_url=broker, broker_transport_options={"priority_steps": list(range(10))}
    )
    client.backend_cls = backend
    seen = []
    for _ in range(count // at_once):
        results: list[AsyncResult[list[int]]] = [
            client.send_task(TASK, queue="default", priority=5) for _ in range(at_once)
        ]
        seen += [tuple(result.get(timeout=30)) for result in results]
    client.close()
    return seen


@pytest.mark.parametrize("pool", ["prefork", "solo", "threads"])
def test_tasks_share_a_connection_and_a_dead_one_is_replaced(
    pool: str, urls: dict[str, str], worker: Callable[..., Process]
) -> None:
    worker(env=urls, queues=["default"], app="tests.jobs.connection_tasks", pool=pool)
    first = run_tasks(urls, 5)
    assert len(set(first)) == 1
    mariadb.execute(urls["DATABASE_URL"], f"KILL {first[0][1]:d}")
    second = run_tasks(urls, 3)
    assert len(set(second)) == 1
    assert second[0][1] != first[0][1]


def test_processes_of_a_pool_share_no_connection(urls: dict[str, str], worker: Callable[..., Process]) -> None:
    worker(env=urls, queues=["default"], app="tests.jobs.connection_tasks", concurrency=2)
    seen = set(run_tasks(urls, 12, at_once=6))
    assert len(seen) == len({process for process, _ in seen}) == len({number for _, number in seen}) == 2
