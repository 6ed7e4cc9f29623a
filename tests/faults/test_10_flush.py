"""Row 10: somebody empties Redis while work is queued."""

from __future__ import annotations

from tests.faults.budgets import rounds
from tests.faults.world import World

BROKER = "redis"


def scenario(world: World) -> None:
    """Flush the broker again and again under load."""
    load = world.load(count=10**6, pause=0.03, kinds={"record": 3, "slow": 3})
    for _ in range(rounds(quick=3, long=20)):
        world.producer.call("slow", *(f"queued-{_}-{one}" for one in range(20)), args=(0.1,))
        world.wait_for_effects(world.effects() + 10)
        world.broker.flush()
    load.finish()


def test_flushing_the_broker_loses_nothing(world: World) -> None:
    scenario(world)
    world.check()
    world.check_progress()
