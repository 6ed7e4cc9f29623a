"""The worlds of the rows: one at a time, built when a row asks for it and shared by the rows after it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.budgets import LONG
from tests.faults.world import World
from tests.servers.fixtures import missing
from tests.servers.processes import NotAvailable

#: What a row may take in all before it is ended; inside it every wait has a deadline of its own.
TIMEOUT = 3600 if LONG else 600


def world_of(module: object) -> tuple[str, str]:
    """Return the kinds of broker and database that a row's module asks for."""
    database = getattr(module, "DATABASE", "mariadb")
    if database == "mariadb":  # `./test --mysql` puts another one in its place
        database = os.environ.get("FAULTS_DATABASE", database)
    return getattr(module, "BROKER", "redis"), database


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the rows, and put those of one world together: a world costs some seconds to build."""
    rows = [item for item in items if item.path.parent == Path(__file__).parent]
    for item in rows:
        item.add_marker(pytest.mark.server)
        item.add_marker(pytest.mark.slow)
        item.add_marker(pytest.mark.timeout(TIMEOUT))
        # Real programs do the work; what the test's own process does is no request.
        item.add_marker(pytest.mark.network_in_transaction)
    by_world = iter(sorted(rows, key=lambda item: world_of(getattr(item, "module", None))))
    own = set(rows)
    items[:] = [next(by_world) if item in own else item for item in items]


@pytest.fixture(scope="session")
def worlds(pytestconfig: pytest.Config) -> Iterator[Callable[[str, str], World]]:
    """Return a function from a broker's and a database's kind to their world. Another world than before ends that."""
    if str(given := pytestconfig.getoption("randomly_seed", None)).isdigit():
        os.environ.setdefault("FAULTS_SEED", str(given))
    built: dict[tuple[str, str], World] = {}

    def end() -> None:
        while built:
            built.popitem()[1].stop()

    def world(broker: str, database: str) -> World:
        if (broker, database) not in built:
            end()
            one = World(broker=broker, database=database)
            try:
                one.build()
            except NotAvailable as reason:
                one.stop()
                missing(f"{broker} or {database}", reason)
            except BaseException:
                print(one.log_ends())
                one.stop()
                raise
            built[broker, database] = one
        return built[broker, database]

    yield world
    end()


@pytest.fixture
def world(request: pytest.FixtureRequest, worlds: Callable[[str, str], World]) -> Iterator[World]:
    """The world of this row, healthy and empty: `BROKER` and `DATABASE` of its module, Redis and MariaDB by default."""
    one = worlds(*world_of(request.module))
    one.begin(request.module.__name__.rpartition(".")[2].removeprefix("test_"))
    failed = request.session.testsfailed
    yield one
    one.unfinished |= request.session.testsfailed != failed
    one.broker.heal()
    one.database.heal()
    one.programs.thaw()
