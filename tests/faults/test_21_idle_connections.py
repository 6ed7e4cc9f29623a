"""Row 21: MariaDB closes connections that were idle for a second."""

from __future__ import annotations

import contextlib
import time

import MySQLdb

from tests.faults.budgets import rounds
from tests.faults.world import World

BROKER = "redis"
IDLE = 1


def closed(world: World) -> int:
    """Return how many connections the server has ended by itself."""
    [(_, count)] = world.database.rows("SHOW GLOBAL STATUS LIKE 'Aborted_clients'")
    return int(count)


def test_a_connection_that_was_closed_while_idle_is_noticed_before_its_use(world: World) -> None:
    with world.database.configured(wait_timeout=IDLE):
        # Given programs whose connections were made under that rule
        for (number,) in world.database.rows(
            "SELECT id FROM information_schema.processlist WHERE command = 'Sleep' AND id <> CONNECTION_ID()"
        ):
            with contextlib.suppress(MySQLdb.Error):
                world.database.rows(f"KILL CONNECTION {number}")
        world.wait_for_workers()
        for number in range(rounds(quick=1, long=10)):
            # When nobody does anything for longer
            before = closed(world)
            time.sleep(2.5 * IDLE)
            assert closed(world) > before
            # Then the next request and the next job of every process find it out before they need it
            load = world.load(count=40, prefix=f"-{number}", kinds={"record": 3, "charge": 1, "announce": 1})
            assert load.made().errors == []
    world.check()
    assert world.jobs("COUNT(*)", "attempts > 0") == [(0,)]
