"""Row 17: kill -9 of MariaDB under load, and its recovery."""

from __future__ import annotations

import time

from tests.faults.budgets import LONG, rounds
from tests.faults.checker import BROKER_AWAY, DATABASE_AWAY, KILLED
from tests.faults.world import World

BROKER = "valkey"
KINDS = {"record": 5, "charge": 2, "announce": 2}
SAID = (*DATABASE_AWAY, *KILLED, *BROKER_AWAY)


def test_what_was_committed_survives_and_what_is_in_doubt_is_resolved(world: World) -> None:
    load = world.load(count=10**6, pause=0.01, kinds=KINDS)
    for _ in range(rounds(quick=1, long=10)):
        world.wait_for_effects(world.effects() + 20)
        # When the database dies while requests and bodies are in the middle of their transactions
        world.database.kill()
        time.sleep(5 if LONG else 0.5)
        world.database.start()
    world.wait_for_effects(world.effects() + 10)
    made = load.finish()
    # Then requests failed meanwhile, each as a whole; what committed is done once
    assert made.errors
    world.check(declared=SAID)
    world.check_progress()
