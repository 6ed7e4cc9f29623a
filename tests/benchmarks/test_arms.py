"""Every arm of the benchmarks runs, on a few rows: their figures mean nothing here."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.benchmarks.measuring import Measurer, MeasuringFailed, measurer
from tests.benchmarks.stand import Stand, stand
from tests.servers.fixtures import missing
from tests.servers.processes import NotAvailable

pytestmark = [pytest.mark.server, pytest.mark.slow]


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[Stand, str]]:
    """The servers of a run and the URL of a database with every table."""
    try:
        with stand() as found:
            yield found, found.migrated("bench")
    except NotAvailable as reason:
        missing("mariadb", reason)


@pytest.fixture(scope="module")
def ours(servers: tuple[Stand, str]) -> Iterator[Measurer]:
    found, url = servers
    with measurer("ours", env=found.ours(url), folder=found.folder / "logs") as process:
        process.call("work:create_tables")
        yield process


@pytest.fixture(scope="module")
def stock(servers: tuple[Stand, str], ours: Measurer) -> Iterator[Measurer]:
    found, url = servers
    with measurer("stock", env=found.stock(url), folder=found.folder / "logs") as process:
        yield process


@pytest.mark.parametrize("raw", [False, True])
@pytest.mark.parametrize(("publish", "jobs"), [("inline", 0), ("inline", 5), ("web", 1)])
def test_transactions(ours: Measurer, publish: str, jobs: int, raw: bool) -> None:
    ours.call("loading:forget_jobs")
    assert ours.call("transactions:run_block", side="ours", publish=publish, jobs=jobs, count=3, raw=raw) > 0
    assert ours.call("loading:count_jobs", states=[1]) == 3 * jobs


def test_the_floor_of_a_transaction(ours: Measurer) -> None:
    ours.call("loading:forget_jobs")
    assert ours.call("transactions:run_block", side="ours", publish="floor", jobs=2, count=3) > 0
    assert ours.call("loading:count_jobs", states=[1]) == 0


def test_stock_transactions(stock: Measurer) -> None:
    assert stock.call("transactions:run_block", side="stock", publish="inline", jobs=2, count=3) > 0
    with pytest.raises(MeasuringFailed, match="publishes in the caller's thread"):
        stock.call("transactions:run_block", side="stock", publish="web", jobs=2, count=3)


def test_closing(ours: Measurer) -> None:
    ours.call("loading:forget_jobs")
    for first in ("close", "nothing", "floor"):
        assert ours.call("closing:run_block", first=first, count=3) > 0
    assert ours.call("loading:count_jobs", states=[1]) == 6
    assert ours.call("loading:count_jobs", states=[3]) == 3


def test_relay_and_its_reference(ours: Measurer, stock: Measurer) -> None:
    assert ours.call("relays:run_relay", count=20) > 0
    assert stock.call("relays:run_loop", count=20) > 0


def test_changes_of_rows_and_pages_of_the_list(ours: Measurer) -> None:
    ours.call("loading:load_jobs", count=200, state=1, due_in=3600)
    ours.call("loading:analyze")
    assert ours.call("million:run_block", what="claim", count=3) > 0
    assert ours.call("million:run_block", what="close", count=3) > 0
    assert ours.call("million:run_list") > 0


@pytest.mark.parametrize("side", ["ours", "stock"])
def test_payments_are_enqueued(ours: Measurer, stock: Measurer, side: str) -> None:
    process = ours if side == "ours" else stock
    process.call("enqueuing:enqueue_payments", side=side, count=5)
    assert process.call("work:entries") == [0, 0, 0.0]
