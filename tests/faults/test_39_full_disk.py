"""Row 39: the disk is full under the log that Redis keeps of its data, and under the logs of every program."""

from __future__ import annotations

import contextlib
import resource
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

from tests.faults.budgets import LONG, STEP
from tests.faults.checker import BROKER_AWAY, KILLED
from tests.faults.small_disks import fill, may_mount, mounted
from tests.faults.test_08_broker_restart import PATIENCE
from tests.faults.world import World
from tests.servers.processes import wait_until

BROKER = "valkey"
#: A disk that the broker's log of one test does not fill by itself.
SIZE = 30_000_000
#: Bytes that a file may have under the quota: fewer than the logs have, and enough for a semaphore, a file as well.
QUOTA = 4096
SECONDS = 10.0 if LONG else 1.5
LOGGED: dict[str, Any] = {"appendonly": "yes", "appendfsync": "everysec", "auto_aof_rewrite_percentage": "0"}
Harm = contextlib.AbstractContextManager[None]


@contextlib.contextmanager
def no_longer_files(pid: int) -> Iterator[None]:
    """Let a process make no file longer for the length of the block: a quota that is used up, for everybody to make."""
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (QUOTA, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, before)


@contextlib.contextmanager
def quota(world: World) -> Iterator[Callable[[], Harm]]:
    """The broker's log on the common disk, with a quota for the broker."""
    world.broker.start(**LOGGED)
    yield lambda: no_longer_files(world.broker.pid)


@contextlib.contextmanager
def small_disk(world: World) -> Iterator[Callable[[], Harm]]:
    """The broker's log on a small disk of its own."""
    with mounted(world.folder / "disk", size=SIZE) as disk:
        world.broker.start(dir=str(disk), **LOGGED)

        @contextlib.contextmanager
        def full() -> Iterator[None]:
            filler = fill(disk)
            try:
                yield
            finally:
                filler.unlink()

        yield full
        world.broker.kill()


DISKS = {"quota": quota, **({"small disk": small_disk} if LONG and may_mount() else {})}


@pytest.fixture(params=list(DISKS))
def disk(world: World, request: pytest.FixtureRequest) -> Iterator[Callable[[], Harm]]:
    """A broker that writes a log, and how its disk becomes full."""
    world.broker.kill()
    with DISKS[request.param](world) as become_full:
        world.wait_for_workers()
        yield become_full


def refuses(world: World) -> bool:
    """Tell whether the broker takes no write."""
    try:
        with world.broker.client() as client:
            client.set("free", "x" * 2000)
    except redis.RedisError:
        return True
    return False


def intents(world: World) -> int:
    """Return how many promises were committed."""
    return int(world.database.rows("SELECT COUNT(*) FROM shop_intent")[0][0])


def test_a_broker_whose_disk_is_full_costs_no_request_and_no_job(world: World, disk: Callable[[], Harm]) -> None:
    load = world.load(count=10**6, pause=0.02)
    world.wait_for_effects(5)
    # When the disk is full, the broker refuses whatever would have to be written down
    with disk():
        wait_until(lambda: refuses(world), timeout=STEP, what="the broker refusing")
        # Then requests are answered as ever; workers cannot take what they cannot acknowledge, and wait
        before = intents(world)
        wait_until(lambda: intents(world) >= before + 20, timeout=STEP, what="requests going on")
        time.sleep(SECONDS)
    made = load.finish()
    assert made.errors == []
    assert made.slowest < PATIENCE
    world.check(declared=(*BROKER_AWAY, *KILLED))
    world.check_progress()


def test_programs_whose_logs_cannot_be_written_go_on(world: World) -> None:
    # Bodies that write no file: a worker that starts meanwhile has the same quota
    load = world.load(count=10**6, pause=0.02, kinds={"record": 3, "slow": 1})
    world.wait_for_effects(5)
    log = world.programs.log_file("worker_a")
    assert world.programs.process is not None
    with no_longer_files(world.programs.process.pid):
        size = log.stat().st_size
        assert size > QUOTA
        # A worker says something at each start: that it connects, and that it is ready
        restart(world)
        world.wait_for_effects(world.effects() + 30)
        time.sleep(SECONDS)
        assert log.stat().st_size == size
    load.finish()
    # Then nothing is missing but what was to be read there, and what is said from now on can be read again
    restart(world)
    world.check(declared=KILLED)
    world.check_progress()
    assert log.stat().st_size > size


def restart(world: World) -> None:
    """Kill a worker and wait until it is back."""
    world.programs.wait_for_pid("worker_a", other_than=world.programs.kill("worker_a"))
