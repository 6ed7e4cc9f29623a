"""Row 11: Redis is emptied between the header of a chord and its body."""

from __future__ import annotations

import pytest

from tests.faults.checker import KILLED
from tests.faults.world import World
from tests.servers.processes import wait_until

BROKER = "valkey"
PARTS = 6


def scenario(world: World) -> None:
    """Flush when some parts have returned, one runs and the rest wait in the broker."""
    world.producer.flow("chord", "flow", size=PARTS, gate="gate")
    world.wait_for_gate("gate")
    world.broker.flush()
    world.gates.open("gate")


def test_the_body_of_a_chord_runs_once_though_its_parts_were_flushed(world: World) -> None:
    scenario(world)
    world.check()


def test_a_flush_after_the_last_part_finds_the_body_promised(world: World) -> None:
    # Given parts that ended while nobody could take the body: both workers stand still
    world.gates.open("gate")
    world.producer.flow("chord", "flow", size=PARTS, gate="gate")
    wait_until(lambda: world.effects() >= PARTS, timeout=60, what="the parts' ends")
    # When the broker is emptied, with the body's message in it or in a worker's hands
    world.broker.flush()
    # Then it runs once
    world.check()


@pytest.mark.parametrize("shape", ["chain", "chord"])
def test_a_flow_goes_on_through_kills_and_flushes(world: World, shape: str) -> None:
    world.producer.flow(shape, "flow", size=20)
    for name in ("worker_a", "worker_b"):
        world.wait_for_effects(world.effects() + 1)
        pid = world.programs.kill(name)
        world.broker.flush()
        world.programs.wait_for_pid(name, other_than=pid)
    world.check(declared=KILLED)
