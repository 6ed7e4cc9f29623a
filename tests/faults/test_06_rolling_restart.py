"""Row 6: SIGTERM to one worker after the other under load, as a deployment does."""

from __future__ import annotations

from tests.faults.budgets import rounds
from tests.faults.programs import wait_gone
from tests.faults.world import WORKERS, World

DATABASE = "sqlite"


def test_a_rolling_restart_loses_nothing_and_runs_nothing_twice(world: World) -> None:
    load = world.load(count=10**6, pause=0.04, kinds={"record": 4, "slow": 1, "charge": 1})
    world.wait_for_effects(10)
    for number in range(rounds(quick=2, long=8)):
        name = WORKERS[number % 2]
        pid = world.programs.terminate(name)
        wait_gone(pid)
        world.programs.wait_for_pid(name, other_than=pid)
        world.wait_for_effects(world.effects() + 10)
    made = load.finish()
    assert made.errors == []
    world.check()
    # No body was begun a second time. What a worker had only reserved was delivered again and counted when it began.
    assert world.jobs("COUNT(*)", "attempts > 1") == [(0,)]
    assert world.database.rows("SELECT COUNT(*) FROM jobs_jobevent") == [(0,)]
    assert sum(world.oracle.refused().values()) == 0
    world.check_progress()
