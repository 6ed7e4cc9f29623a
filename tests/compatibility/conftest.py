"""One worker of the project's app, one Valkey and a client with the same settings, for all tests of this folder."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import redis
from celery import Celery

from tests.compatibility.tasks_for_tests import WROTE, register
from tests.servers import programs
from tests.servers.fixtures import RedisServer
from tests.servers.processes import ROOT, Process, clean_environment, python, wait_until

NODE = "compatibility@localhost"
QUEUES = ("default", "compatibility_math", "compatibility.math")


@pytest.fixture(scope="session")
def broker_url(valkey_server: RedisServer) -> str:
    """An empty broker database; results, and the notes of tasks and signals, stand in the two after it."""
    return valkey_server.fresh_url()


def neighbour(url: str, offset: int) -> str:
    """Return the URL of the database `offset` numbers further on."""
    address, _, number = url.rpartition("/")
    return f"{address}/{int(number) + offset}"


@pytest.fixture(scope="session")
def worker_env(broker_url: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What a program of the project needs to reach the same servers as the tests."""
    state = tmp_path_factory.mktemp("compatibility-state")
    return clean_environment(
        DJANGO_SETTINGS_MODULE="myproject.settings.test",
        STATE_DIR=str(state),
        DATABASE_URL=f"sqlite:///{state / 'db.sqlite3'}",
        REDIS_URL=broker_url,
        ABANDON_CART_REDIS_URL=neighbour(broker_url, 3),
        TESTS_NOTEBOOK_URL=neighbour(broker_url, 2),
        LOG_FORMAT="json",
    )


@pytest.fixture(scope="session")
def client(broker_url: str) -> Iterator[Celery]:
    """A producer: the project's settings, the servers of these tests."""
    app = Celery("myproject", set_as_current=False)
    app.config_from_object("django.conf:settings", namespace="CELERY")
    # These win over CELERY_BROKER_URL and CELERY_RESULT_BACKEND, which the test settings put into the environment.
    app.conf.update(broker_write_url=broker_url, broker_read_url=broker_url)
    app.backend_cls = neighbour(broker_url, 1)
    yield app
    # Results that nobody fetched unsubscribe when they are collected, which may be after the server is gone.
    backend: Any = app.backend
    backend.result_consumer.stop()
    backend.remove_pending_result = lambda result: result
    app.close()


@pytest.fixture(scope="session")
def registered(client: Celery) -> SimpleNamespace:
    """The tests' tasks, bound to the client; no worker runs for this alone."""
    return register(client)


@pytest.fixture(scope="session")
def running_worker(worker_env: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """A prefork worker of two processes with the tests' tasks."""
    migrate = [python(), "manage.py", "migrate", "jobs", "-v0"]  # the worker asks the rows about every id that it ends
    subprocess.run(migrate, env=worker_env, cwd=ROOT, check=True, capture_output=True, timeout=180)
    process = programs.start_worker(
        env=worker_env,
        queues=QUEUES,
        folder=tmp_path_factory.mktemp("compatibility"),
        concurrency=2,
        name=NODE.partition("@")[0],
        extra=("-I", "tests.compatibility.worker_side", "-E"),
    )
    with process:
        yield process


@pytest.fixture
def tasks(registered: SimpleNamespace, running_worker: Process) -> SimpleNamespace:
    """The tests' tasks, with a worker that runs them."""
    assert running_worker.is_running(), running_worker.log()[-3000:]
    return registered


@pytest.fixture
def notes(worker_env: dict[str, str]) -> Iterator[Callable[..., list[str]]]:
    """Return a function from a key to what was written under it; `expect` waits until that many lines are there."""
    with redis.Redis.from_url(worker_env["TESTS_NOTEBOOK_URL"], decode_responses=True) as client:

        def read(key: str, *, expect: int = 0) -> list[str]:
            name = WROTE + key
            if expect:
                wait_until(lambda: client.llen(name) >= expect, timeout=60, what=f"{expect} notes under {key}")
            found: Any = client.lrange(name, 0, -1)
            return list(found)

        yield read


@pytest.fixture
def notebook(worker_env: dict[str, str]) -> Iterator[redis.Redis]:
    """The database that tasks and tests talk through."""
    with redis.Redis.from_url(worker_env["TESTS_NOTEBOOK_URL"], decode_responses=True) as client:
        yield client
