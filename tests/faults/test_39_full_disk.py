"""Row 39: the disk is full under the log that Redis keeps of its data."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from tests.faults.budgets import STEP
from tests.faults.checker import BROKER_AWAY, KILLED
from tests.faults.test_08_broker_restart import PATIENCE
from tests.faults.world import World
from tests.servers.processes import wait_until

BROKER = "valkey"
SIZE = 1_000_000


@pytest.fixture
def small_disk(world: World) -> Iterator[Path]:
    """A disk of a megabyte."""
    folder = world.folder / "small"
    folder.mkdir(exist_ok=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("a small disk needs the right to mount one")
    yield folder
    world.broker.kill()
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_broker_whose_disk_is_full_costs_no_request_and_no_job(world: World, small_disk: Path) -> None:
    world.broker.kill()
    world.broker.start(dir=str(small_disk), appendonly="yes", appendfsync="everysec", auto_aof_rewrite_percentage="0")
    world.wait_for_workers()
    load = world.load(count=10**6, pause=0.02)
    world.wait_for_effects(5)
    # When the disk is full, the broker refuses whatever would have to be written down
    filler = small_disk / "filler"
    with contextlib.suppress(OSError):
        filler.write_bytes(b"x" * SIZE)
    with contextlib.suppress(OSError), filler.open("ab") as rest:
        while rest.write(b"x" * 512):
            rest.flush()
    with world.broker.client() as client:

        def refuses() -> bool:
            try:
                client.set("free", "x" * 2000)
            except redis.RedisError:
                return True
            return False

        wait_until(refuses, timeout=STEP, what="the broker refusing")
    # Then requests are answered as ever; workers cannot take what they cannot acknowledge, and wait
    before = intents(world)
    wait_until(lambda: intents(world) >= before + 20, timeout=STEP, what="requests going on")
    filler.unlink()
    made = load.finish()
    assert made.errors == []
    assert made.slowest < PATIENCE
    world.check(declared=(*BROKER_AWAY, *KILLED))
    world.check_progress()


def intents(world: World) -> int:
    """Return how many promises were committed."""
    return int(world.database.rows("SELECT COUNT(*) FROM shop_intent")[0][0])
