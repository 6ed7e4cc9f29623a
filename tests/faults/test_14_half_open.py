"""Row 14: the link between a worker and Redis goes silent, and neither side is told."""

from __future__ import annotations

from tests.faults.budgets import HALF_OPEN_RECOVERY, LONG
from tests.faults.checker import BROKER_AWAY, KILLED
from tests.faults.world import World

BROKER = "redis"


def test_a_half_open_link_loses_nothing_and_is_noticed(world: World) -> None:
    # The quick form has the worker ask after its links every second instead of every ten; the long form is production.
    if not LONG:
        world.replace(world.worker_program("worker_a", FAULTS_HEALTH_CHECK="1"))
    with world.link(to="broker", programs=["worker_a"]) as link:
        load = world.load(count=10**6, pause=0.04)
        world.wait_for_effects(10)
        assert link.go_silent() > 0
        world.wait_for_effects(world.effects() + 20)
        made = load.finish()
        assert made.errors == []
        world.check(within=HALF_OPEN_RECOVERY, declared=(*BROKER_AWAY, *KILLED))
        # The worker has noticed by itself, or has been brought back
        world.check_progress(within=HALF_OPEN_RECOVERY)
