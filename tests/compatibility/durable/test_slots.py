"""A pool of four runs four jobs at once, also after its children were stopped in every way there is."""

from __future__ import annotations

import os
import signal
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.compatibility.durable.world import World
from tests.servers import programs
from tests.servers.processes import Process, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.server]

WAIT = 90
SLOTS = 4
NODE = "slots@localhost"
QUEUE = "durable_slots"


@pytest.fixture(scope="module")
def pool(durable_world: World) -> Iterator[Process]:
    """A worker of four, with a queue of its own."""
    options = ("--concurrency", str(SLOTS))
    process = durable_world.start_worker("slots", queues=[QUEUE], extra=options)
    yield process
    durable_world.processes.pop("slots").stop()


@contextmanager
def held(world: World, count: int, *, queue: str = QUEUE) -> Iterator[list[Any]]:
    """Have `count` jobs run at the same moment, each in a child of its own, and let them go in the end."""
    go = f"go-{uuid.uuid4().hex}"
    results = [world.tasks.held.apply_async((go,), queue=queue) for _ in range(count)]
    for result in results:
        world.notes(result.id, expect=1)
    yield results
    # Those that were stopped take none; those that were killed run once more.
    world.let_go(go, times=2 * count)


def active(world: World) -> dict[str, int]:
    """Return the process of each job that the pool says it runs."""
    answer = world.app.control.inspect(destination=[NODE], timeout=10, limit=1).active() or {}
    return {task["id"]: task["worker_pid"] for task in answer.get(NODE, ())}


def processes_of(world: World, results: list[Any]) -> list[int]:
    """Return the processes of these jobs and of no other; a body begins before its pool says that it runs."""
    ids = {result.id for result in results}
    found: dict[str, int] = {}

    def are_active() -> bool:
        found.clear()
        found.update(active(world))
        return set(found) == ids

    wait_until(are_active, timeout=WAIT, what="these jobs, and no other, being active")
    return list(found.values())


def children(world: World, node: str = NODE) -> int:
    """Return how many processes the pool has."""
    stats = world.app.control.inspect(destination=[node], timeout=10, limit=1).stats() or {}
    return len(stats[node]["pool"]["processes"]) if node in stats else 0


def assert_all_slots_work(world: World) -> None:
    wait_until(lambda: not active(world), timeout=WAIT, what="an idle pool")
    with held(world, SLOTS) as results:
        assert len(set(processes_of(world, results))) == SLOTS
    assert [result.get(timeout=WAIT) for result in results] == ["let go"] * SLOTS


def test_after_four_terminations(world: World, pool: Process) -> None:
    for sign in ("SIGTERM", "SIGKILL", "SIGQUIT", "SIGTERM"):
        with held(world, 1) as (result,):
            world.app.control.revoke(result.id, terminate=True, signal=sign)
            wait_until(lambda: result.state == "REVOKED", timeout=WAIT, what=f"REVOKED by {sign}")
    assert_all_slots_work(world)


def test_after_four_terminations_at_once(world: World, pool: Process) -> None:
    with held(world, SLOTS) as results:
        world.app.control.revoke([result.id for result in results], terminate=True)
        for result in results:
            wait_until(lambda: result.state == "REVOKED", timeout=WAIT, what="REVOKED")  # noqa: B023
    assert_all_slots_work(world)


def test_after_four_hard_limits(world: World, pool: Process) -> None:
    results = [world.tasks.stubborn.apply_async(queue=QUEUE) for _ in range(SLOTS)]
    for result in results:
        wait_until(lambda: result.state == "FAILURE", timeout=WAIT, what="FAILURE")  # noqa: B023
    assert_all_slots_work(world)


def test_after_four_killed_children(world: World, pool: Process) -> None:
    with held(world, SLOTS) as results:
        for pid in processes_of(world, results):
            os.kill(pid, signal.SIGKILL)
    assert [result.get(timeout=WAIT) for result in results] == ["let go"] * SLOTS
    assert_all_slots_work(world)


def test_after_four_killed_idle_children(world: World, pool: Process) -> None:
    with held(world, SLOTS) as results:
        pids = processes_of(world, results)
    wait_until(lambda: not active(world), timeout=WAIT, what="an idle pool")
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    assert_all_slots_work(world)


def test_after_jobs_were_stopped_that_had_not_begun(world: World, pool: Process) -> None:
    with held(world, SLOTS):
        reserved = [world.tasks.add.apply_async((1, 1), queue=QUEUE) for _ in range(SLOTS)]
        for result in reserved:
            world.app.control.revoke(result.id, terminate=True)
    assert [result.state for result in reserved] == ["REVOKED"] * SLOTS
    assert_all_slots_work(world)


def test_after_the_pool_grew_and_shrank(world: World, pool: Process) -> None:
    ask = {"destination": [NODE], "reply": True, "timeout": 10, "limit": 1}
    with held(world, SLOTS):
        world.app.control.pool_grow(2, **ask)
        wait_until(lambda: children(world) == SLOTS + 2, timeout=WAIT, what="six children")
    wait_until(lambda: not active(world), timeout=WAIT, what="an idle pool")
    world.app.control.pool_shrink(2, **ask)
    wait_until(lambda: children(world) == SLOTS, timeout=WAIT, what="four children")
    assert_all_slots_work(world)


def test_after_the_broker_was_flushed(world: World, pool: Process) -> None:
    with held(world, SLOTS) as results:
        world.empty_broker()
    assert [result.get(timeout=WAIT) for result in results] == ["let go"] * SLOTS
    assert_all_slots_work(world)


def test_a_pool_that_scales_itself(world: World, tmp_path: Path) -> None:
    name = "scaling"
    env = {**world.env, "AUTOSCALE_KEEPALIVE": "1"}  # seconds; Celery's thirty would be waited for
    extra = ("-I", "tests.compatibility.durable.worker_side", "--autoscale", f"{SLOTS},1")
    with programs.start_worker(env=env, queues=[name], folder=tmp_path, name=name, extra=extra):
        for _ in range(2):
            with held(world, SLOTS, queue=name) as results:
                assert children(world, f"{name}@localhost") == SLOTS
            assert [result.get(timeout=WAIT) for result in results] == ["let go"] * SLOTS
            wait_until(lambda: children(world, f"{name}@localhost") == 1, timeout=WAIT, what="one child")
