"""Row 9: Redis is shut down without saving and comes back empty."""

from __future__ import annotations

from tests.faults.budgets import rounds
from tests.faults.checker import BROKER_AWAY, KILLED
from tests.faults.world import World

BROKER = "valkey"
OUTAGE = 1.0


def scenario(world: World) -> None:
    """Queue more than the workers can have taken, and shut the broker down."""
    for number in range(rounds(quick=1, long=10)):
        world.producer.call("slow", *(f"queued-{number}-{one}" for one in range(60)), args=(0.1,))
        load = world.load(count=40, pause=0.01, prefix=f"-{number}")
        world.wait_for_effects(world.effects() + 4)
        world.broker.down_for(OUTAGE, nosave=True)
        load.made()


def test_what_the_broker_forgot_is_published_again(world: World) -> None:
    scenario(world)
    world.check(declared=(*BROKER_AWAY, *KILLED))
    world.check_progress()
