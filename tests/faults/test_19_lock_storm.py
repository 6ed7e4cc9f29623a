"""Row 19: deadlocks, lock waits, and somebody who kills queries and connections at random."""

from __future__ import annotations

import contextlib
import random
import threading

import MySQLdb
import pytest

from tests.faults.budgets import STEP, rounds, seed_of
from tests.faults.checker import DATABASE_AWAY, KILLED
from tests.faults.world import World
from tests.servers.processes import wait_until

ROWS = 20
#: A statement that locks the first row, then the second.
BOTH = "UPDATE shop_hot SET n = n + 1 WHERE id IN (1, 2)"
#: One that locks the first row.
FIRST = "UPDATE shop_hot SET n = n + 1 WHERE id = 1"


@pytest.fixture
def hot(world: World) -> None:
    """Some rows that everybody wants."""
    world.database.rows("CREATE TABLE IF NOT EXISTS shop_hot (id INT PRIMARY KEY, n INT NOT NULL) ENGINE=InnoDB")
    world.database.rows("DELETE FROM shop_hot")
    world.database.rows("INSERT INTO shop_hot VALUES " + ", ".join(f"({number}, 0)" for number in range(1, ROWS + 1)))


def total(world: World) -> int:
    """Return how often rows were changed."""
    return int(world.database.rows("SELECT SUM(n) FROM shop_hot")[0][0])


def test_deadlocks_are_retried_and_use_no_attempt(world: World, hot: None) -> None:
    count = rounds(quick=3, long=100)
    for number in range(count):
        with contextlib.closing(world.database.connect()) as other:
            other.autocommit(False)
            cursor = other.cursor()
            # Given another transaction that has changed so much that the server spares it, the second row included
            cursor.execute("UPDATE shop_hot SET n = n + 0 + 1 - 1 WHERE id > 1")
            cursor.execute("UPDATE shop_hot SET n = n + 1 WHERE id > 1")
            world.producer.call("query", f"deadlock-{number}", args=(BOTH,))
            # MySQL shows a kept answer to whoever has asked less than 0.1 s ago
            wait_until(
                lambda: waits_for_lock(world), timeout=STEP, pause=0.2, what="the job waiting for the second row"
            )
            # When that one asks for the first row, which the job has
            cursor.execute("SELECT n FROM shop_hot WHERE id = 1 FOR UPDATE")
            other.rollback()
    # Then the job's transaction was undone, and runs again
    world.check(declared=DATABASE_AWAY)
    assert total(world) == 2 * count
    assert world.jobs("COUNT(*)", "attempts > 0 AND deliveries = 0") == [(0,)]


def waits_for_lock(world: World) -> bool:
    """Tell whether some transaction waits for a lock."""
    sql = "SELECT COUNT(*) FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'"
    return bool(world.database.rows(sql)[0][0])


def test_a_lock_that_is_held_for_long_is_waited_for(world: World, hot: None) -> None:
    with contextlib.closing(world.database.connect()) as holder:
        holder.autocommit(False)
        cursor = holder.cursor()
        cursor.execute("SELECT n FROM shop_hot WHERE id = 1 FOR UPDATE")
        # Given jobs that meet the lock for longer than they wait
        world.producer.call("query", "waits-1", "waits-2", args=(f"{world.database.briefly}{FIRST}",))
        world.producer.call("record", "flows")
        world.wait_for_effects(1)
        threading.Event().wait(world.database.lock_wait * rounds(quick=1, long=4) + 0.5)
        holder.rollback()
    world.check(declared=DATABASE_AWAY)
    assert total(world) == 2


def test_killed_queries_and_connections_lose_and_double_nothing(world: World) -> None:
    chooser = random.Random(seed_of("row 19"))
    load = world.load(count=10**6, pause=0.01, kinds={"record": 4, "charge": 1, "announce": 1})
    world.wait_for_effects(10)
    own, killed = world.database.connect(), 0
    with contextlib.closing(own):
        cursor = own.cursor()
        for _ in range(rounds(quick=40, long=2000)):
            cursor.execute(
                "SELECT id FROM information_schema.processlist WHERE id <> CONNECTION_ID() AND db = %s", ("world",)
            )
            victims = [number for (number,) in cursor.fetchall()]
            if victims:
                with contextlib.suppress(MySQLdb.Error):  # it is gone already
                    cursor.execute(f"KILL {chooser.choice(('QUERY', 'CONNECTION'))} {chooser.choice(victims)}")
                    killed += 1
            threading.Event().wait(0.03)
    load.finish()
    assert killed > 0
    world.check(declared=(*DATABASE_AWAY, *KILLED))
    world.check_progress()
