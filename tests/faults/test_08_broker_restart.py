"""Row 8: Redis dies and comes back after some seconds, with a backlog behind and messages in every worker's hands."""

from __future__ import annotations

from tests.faults.budgets import rounds
from tests.faults.checker import BROKER_AWAY, KILLED
from tests.faults.world import World

BROKER = "redis"
OUTAGE = 3.0
#: The longest that a request may take while its broker is away: one try with its timeouts, on a slow machine.
PATIENCE = 5.0


def scenario(world: World) -> None:
    """Kill a broker that remembers, under load and with a backlog of slow tasks, and start it again."""
    with world.broker.remembering():
        for number in range(rounds(quick=1, long=6)):
            world.producer.call("slow", *(f"backlog-{number}-{one}" for one in range(40)), args=(0.1,))
            load = world.load(count=10**6, pause=0.02, prefix=f"-{number}")
            world.wait_for_effects(world.effects() + 4)
            world.broker.down_for(OUTAGE)
            made = load.finish()
            if not world.stock:
                assert made.errors == []
                assert made.slowest < PATIENCE


def test_an_outage_of_the_broker_loses_nothing(world: World) -> None:
    scenario(world)
    world.check(declared=(*BROKER_AWAY, *KILLED))
    world.check_progress()
