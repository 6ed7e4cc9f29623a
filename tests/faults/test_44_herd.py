"""Row 44: after an outage a great many jobs are ready at once."""

from __future__ import annotations

import json
import time
import uuid
from functools import partial
from pathlib import Path

from myproject.jobs.relay.decisions import LOST_TRICKLE, WINDOW
from tests.faults.budgets import RECOVERY, rounds
from tests.faults.world import World
from tests.servers.processes import wait_until

BROKER = "redis"
PART = 2_000
#: Kilobytes by which the relay may grow: some batches of rows and their messages, and what Python keeps of them.
GROWTH = 64_000
#: How much more than its window a relay may put into one list: what it publishes while workers take.
OVERSHOOT = 1.5


def insert_herd(world: World, count: int) -> None:
    """Insert jobs that were promised and never published, all of them in one queue."""
    rows = world.database.rows
    name = "tests.faults.shop.tasks.record"
    for start in range(0, count, PART):
        values = ", ".join(
            f"('{uuid.uuid4()}', 'myproject', '{name}', 'orders', 0, 1, UTC_TIMESTAMP(6), UTC_TIMESTAMP(6),"
            f" '{json.dumps([[f'free-{number}'], {}, {}])}')"
            for number in range(start, min(count, start + PART))
        )
        rows(f"INSERT INTO jobs_job (id, app, task, queue, priority, state, due_at, created_at, body) VALUES {values}")


def resident(pid: int) -> int:
    """Return the kilobytes of memory that a process has."""
    [line] = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS")]
    return int(line.split()[1])


def is_done(world: World, pattern: str) -> bool:
    """Tell whether the three new jobs have run."""
    return done(world, pattern) == 3


def test_a_herd_is_driven_slowly_and_lets_others_pass(world: World) -> None:
    relay = world.programs.wait_for_pid("relay")
    before = resident(relay)
    insert_herd(world, rounds(quick=20_000, long=1_000_000))
    wait_until(lambda: herd(world) > 50, timeout=RECOVERY, what="the first of the herd")
    # New work of another queue and of the herd's own runs, long before the herd is through
    took = []
    full_since = time.monotonic()
    for number in range(rounds(quick=3, long=30)):
        began = time.monotonic()
        world.producer.call("record", f"new-{number}-a", f"new-{number}-b")
        world.producer.call("record", f"new-{number}-orders", queue="orders", priority=9)
        wait_until(partial(is_done, world, f"new-{number}-%"), timeout=RECOVERY, what="new work being done")
        took.append(time.monotonic() - began)
        with world.broker.client() as client:
            # Beyond its window the relay adds the trickle that lost jobs get behind the work of others
            rows, seconds = LOST_TRICKLE
            trickle = rows / seconds * (time.monotonic() - full_since)
            assert client.llen("orders") < OVERSHOOT * WINDOW + trickle
    left = int(world.jobs("COUNT(*)", "state = 1 AND queue = 'orders'")[0][0])
    print(f"new work took {max(took):.1f} s at most beside {left} ready jobs; the herd had {herd(world)} effects")
    assert left > 0
    assert resident(relay) - before < GROWTH
    # No convoy: the herd went on meanwhile, each job once
    now = herd(world)
    wait_until(lambda: herd(world) > now + 50, timeout=RECOVERY, what="the herd going on")
    twice = world.database.rows("SELECT `key` FROM shop_effect GROUP BY `key` HAVING COUNT(*) > 1")
    assert twice == []
    drop_herd(world)
    world.check()


def herd(world: World) -> int:
    """Return how many of the herd are done."""
    return done(world, "free-%")


def done(world: World, pattern: str) -> int:
    """Return how many effects have such a key."""
    return int(world.database.rows("SELECT COUNT(*) FROM shop_effect WHERE `key` LIKE %s", pattern)[0][0])


def drop_herd(world: World) -> None:
    """Take away what is left: that the rest runs as the first did is no news."""
    while True:
        ids = [task_id for (task_id,) in world.jobs("id", "queue = 'orders' AND state = 1 LIMIT 5000")]
        if not ids:
            break
        marks = ", ".join(f"'{task_id}'" for task_id in ids)
        world.database.rows(f"UPDATE jobs_job SET state = 5 WHERE state = 1 AND id IN ({marks})")
    world.broker.flush()
