"""How many rows one relay publishes per second, against a loop of `.delay()` over rows: row 4 of the table."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

from tests.benchmarks.frame import Line, Rounds, Target
from tests.benchmarks.measuring import measurer

if TYPE_CHECKING:
    from tests.benchmarks.stand import Stand

#: Rows of one round: about a second of work for each side.
OURS, STOCK = 20_000, 2_500
#: Rows of one transaction of the reference's loop; 100 gave 8 % less.
BATCH = 1000
PATIENCE = 60.0


# --- In the measuring process ----------------------------------------------------------------------------------------


def run_loop(*, count: int) -> float:
    """Publish `count` rows of an outbox with `.delay()`, batch by batch, and return the rows per second."""
    from django.db import connection, transaction

    from tests.benchmarks import loading, stock

    loading.load_outbox(count=count)
    begin, done = time.perf_counter(), 0
    while done < count:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"SELECT id, order_id FROM bench_outbox ORDER BY id LIMIT {BATCH} FOR UPDATE SKIP LOCKED")
            rows = cursor.fetchall()
            for _, order_id in rows:
                stock.touch.delay(order_id)
            marks = ",".join(["%s"] * len(rows))
            cursor.execute(f"DELETE FROM bench_outbox WHERE id IN ({marks})", [row[0] for row in rows])
        done += len(rows)
    seconds = time.perf_counter() - begin
    stock.clear()
    return count / seconds


def run_relay(*, count: int) -> float:
    """Publish `count` due jobs as the relay's thread does, round by round, and return the rows per second."""
    from myproject.jobs.relay.courier import Courier
    from tests.benchmarks import loading, ours

    loading.forget_jobs()
    ours.clear()
    loading.load_jobs(count=count, state=0, due_in=-60, prefix=f"{time.monotonic_ns() & 0xFFFFFFFF:08x}")
    courier = Courier(ours.app, window=10 * count)  # nobody takes messages away here
    begin = time.perf_counter()
    while courier.published < count:
        if courier.round() and time.perf_counter() - begin > PATIENCE:
            raise TimeoutError(f"the relay published {courier.published} of {count} rows")
    seconds = time.perf_counter() - begin
    ours.clear()
    loading.forget_jobs()
    return count / seconds


# --- In the parent ---------------------------------------------------------------------------------------------------


def measure(stand: Stand, *, database_url: str, rounds: int) -> list[Line]:
    """Return the line of the relay."""
    ours_env, stock_env = stand.ours(database_url), stand.stock(database_url)
    logs = stand.folder / "logs"
    with measurer("ours", env=ours_env, folder=logs) as ours, measurer("stock", env=stock_env, folder=logs) as stock:
        ours.call("work:create_tables")
        arms = {
            "ours": partial(ours.call, "relays:run_relay", count=OURS),
            "stock": partial(stock.call, "relays:run_loop", count=STOCK),
        }
        ours.call("relays:run_relay", count=1000)
        stock.call("relays:run_loop", count=100)
        found = Rounds(count=rounds)
        for _ in found.run(arms):
            pass
    target = Target(10, at_most=False)
    what = "relay, rows/s of one process / stock .delay() loop over rows"
    return [Line(what, found.samples("ours", "/s"), found.samples("stock", "/s"), target)]
