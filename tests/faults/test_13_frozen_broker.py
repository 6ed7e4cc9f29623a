"""Row 13: Redis hangs, its sockets open and silent, and goes on later."""

from __future__ import annotations

import time

from tests.faults.budgets import LONG
from tests.faults.checker import BROKER_AWAY, KILLED
from tests.faults.test_08_broker_restart import PATIENCE
from tests.faults.world import World

BROKER = "valkey"
SECONDS = 45.0 if LONG else 5.0


def test_a_broker_that_hangs_blocks_no_request_and_loses_nothing(world: World) -> None:
    world.producer.call("slow", *(f"backlog-{one}" for one in range(20)), args=(0.1,))
    load = world.load(count=10**6, pause=0.05)
    world.wait_for_effects(4)
    with world.broker.frozen():
        time.sleep(SECONDS)
    made = load.finish()
    assert made.errors == []
    assert made.slowest < PATIENCE
    world.check(declared=(*BROKER_AWAY, *KILLED))
    world.check_progress()
