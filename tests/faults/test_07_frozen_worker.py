"""Row 7: a worker stands still for longer than its lease and then goes on as if nothing had been."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.faults.budgets import LEASE, LONG, STEP
from tests.faults.world import World
from tests.servers.processes import wait_until

#: The long form stands still for longer than Celery's own limits, which are another matter and would end the body.
LIMITS: dict[str, Any] = {"soft_time_limit": 3600, "time_limit": 3600}


def owner(world: World, gate: str) -> str:
    """Return which worker's process came to the gate first."""
    [pid, *_] = world.wait_for_gate(gate)
    return next(name for name in ("worker_a", "worker_b") if pid in world.programs.children(name))


@pytest.mark.parametrize("task", ["charge", "announce"])
def test_a_zombie_finds_that_its_job_was_done_without_it(world: World, task: str) -> None:
    # Given a job that was claimed, in a worker that stands still before it calls the receiver
    [task_id] = world.producer.call(task, "thing", args=("gate",), **LIMITS)
    name = owner(world, "gate-before")
    world.gates.open("gate-after")
    with world.programs.frozen(name):
        # When its lease ends, another worker does the job
        world.gates.open("gate-before")
        wait_until(lambda: world.oracle.knows("thing"), timeout=STEP + LEASE, what="the other worker doing the job")
        wait_until(lambda: world.jobs("state", "id = %s", task_id) == [(3,)], timeout=STEP, what="the job's end")
        [before] = world.jobs("token, finished_at", "id = %s", task_id)
        time.sleep(60 if LONG else 0)
    # Then the first one, thawed, is told by the receiver that it knows the key, and writes nothing
    wait_until(lambda: world.oracle.refused() == {"thing": 1}, timeout=STEP, what="the zombie's call")
    world.check(declared=(r"lease",))
    assert world.jobs("token, finished_at", "id = %s", task_id) == [before]
    assert world.oracle.applied() == {"thing": 1}
    world.check_progress()


def test_a_zombie_without_a_key_at_the_receiver_is_parked_and_not_repeated(world: World) -> None:
    [task_id] = world.producer.call("mail", "letter", args=("gate",), **LIMITS)
    name = owner(world, "gate-before")
    with world.programs.frozen(name):
        wait_until(lambda: world.jobs("state", "id = %s", task_id) == [(4,)], timeout=STEP + LEASE, what="parking")
    world.gates.open("gate-before")
    world.gates.open("gate-after")
    wait_until(lambda: world.oracle.knows("letter"), timeout=STEP, what="the zombie's call")
    world.check(parked=1, declared=(r"lease",))
    assert world.oracle.applied() == {"letter": 1}
    world.check_progress()


def test_a_transaction_has_no_lease_that_could_end(world: World) -> None:
    # Given a job in the middle of its transaction, in a worker that stands still
    [task_id] = world.producer.call("gated", "row", args=("gate",), **LIMITS)
    name = owner(world, "gate")
    with world.programs.frozen(name):
        # When the relay has taken its message for lost and published it again
        world.gates.open("gate")
        time.sleep(60 if LONG else 6)
        # Then nobody else runs it: the row is locked
        assert world.effects() == 0
    world.check()
    assert len(world.gates.arrivals("gate")) == 1
    world.check_progress()
