"""Row 3: kill -9 of one process of a worker's pool, as the kernel does when memory is short."""

from __future__ import annotations

import os
import signal

from tests.faults.budgets import rounds
from tests.faults.checker import KILLED
from tests.faults.world import World


def deaths(world: World, task_id: str) -> int:
    """Return how many deaths were counted against a job."""
    [(count,)] = world.database.rows(
        "SELECT COUNT(*) FROM jobs_jobevent WHERE job_id = %s AND kind = 'killed'", task_id
    )
    return int(count)


def test_a_killed_process_costs_its_job_one_attempt_and_nobody_else(world: World) -> None:
    count = rounds(quick=2, long=20)
    hit = set()
    load = world.load(count=40 * count, pause=0.01)
    for number in range(count):
        # Given a job in the middle of its body, its effect written and not committed
        [task_id] = world.producer.call("gated", f"hit-{number}", args=(f"gate-{number}",))
        [pid] = world.wait_for_gate(f"gate-{number}")
        # When its process is killed
        os.kill(pid, signal.SIGKILL)
        world.gates.open(f"gate-{number}")
        # Then it runs again, in another process, and that is one attempt more
        arrivals = world.wait_for_gate(f"gate-{number}", times=2)
        assert arrivals[1] != pid
        # Its pool counts the death, and then the next start is one more. When the job waited for so long that a second
        # message was under way, that one may have begun before the pool could look: then the start alone is counted.
        [(attempts,)] = world.jobs("attempts", "id = %s", task_id)
        assert attempts == 1 + deaths(world, task_id)
        hit.add(task_id)
    assert load.made().errors == []
    world.check(declared=KILLED)
    assert {task_id for (task_id,) in world.database.rows("SELECT job_id FROM jobs_jobevent")} <= hit
    assert world.jobs("COUNT(*)", "attempts > 2") == [(0,)]
    world.check_progress()


def test_a_call_that_was_made_is_looked_up_and_not_made_again(world: World) -> None:
    # Given a charge that the receiver has taken, in a process that does not know it yet
    world.gates.open("gate-before")
    world.producer.call("charge", "taken", args=("gate",))
    [pid] = world.wait_for_gate("gate-after")
    # When the process is killed
    os.kill(pid, signal.SIGKILL)
    world.gates.open("gate-after")
    # Then the receiver is asked, and hears of no second charge
    world.check(declared=KILLED)
    assert world.oracle.applied() == {"taken": 1}
    assert world.oracle.refused() == {}
