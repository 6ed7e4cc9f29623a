"""Rows, a real Redis and couriers for the tests of the relay."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from celery import Celery

from myproject.jobs import controls
from myproject.jobs.models import Job
from myproject.jobs.publishing import publisher
from myproject.jobs.relay import rows
from myproject.jobs.relay.courier import Courier
from myproject.jobs.statements import marks
from myproject.jobs.states import JobState
from tests.servers.fixtures import RedisServer

TASK = "tests.jobs.relay.task"


class Lists:
    """What waits in the lists of a broker."""

    def __init__(self, app: Celery, url: str) -> None:
        self.app, self.client = app, redis.Redis.from_url(url)

    def name(self, queue: str, priority: int = 0) -> str:
        return publisher(self.app).list_name(queue, priority)

    def messages(self, queue: str = "q", priority: int = 0) -> list[dict[str, Any]]:
        """Return the headers of the messages that wait, the oldest first."""
        found = self.client.lrange(self.name(queue, priority), 0, -1)
        return [json.loads(message)["headers"] for message in reversed(found)]

    def ids(self, queue: str = "q", priority: int = 0) -> list[str]:
        return [headers["id"] for headers in self.messages(queue, priority)]

    def take(self, count: int = 1, queue: str = "q", priority: int = 0) -> None:
        """Take the oldest messages away, as a worker does."""
        self.client.rpop(self.name(queue, priority), count)

    def length(self, queue: str = "q", priority: int = 0) -> int:
        return int(self.client.llen(self.name(queue, priority)))

    def flush(self) -> None:
        self.client.flushdb()


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    return redis_server.fresh_url()


@pytest.fixture
def celery_app(redis_url: str) -> Iterator[Celery]:
    """An app of its own on an empty Redis database."""
    app = Celery("relayed", set_as_current=False)
    options = {"priority_steps": list(range(10))}
    app.conf.update(broker_read_url=redis_url, broker_write_url=redis_url, broker_transport_options=options)

    @app.task(name=TASK, shared=False)
    def task() -> None:
        """Do nothing."""

    yield app
    app.close()


@pytest.fixture
def lists(celery_app: Celery, redis_url: str) -> Lists:
    return Lists(celery_app, redis_url)


@pytest.fixture
def courier(celery_app: Celery) -> Iterator[Courier]:
    """A courier whose rounds the test makes; it looks at the table and the mark in every one of them."""
    controls.forget()
    yield Eager(celery_app)
    controls.forget()


class Eager(Courier):
    """A courier without its caches: each round is what the next would be some time later."""

    def round(self) -> float:
        self._next_look.clear()
        self._cool.clear()
        self._next_check = 0.0
        return super().round()

    def rounds(self, most: int = 200) -> None:
        """Make rounds until there is nothing left to do at once."""
        for _ in range(most):
            if self.round():
                return
        raise AssertionError(f"the relay was still busy after {most} rounds")


@pytest.fixture
def add() -> Callable[..., list[str]]:
    """Return a function that inserts rows: `due` seconds from now by the database's clock."""

    def insert(
        count: int = 1, *, due: float = -0.1, state: JobState = JobState.QUEUED, prefix: str = "j", **columns: Any
    ) -> list[str]:
        now = rows.database_time()
        ids = [f"{prefix}{number:06}" for number in range(count)]
        values = {"app": "relayed", "task": TASK, "queue": "q", "body": "[[],{},{}]", **columns}
        with_times = {"created_at": rows.stamp(now), **values}
        names = ["id", "state", "due_at", *with_times]
        sql = f"INSERT INTO jobs_job ({', '.join(names)}) VALUES "
        line = f"({marks(names)})"
        step = 20 if len(values["body"]) > 1000 else 500
        for start in range(0, count, step):
            part = range(start, min(start + step, count))
            parameters: list[Any] = []
            for number in part:  # a microsecond apart: the order is told by the time
                parameters += [ids[number], int(state), rows.stamp(now + due + number * 1e-6), *with_times.values()]
            with rows.connections["default"].cursor() as cursor:
                cursor.execute(sql + ",".join([line] * len(part)), parameters)
        return ids

    return insert


def count(**filters: Any) -> int:
    """Return how many jobs there are of a kind."""
    return Job.objects.filter(**filters).count()
