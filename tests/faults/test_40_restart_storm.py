"""Row 40: everything is killed together, again and again: site, workers, relay, broker and database."""

from __future__ import annotations

from tests.faults.budgets import rounds
from tests.faults.checker import BROKER_AWAY, DATABASE_AWAY, KILLED
from tests.faults.world import World

BROKER = "valkey"
KINDS = {"record": 5, "charge": 2, "announce": 2, "slow": 1}
#: Requests in each life of the site: some are on their way whenever everything dies, and twenty lives leave no backlog
#: whose drain would be taken for the recovery.
LOAD = 60


def test_nothing_is_lost_when_everything_dies_together(world: World) -> None:
    for number in range(rounds(quick=2, long=20)):
        world.load(count=LOAD, pause=0.01, kinds=KINDS, prefix=f"-{number}")
        world.wait_for_effects(world.effects() + 20)
        world.producer.stop()
        pids = {name: world.programs.kill(name) for name in world.programs.programs}
        world.broker.kill()
        world.database.kill()
        world.database.start()
        world.broker.start()
        for name, pid in pids.items():
            world.programs.wait_for_pid(name, other_than=pid)
    world.check(declared=(*BROKER_AWAY, *DATABASE_AWAY, *KILLED))
    world.check_progress()
