"""One world for all tests of this folder that need no other: prefork, SQLite in a file, Valkey, the relay."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import redis

from tests.compatibility.durable.world import World
from tests.servers.fixtures import RedisServer
from tests.servers.processes import Process


@pytest.fixture(scope="session")
def durable_world(valkey_server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The world's programs, running."""
    folder = tmp_path_factory.mktemp("durable")
    built = World(
        folder=folder, database_url=f"sqlite:///{folder / 'db.sqlite3'}", broker_url=valkey_server.fresh_url()
    )
    try:
        built.manage("migrate", "-v0")
        relay, worker = built.start_relay(), built.start_worker("durable", wait=False)
        relay.wait_ready()
        worker.wait_ready()
        yield built
    finally:
        built.stop()


@pytest.fixture
def world(durable_world: World, django_db_blocker: Any) -> Iterator[World]:
    """The world as the test's own: its database, its app."""
    for process in durable_world.processes.values():
        assert process.is_running(), process.log()[-3000:]
    with django_db_blocker.unblock(), durable_world.entered():
        yield durable_world


@pytest.fixture
def app(world: World) -> Any:
    """The client."""
    return world.app


@pytest.fixture
def tasks(world: World) -> SimpleNamespace:
    """The tests' tasks, which a worker runs."""
    return world.tasks


@pytest.fixture
def notes(world: World) -> Callable[..., list[str]]:
    """Return a function from a key to what was written under it; `expect` waits until that many lines are there."""
    return world.notes


@pytest.fixture
def notebook(world: World) -> redis.Redis:
    """The database that tasks and tests talk through."""
    return world.notebook


@pytest.fixture
def running_worker(world: World) -> Process:
    """The worker's process."""
    return world.processes["durable"]
