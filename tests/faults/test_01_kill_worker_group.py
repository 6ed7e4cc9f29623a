"""Row 1: kill -9 of a worker with all its processes, in the middle of what it does."""

from __future__ import annotations

import random
import time

from tests.faults.budgets import LONG, rounds, seed_of
from tests.faults.checker import KILLED
from tests.faults.world import World

BROKER = "redis"
#: Half of the tasks call the outside world, where a kill leaves an outcome that nobody knows.
KINDS = {"record": 5, "charge": 2, "announce": 2}
#: Seconds between two requests. During a hundred kills one worker or the other is always starting: with more, the end
#: would be the drain of a backlog, and not a recovery.
PAUSE = 0.15 if LONG else 0.03


def scenario(world: World) -> None:
    """Kill one worker after the other while tasks of all kinds are sent and run."""
    chooser = random.Random(seed_of("row 1"))
    load = world.load(count=10**6, pause=PAUSE, kinds=KINDS)
    world.wait_for_effects(20)
    for number in range(rounds(quick=3, long=100)):
        name = ("worker_a", "worker_b")[number % 2]
        time.sleep(chooser.uniform(0.2, 0.6))
        pid = world.programs.kill(name)
        world.programs.wait_for_pid(name, other_than=pid)
        world.wait_for_effects(world.effects() + 10)
    load.finish()


def test_a_killed_worker_loses_and_doubles_nothing(world: World) -> None:
    scenario(world)
    world.check(declared=KILLED)
    world.check_progress()


def test_mail_is_parked_when_nobody_knows_whether_it_went_out(world: World) -> None:
    # Given a mail that stands between its claim and the receiver, and one that the receiver has taken
    for side in ("before", "after"):
        world.producer.call("mail", f"mail-{side}", args=(f"{side}-gate",))
    world.gates.open("after-gate-before")
    world.wait_for_gate("before-gate-before")
    world.wait_for_gate("after-gate-after")
    # When both workers are killed
    for name in ("worker_a", "worker_b"):
        world.programs.kill(name)
    # Then neither is sent again: a person decides, with what the receiver knows
    world.check(parked=2, declared=KILLED)
    assert world.oracle.applied() == {"mail-after": 1}
    world.gates.open("before-gate-before")
    world.check_progress()
    assert world.oracle.applied() == {"mail-after": 1}
