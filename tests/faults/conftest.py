"""The worlds of the rows: each is built when the first row asks for it and shared by all rows of the session."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.faults.budgets import LONG
from tests.faults.world import World
from tests.servers.fixtures import missing
from tests.servers.processes import NotAvailable

#: What a row may take in all before it is ended; inside it every wait has a deadline of its own.
TIMEOUT = 3600 if LONG else 600


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the rows: they start servers, take seconds and have deadlines of their own."""
    for item in items:
        if item.path.parent.name == "faults":
            item.add_marker(pytest.mark.server)
            item.add_marker(pytest.mark.slow)
            item.add_marker(pytest.mark.timeout(TIMEOUT))
            # Real programs do the work; what the test's own process does is no request.
            item.add_marker(pytest.mark.network_in_transaction)


@pytest.fixture(scope="session")
def worlds() -> Iterator[Callable[[str, str], World]]:
    """Return a function from a broker's and a database's kind to their world."""
    built: dict[tuple[str, str], World] = {}

    def world(broker: str, database: str) -> World:
        if (broker, database) not in built:
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
    for one in built.values():
        one.stop()


@pytest.fixture
def world(request: pytest.FixtureRequest, worlds: Callable[[str, str], World]) -> Iterator[World]:
    """The world of this row, healthy and empty: `BROKER` and `DATABASE` of its module, Redis and MariaDB by default."""
    module = request.module
    one = worlds(getattr(module, "BROKER", "redis"), getattr(module, "DATABASE", "mariadb"))
    one.begin(module.__name__.rpartition(".")[2].removeprefix("test_"))
    yield one
    one.broker.heal()
    one.database.heal()
    one.programs.thaw()
