"""Row 20: MariaDB answers, and refuses: read only, or no connection left."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

import MySQLdb
import pytest

from tests.faults.budgets import LONG, RECOVERY, seed_of
from tests.faults.checker import DATABASE_AWAY, KILLED
from tests.faults.load import Producer
from tests.faults.programs import Program
from tests.faults.world import World
from tests.servers.processes import wait_until

BROKER = "valkey"
SECONDS = 10.0 if LONG else 1.5
#: The fewest that MariaDB can be told.
CONNECTIONS = 10
PREFIX = "row20-"


@pytest.fixture
def site(world: World) -> Iterator[Producer]:
    """The site, and every program, as a user like any other: an administrator may write into a read-only server."""
    rows = world.database.rows
    rows("CREATE USER IF NOT EXISTS 'plain'@'127.0.0.1'")
    rows("GRANT SELECT, INSERT, UPDATE, DELETE ON world.* TO 'plain'@'127.0.0.1'")
    url = world.database.url.replace("root@", "plain@")
    for one in list(world.programs.programs.values()):
        world.replace(Program(one.name, one.command, env=one.env | {"DATABASE_URL": url}))
    site = world.new_producer(DATABASE_URL=url)
    world.wait_for_workers()
    yield site
    site.stop()


def done(world: World) -> int:
    """Return how many effects of the site's requests stand."""
    rows = world.database.rows("SELECT COUNT(*) FROM shop_effect WHERE `key` LIKE %s", f"{PREFIX}%")
    return int(rows[0][0]) + sum(world.oracle.applied().values())


def wait_for(world: World, count: int) -> None:
    """Wait until so many stand: requests and jobs are under way."""
    wait_until(lambda: done(world) >= count, timeout=RECOVERY, what=f"{count} effects")


def clients(world: World) -> list[int]:
    """Return the connections of the plain user."""
    found = world.database.rows("SELECT id FROM information_schema.processlist WHERE user = 'plain'")
    return [number for (number,) in found]


@contextlib.contextmanager
def read_only(world: World) -> Iterator[None]:
    """No plain user may write, as during a switch of primaries."""
    with world.database.configured(read_only=1):
        yield


@contextlib.contextmanager
def full(world: World) -> Iterator[None]:
    """Every connection is taken, and those that programs had are gone."""
    with world.database.configured(max_connections=CONNECTIONS), contextlib.ExitStack() as taken:
        for number in clients(world):
            with contextlib.suppress(MySQLdb.Error):
                world.database.rows(f"KILL CONNECTION {number}")
        with contextlib.suppress(MySQLdb.Error):
            for _ in range(3 * CONNECTIONS):
                taken.enter_context(
                    contextlib.closing(MySQLdb.connect(host="127.0.0.1", port=world.database.port, user="plain"))
                )
        yield


@pytest.mark.parametrize("harm", [read_only, full])
def test_a_database_that_refuses_leaves_no_half_promise(world: World, site: Producer, harm: object) -> None:
    load = site.load(prefix=PREFIX, seed=seed_of("row 20"), count=10**6, pause=0.02, kinds={"record": 3, "charge": 1})
    wait_for(world, 5)
    with harm(world):  # type: ignore[operator]
        time.sleep(SECONDS)
    wait_for(world, done(world) + 5)
    made = load.finish()
    # Requests were refused as a whole, which the web answers with 503; whatever was committed is done once
    assert made.errors
    world.check(declared=(*DATABASE_AWAY, *KILLED))
    world.check_progress()
