"""Row 20: MariaDB answers, and refuses: read only, no connection left, no space left."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import MySQLdb
import pytest

from tests.faults.budgets import LONG, RECOVERY, seed_of
from tests.faults.checker import DATABASE_AWAY, KILLED
from tests.faults.checkout import PEOPLE, SITE_DATABASE, Checkout, open_site
from tests.faults.load import Producer
from tests.faults.programs import Program
from tests.faults.small_disks import fill, may_mount, mounted
from tests.faults.world import World
from tests.servers.processes import wait_until

BROKER = "valkey"
SECONDS = 10.0 if LONG else 1.5
#: The fewest that MariaDB can be told.
CONNECTIONS = 10
PREFIX = "row20-"
USER = "plain"
#: What an empty server with all tables has, its logs included, and room for a few thousand orders.
DISK = 260_000_000
#: The same inside of one table space.
TABLE_SPACE = "64M"
#: A thousand rows.
NUMBERS = ", ".join(f"({' UNION ALL '.join(['SELECT 1'] * 10)}) AS {name}" for name in "abc")
Harm = Callable[[World], contextlib.AbstractContextManager[None]]


@contextlib.contextmanager
def read_only(world: World) -> Iterator[None]:
    """No plain user may write, as during a switch of primaries."""
    with world.database.configured(read_only=1):
        yield


@contextlib.contextmanager
def no_connection(world: World) -> Iterator[None]:
    """Every connection is taken, and those that programs had are gone."""
    with contextlib.closing(world.database.connect()) as own, contextlib.ExitStack() as taken:
        cursor = own.cursor()
        cursor.execute("SELECT @@GLOBAL.max_connections")
        before = cursor.fetchone()
        cursor.execute("SET GLOBAL max_connections = %s", [CONNECTIONS])
        held = {own.thread_id()}
        try:
            while len(held) < CONNECTIONS:
                cursor.execute("SELECT id FROM information_schema.processlist WHERE user = %s", [USER])
                for number in {number for (number,) in cursor.fetchall()} - held:
                    with contextlib.suppress(MySQLdb.Error):
                        cursor.execute(f"KILL CONNECTION {number}")
                with contextlib.suppress(MySQLdb.Error):
                    while len(held) < CONNECTIONS:
                        one = MySQLdb.connect(host="127.0.0.1", port=world.database.port, user=USER)
                        taken.enter_context(contextlib.closing(one))
                        held.add(one.thread_id())
            yield
        finally:
            cursor.execute("SET GLOBAL max_connections = %s", before)


@contextlib.contextmanager
def full_table_space(world: World) -> Iterator[None]:
    """The table space has reached its limit: "The table is full"."""
    rows = world.database.rows
    # Rows that fit into a page: MariaDB 10.11 dies when there is no room for the pages of a longer one.
    rows("CREATE TABLE filler (id INT AUTO_INCREMENT PRIMARY KEY, x VARBINARY(7500))")
    for part in (1000, 100, 10, 1):
        with contextlib.suppress(MySQLdb.OperationalError):
            while True:
                rows(f"INSERT INTO filler (x) SELECT REPEAT('x', 7500) FROM {NUMBERS} LIMIT %s", part)
    try:
        yield
    finally:
        rows("DELETE FROM filler")  # a dropped table would need a page to write down that it is gone


@contextlib.contextmanager
def full_disk(world: World) -> Iterator[None]:
    """No byte left on the disk of the data, the logs and the temporary tables."""
    filler = fill(world.folder / "disk")
    try:
        yield
    finally:
        filler.unlink()
        if not world.database.is_running():  # MariaDB gives up when it cannot undo; its supervisor starts it again
            print(f"MariaDB ended: {world.database.process.log()[-1500:]}")
            world.database.start()


@contextlib.contextmanager
def on_small_table_space(world: World) -> Iterator[None]:
    """A server with one table space for everything, which may not grow beyond a limit."""
    options = ["--innodb-file-per-table=0", f"--innodb-data-file-path=ibdata1:12M:autoextend:max:{TABLE_SPACE}"]
    # Undo logs elsewhere: without room for them nothing could be deleted to make room. MySQL's are always there.
    options += ["--innodb-undo-tablespaces=2"] if world.database.kind == "mariadb" else []
    with world.database.replaced(*options, data=world.folder / "small"):
        yield


@contextlib.contextmanager
def on_small_disk(world: World) -> Iterator[None]:
    """A server whose data lie on a small disk."""
    with (
        mounted(world.folder / "disk", size=DISK) as disk,
        world.database.replaced(data=disk / "data"),
    ):
        yield


class Server(NamedTuple):
    """A server that can become full, and the ways in which it refuses."""

    run: Harm
    harms: tuple[Harm, ...]


SERVERS = {
    "table space": Server(on_small_table_space, (read_only, no_connection, full_table_space)),
    **({"disk": Server(on_small_disk, (full_disk,))} if may_mount() else {}),
}


@pytest.fixture(params=list(SERVERS) if LONG else ["table space"])
def server(world: World, request: pytest.FixtureRequest) -> Iterator[Server]:
    """A small server. Every program is a user like any other: an administrator may write where nobody may."""
    one = SERVERS[request.param]
    programs = list(world.programs.programs.values())
    for program in programs:
        world.programs.remove(program.name, kill=True)
    with one.run(world):
        world.manage("migrate", "--run-syncdb", "--verbosity", "0")
        rows = world.database.rows
        rows(f"CREATE USER '{USER}'@'127.0.0.1'")
        for database in (world.database.name, SITE_DATABASE):
            rows(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {database}.* TO '{USER}'@'127.0.0.1'")
        for program in programs:
            env = program.env | {"DATABASE_URL": url(world)}
            world.programs.add(Program(program.name, program.command, env=env))
        yield one
        for program in programs:
            world.programs.remove(program.name, kill=True)
    for program in programs:
        world.programs.add(program)


@pytest.fixture
def site(world: World, server: Server) -> Iterator[Producer]:
    """The site that makes intents."""
    site = world.new_producer(DATABASE_URL=url(world))
    yield site
    site.stop()


@pytest.fixture
def checkout(world: World, server: Server) -> Iterator[Checkout]:
    """The real site, and people at its checkout."""
    with open_site(world, user=USER) as checkout:
        yield checkout


def url(world: World) -> str:
    """Return the address of the database for the plain user."""
    return str(world.database.url.replace("root@", f"{USER}@"))


def done(world: World) -> int:
    """Return how many effects of the site's requests stand."""
    rows = world.database.rows("SELECT COUNT(*) FROM shop_effect WHERE `key` LIKE %s", f"{PREFIX}%")
    return int(rows[0][0]) + sum(world.oracle.applied().values())


def wait_for(world: World, count: int) -> None:
    """Wait until so many stand: requests and jobs are under way."""
    wait_until(lambda: done(world) >= count, timeout=RECOVERY, what=f"{count} effects")


def test_a_database_that_refuses_leaves_no_half_promise(
    world: World, server: Server, site: Producer, checkout: Checkout
) -> None:
    world.wait_for_workers()
    load = site.load(prefix=PREFIX, seed=seed_of("row 20"), count=10**6, pause=0.02, kinds={"record": 3, "charge": 1})
    checkout.start()
    for harm in server.harms:
        wait_for(world, done(world) + 5)
        checkout.wait_for_orders(2 * PEOPLE)
        refused = checkout.refused()
        with harm(world):
            checkout.wait_for_refusals(refused + PEOPLE)
            time.sleep(SECONDS)
    # Then both go on
    checkout.wait_for_orders(2 * PEOPLE)
    wait_for(world, done(world) + 5)
    checkout.finish()
    made = load.finish()
    answers = dict(checkout.statuses)
    print(f"checkout: {len(checkout.ordered)} orders, answers {answers}, {checkout.slowest:.1f} s at most")
    # Nobody saw anything but an answer or a 503 that says when to come again, and every order is whole and there once
    assert checkout.wrong == []
    assert sorted(checkout.ordered) == checkout.orders()
    assert checkout.halves() == {}
    # Intents were refused as a whole; whatever was committed is done once
    assert made.errors
    world.check(declared=(*DATABASE_AWAY, *KILLED))
    world.check_progress()
