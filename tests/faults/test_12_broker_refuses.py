"""Row 12: Redis answers, and refuses: no memory, no replica, read only, no disk, still loading; or it throws away."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

import pytest
import redis

from tests.faults.budgets import LONG, STEP
from tests.faults.checker import BROKER_AWAY, KILLED
from tests.faults.test_08_broker_restart import PATIENCE
from tests.faults.world import World
from tests.servers.processes import wait_until

BROKER = "redis"
SECONDS = 3.0 if LONG else 1.5


@contextlib.contextmanager
def out_of_memory(world: World) -> Iterator[None]:
    """No memory left, and nothing may be thrown away."""
    with world.broker.configured(maxmemory="1"):
        yield


@contextlib.contextmanager
def without_replicas(world: World) -> Iterator[None]:
    """A primary that has lost its replicas, as in a failover."""
    with world.broker.configured(min_replicas_to_write="1"):
        yield


@contextlib.contextmanager
def read_only(world: World) -> Iterator[None]:
    """A primary that was made a replica of one that nobody reaches."""
    with world.broker.client() as client:
        client.config_set("replica-serve-stale-data", "yes")
        client.execute_command("REPLICAOF", "127.0.0.1", "1")
        try:
            yield
        finally:
            client.execute_command("REPLICAOF", "NO", "ONE")


@contextlib.contextmanager
def without_disk(world: World) -> Iterator[None]:
    """Snapshots that cannot be written: the folder is gone."""
    folder = world.broker.folder / "snapshots"
    folder.mkdir()
    world.broker.kill()
    world.broker.start(dir=str(folder), save="3600 1")
    folder.rmdir()
    with world.broker.client() as client:
        with contextlib.suppress(redis.RedisError):
            client.bgsave()
        wait_until(
            lambda: client.info("persistence")["rdb_last_bgsave_status"] == "err",
            timeout=STEP,
            what="a failed snapshot",
        )
        try:
            yield
        finally:
            client.config_set("stop-writes-on-bgsave-error", "no")


@contextlib.contextmanager
def loading(world: World) -> Iterator[None]:
    """A restart with much data: it takes connections and answers nothing but that it is not ready."""
    with world.broker.loading(SECONDS):
        before = world.broker.said("LOADING")
        yield
        assert world.broker.said("LOADING") > before, "no program asked while it was loading"


HARM: dict[str, Callable[[World], contextlib.AbstractContextManager[None]]] = {
    "out of memory": out_of_memory,
    "without replicas": without_replicas,
    "read only": read_only,
    "without disk": without_disk,
    "loading": loading,
}


@pytest.mark.parametrize("harm", list(HARM) if LONG else ["out of memory", "read only", "loading"])
def test_a_broker_that_refuses_costs_no_request_and_no_job(world: World, harm: str) -> None:
    load = world.load(count=10**6, pause=0.04)
    world.wait_for_effects(5)
    with HARM[harm](world):
        time.sleep(SECONDS)
    made = load.finish()
    assert made.errors == []
    assert made.slowest < PATIENCE
    world.check(declared=(*BROKER_AWAY, *KILLED))
    world.check_progress()


def test_messages_that_the_broker_threw_away_are_published_again(world: World) -> None:
    # Given a broker that throws keys away when its memory is full, and jobs in its lists
    world.producer.call("slow", *(f"queued-{one}" for one in range(40)), args=(0.1,))
    world.wait_for_effects(2)
    with (
        world.broker.client() as client,
        world.broker.configured(maxmemory_policy="allkeys-lru"),
        world.broker.configured(maxmemory="1"),
    ):
        # When it is full for a moment
        with contextlib.suppress(redis.RedisError):
            client.set("free", "x")
        wait_until(lambda: client.dbsize() == 0, timeout=STEP, what="everything being thrown away")
    # Then every job runs
    world.check(declared=(*BROKER_AWAY, *KILLED))
    world.check_progress()
