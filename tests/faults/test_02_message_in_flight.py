"""Row 2: kill -9 of workers to whom Redis has just handed a message that they have not read."""

from __future__ import annotations

import contextlib

from tests.faults.budgets import rounds
from tests.faults.checker import KILLED
from tests.faults.world import WORKERS, World

BROKER = "valkey"


def scenario(world: World) -> None:
    """Stand both workers still while they wait for a message, give each one, and kill them."""
    for number in range(rounds(quick=2, long=20)):
        with contextlib.ExitStack() as still:
            pids = {name: still.enter_context(world.programs.frozen(name)) for name in WORKERS}
            world.producer.call("record", *(f"in-flight-{number}-{one}" for one in range(4)))
            for name in WORKERS:
                world.programs.kill(name)
        for name, pid in pids.items():
            world.programs.wait_for_pid(name, other_than=pid)
        world.wait_for_workers()


def test_messages_on_the_wire_are_not_lost(world: World) -> None:
    scenario(world)
    world.check(declared=KILLED)
