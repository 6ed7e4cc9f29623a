"""Row 25: every message ten times, in any order, and once more long after."""

from __future__ import annotations

import contextlib
import random
from typing import Any

from tests.faults.budgets import RECOVERY, STEP, rounds, seed_of
from tests.faults.world import QUEUES, WORKERS, World
from tests.servers.processes import wait_until

BROKER = "redis"
COPIES = 9
#: Copies that run nothing in a second, on a machine that has much else to do: each is a message, a look at a row and an
#: acknowledgement.
PACE = 40
#: kombu's lists: one for each queue, and one for each of its priorities above zero.
LISTS = [f"{queue}{suffix}" for queue in QUEUES for suffix in ("", *(f"\x06\x16{number}" for number in range(1, 10)))]


def waiting(client: Any) -> list[tuple[str, str]]:
    """Return every message that waits, with its list."""
    return [(name, message) for name in LISTS for message in client.lrange(name, 0, -1)]


def push(client: Any, messages: list[tuple[str, str]]) -> None:
    """Put messages into their lists."""
    for name, message in messages:
        client.lpush(name, message)


def wait_for_end(client: Any, *, what: str) -> None:
    """Wait until all messages are taken; the long form leaves thousands of copies behind the last job."""
    within = STEP + len(waiting(client)) / PACE
    wait_until(lambda: not waiting(client), timeout=within, what=what)


def scenario(world: World) -> list[tuple[str, str]]:
    """Copy messages while nobody takes any, shuffle them, and let the workers have all. Returns what was copied."""
    chooser = random.Random(seed_of("row 25"))
    size = rounds(quick=20, long=500)
    with world.broker.client() as client, contextlib.ExitStack() as still:
        for name in WORKERS:
            still.enter_context(world.programs.frozen(name))
        world.producer.call("record", *(f"record-{one}" for one in range(size)))
        if not world.stock:
            for task in ("charge", "announce", "mail"):
                world.producer.call(task, *(f"{task}-{one}" for one in range(size // 4)))
        wait_until(lambda: len(waiting(client)) >= size // 2, timeout=STEP, what="messages in the lists")
        messages = waiting(client)
        copies = messages * COPIES
        chooser.shuffle(copies)
        push(client, copies)
        return messages


def test_a_job_has_one_effect_however_often_it_is_delivered(world: World) -> None:
    messages = scenario(world)
    # The last of the jobs may stand behind all copies of the others
    world.check(within=RECOVERY + (1 + COPIES) * len(messages) / PACE)
    assert sum(world.oracle.refused().values()) == 0
    with world.broker.client() as client:
        # When the same messages come again after an hour, they find their jobs closed
        push(client, messages)
        wait_for_end(client, what="the old messages being taken")
        world.check()
        # And after a day, when the rows are pruned, they find none: a message alone runs nothing
        world.database.rows("DELETE FROM jobs_job")
        push(client, messages)
        wait_for_end(client, what="the older messages being taken")
    world.check_progress()
    world.check()
    assert sum(world.oracle.refused().values()) == 0
