"""The same on MariaDB and Redis, with workers of other pools and with beat: a tour of what the other files hold."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from celery import chain, chord
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from myproject.jobs.models import Job
from myproject.jobs.states import JobState
from tests.compatibility.durable.world import World
from tests.compatibility.tasks_for_tests import PermanentError
from tests.servers import programs
from tests.servers.fixtures import MariadbServer, RedisServer
from tests.servers.processes import wait_until

WAIT = 60
POOLS = ("threads", "solo")


@pytest.fixture(scope="session")
def mariadb_world(
    mariadb_server: MariadbServer, redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    """A worker of each pool, each with a queue of its own."""
    built = World(
        folder=tmp_path_factory.mktemp("pools"),
        database_url=mariadb_server.fresh_url(),
        broker_url=redis_server.fresh_url(),
    )
    try:
        built.manage("migrate", "jobs", "-v0")
        started = [built.start_relay()]
        started += [built.start_worker(pool, pool=pool, queues=[f"durable_{pool}"], wait=False) for pool in POOLS]
        for process in started:
            process.wait_ready()
        yield built
    finally:
        built.stop()


@pytest.fixture
def world(mariadb_world: World, django_db_blocker: Any) -> Iterator[World]:
    """The world as the test's own."""
    with django_db_blocker.unblock(), mariadb_world.entered():
        yield mariadb_world


@pytest.mark.parametrize("pool", POOLS)
def test_a_tour_of_durable_tasks_on_mariadb(tasks, world, notes, pool):
    queue = f"durable_{pool}"

    def on_queue(task: Any, *args: Any) -> Any:
        return task.s(*args).set(queue=queue)

    add, total = tasks.add, tasks.total.s().set(queue=queue)
    assert on_queue(add, 1, 2).delay().get(timeout=WAIT) == 3
    assert chain(on_queue(add, 1, 2), on_queue(add, 3)).delay().get(timeout=WAIT) == 6
    assert chord([on_queue(add, 1, 2), on_queue(add, 3, 4)])(total).get(timeout=WAIT) == 10
    assert tasks.manual.apply_async(kwargs={"fails": 1}, queue=queue).get(timeout=WAIT) == {"retries": 1}
    assert add.apply_async((1, 1), queue=queue, countdown=0.2).get(timeout=WAIT) == 2
    with pytest.raises(PermanentError, match="refused"):
        tasks.fail.apply_async(("refused",), queue=queue).get(timeout=WAIT)

    go = f"go-{uuid.uuid4().hex}"
    held = tasks.held_in_transaction.apply_async((go,), queue=queue)
    notes(held.id, expect=1)
    wait_until(lambda: held.state in ("STARTED", "PROGRESS"), timeout=WAIT, what="STARTED")
    world.let_go(go)
    assert held.get(timeout=WAIT) == "let go"
    done = on_queue(add, 5, 5).delay()
    done.get(timeout=WAIT)
    world.empty_broker()
    assert (add.AsyncResult(done.id).get(timeout=WAIT), Job.objects.get(id=done.id).state) == (10, JobState.SUCCEEDED)


@pytest.mark.slow
def test_beat_promises_a_periodic_task(tasks, world, notes, tmp_path):
    key = uuid.uuid4().hex
    world.manage("migrate", "django_celery_beat", "-v0")
    interval, _ = IntervalSchedule.objects.get_or_create(every=1, period=IntervalSchedule.SECONDS)
    PeriodicTask.objects.create(
        interval=interval, name=key, task=tasks.note.name, args=json.dumps(["fired", key]), queue="durable_threads"
    )

    with programs.start_beat(env=world.env, folder=tmp_path):
        assert notes(key, expect=2)[:2] == ["fired", "fired"]
    assert Job.objects.filter(task=tasks.note.name, queue="durable_threads").count() >= 2
