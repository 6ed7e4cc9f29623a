"""Row 16: Redis comes back with less than it had: its log lost the tail, or a replica that lagged took its place."""

from __future__ import annotations

import shutil

import pytest

from tests.faults.brokers import Broker
from tests.faults.budgets import STEP, rounds
from tests.faults.checker import BROKER_AWAY, KILLED
from tests.faults.world import World
from tests.servers.processes import wait_until

BROKER = "redis"
BACKLOG = 30


def send_slowly(world: World, prefix: str) -> None:
    """Queue more than the workers can have taken."""
    world.producer.call("slow", *(f"{prefix}-{one}" for one in range(BACKLOG)), args=(0.1,))


def test_a_log_that_lost_its_tail_loses_no_job(world: World) -> None:
    # Given a broker that writes a log, and a backlog in it
    world.broker.kill()
    world.broker.start(appendonly="yes", appendfsync="always", aof_load_truncated="yes")
    for number in range(rounds(quick=1, long=10)):
        send_slowly(world, f"logged-{number}")
        world.wait_for_effects(world.effects() + 2)
        # When it dies, and the disk kept a half of the log
        world.broker.kill()
        [log] = (world.broker.folder / "appendonlydir").glob("*.incr.aof")
        with log.open("r+b") as file:
            file.truncate(log.stat().st_size // 2)
        world.broker.start(**{name.replace("-", "_"): value for name, value in world.broker.options.items()})
    # Then jobs whose messages are gone run, and those whose messages are back from the dead do not run again
    world.check(declared=(*BROKER_AWAY, *KILLED))
    world.check_progress()


@pytest.fixture
def replica(world: World) -> Broker:
    """A second server that follows the world's broker."""
    return Broker(world.broker.kind, folder=world.folder / "replica")


def test_a_replica_that_lagged_loses_and_repeats_no_job(world: World, replica: Broker) -> None:
    send_slowly(world, "before")
    world.wait_for_effects(2)
    # Given a replica that stopped following, with messages of jobs that are done by now
    replica.start(replicaof=f"127.0.0.1 {world.broker.port}")
    try:
        with replica.client() as client:
            wait_until(lambda: client.info("replication")["master_link_status"] == "up", timeout=STEP, what="a copy")
            client.execute_command("REPLICAOF", "NO", "ONE")
            world.wait_for_effects(8)
            send_slowly(world, "after")
            world.wait_for_effects(12)
            client.save()
    finally:
        replica.stop()
    # When it takes the primary's place
    world.broker.kill()
    stale = world.broker.folder / "dump.rdb"
    shutil.copy(replica.folder / "dump.rdb", stale)
    world.broker.start()
    stale.unlink()
    world.check(declared=(*BROKER_AWAY, *KILLED))
    world.check_progress()
