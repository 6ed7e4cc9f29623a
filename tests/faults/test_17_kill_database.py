"""Row 17: kill -9 of MariaDB under load, and its recovery."""

from __future__ import annotations

import contextlib
import time

from tests.faults.budgets import LONG, rounds
from tests.faults.checker import BROKER_AWAY, DATABASE_AWAY, KILLED
from tests.faults.world import WORKERS, World
from tests.servers.processes import wait_until

BROKER = "valkey"
KINDS = {"record": 5, "charge": 2, "announce": 2}
SAID = (*DATABASE_AWAY, *KILLED, *BROKER_AWAY)


def test_what_was_committed_survives_and_what_is_in_doubt_is_resolved(world: World) -> None:
    load = world.load(count=10**6, pause=0.01, kinds=KINDS)
    for _ in range(rounds(quick=1, long=10)):
        world.wait_for_effects(world.effects() + 20)
        # When the database dies while requests and bodies are in the middle of their transactions
        world.database.kill()
        time.sleep(5 if LONG else 0.5)
        world.database.start()
    world.wait_for_effects(world.effects() + 10)
    made = load.finish()
    # Then requests failed meanwhile, each as a whole; what committed is done once
    assert made.errors
    world.check(declared=SAID)
    world.check_progress()


def test_a_message_that_expires_meanwhile_ends_no_worker(world: World) -> None:
    """The pool's main process reports an expired message itself; it must live, and the job must never run."""
    pids = {name: world.programs.wait_for_pid(name) for name in WORKERS}
    with contextlib.ExitStack() as stood:
        for name in WORKERS:
            stood.enter_context(world.programs.frozen(name))
        expired = world.producer.call("record", *(f"free-expired-{one}" for one in range(8)), owes=False, expires=1)
        time.sleep(1.5)
        world.database.kill()
    refused = "an outcome was not recorded"
    logs = [world.programs.log_file(name) for name in WORKERS]
    wait_until(lambda: any(refused in log.read_text() for log in logs), timeout=60, what="a report that fails")
    world.database.start()

    world.check(declared=(*SAID, refused))
    world.check_progress()
    assert {name: world.programs.pid(name) for name in WORKERS} == pids
    marks = ",".join(["%s"] * len(expired))
    assert world.jobs("DISTINCT state", f"id IN ({marks})", *expired) == [(5,)]
    assert world.database.rows("SELECT COUNT(*) FROM shop_effect WHERE `key` LIKE 'free-%%'") == [(0,)]
