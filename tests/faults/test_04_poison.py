"""Row 4: tasks that always kill their process, in each of the ways that happen."""

from __future__ import annotations

from typing import Any

import pytest

from tests.faults.checker import KILLED
from tests.faults.world import World

WAYS = ("kill", "segfault", "exit", "memory", "recursion", "loop")
#: A loop without end is stopped by the hard limit: the pool kills the process.
LIMITS: dict[str, Any] = {"time_limit": 2, "soft_time_limit": 1}
#: Three deaths park a job. On a busy machine a death may be seen when the next run has begun: it is not counted then.
RUNS = (3, 4, 5)
#: What Celery and the interpreter rightly say of each.
SAID = (
    *KILLED, r"Segmentation fault", r"SystemExit", r"MemoryError", r"RecursionError", r"[Hh]ard time limit",
    r"TimeLimit", r"declared harm", r"JobKilled", r"signal 11", r"SIGSEGV",
)  # fmt: skip


def history(world: World, way: str) -> list[tuple[object, ...]]:
    """Return what the platform noted of a kind of poison, for messages."""
    [(task_id, attempts, deliveries)] = world.jobs("id, attempts, deliveries", "body LIKE %s", f'%"{way}"%')
    events = world.database.rows("SELECT at, kind, attempts, error FROM jobs_jobevent WHERE job_id = %s", task_id)
    return [(task_id, attempts, deliveries), *events]


def scenario(world: World) -> None:
    """Send poison of every kind among harmless tasks."""
    load = world.load(count=150, pause=0.01)
    for way in WAYS:
        world.producer.call("poison", f"poison-{way}", args=(way,), **(LIMITS if way == "loop" else {}))
    load.made()


def test_poison_is_parked_and_everything_else_flows(world: World) -> None:
    scenario(world)
    world.check(parked=len(WAYS), declared=SAID)
    # Each way killed some times and no more, and what its body had written is gone
    for way in WAYS:
        assert len(world.gates.arrivals(f"poison-poison-{way}")) in RUNS, f"{way}: {history(world, way)}"
    [(left,)] = world.database.rows("SELECT COUNT(*) FROM shop_effect WHERE `key` LIKE 'poison%%'")
    assert left == 0
    # Nobody else was counted a death that it did not cause: bystanders may have been started again, and ran
    assert world.jobs("COUNT(*)", "state = 4 AND task NOT LIKE %s", "%poison") == [(0,)]
    world.check_progress()


@pytest.mark.parametrize("way", ["kill", "exit"])
def test_poison_outside_of_a_transaction_is_parked(world: World, way: str) -> None:
    world.producer.call("poison_outside", "poison", args=(way,))
    world.check(parked=1, declared=SAID)
    assert len(world.gates.arrivals("poison-poison")) in RUNS, history(world, way)


def test_an_error_that_will_not_pass_is_parked_at_once(world: World) -> None:
    world.producer.call("poison", "poison", args=("raise",))
    world.check(parked=1, declared=SAID)
    assert len(world.gates.arrivals("poison-poison")) == 1
