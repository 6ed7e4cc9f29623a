"""How many rows one relay publishes per second, against a loop of `.delay()` over rows: row 4 of the table."""

from __future__ import annotations

import json
import os
import time
from functools import partial
from typing import TYPE_CHECKING, Any

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
    """Make `count` jobs due for the relay that runs beside, and return the rows it published per second.

    Counted from the first message's time of publication to the moment the last one is in Redis, so the relay's
    polling is not part of it.
    """
    import redis

    from tests.benchmarks import loading

    broker = redis.Redis.from_url(os.environ["REDIS_URL"])
    loading.forget_jobs()
    broker.delete(*_lists(broker) or ["none"])
    loading.load_jobs(count=count, state=0, due_in=-60, prefix=f"{time.monotonic_ns() & 0xFFFFFFFF:08x}")
    deadline = time.monotonic() + PATIENCE
    while (names := _lists(broker)) == [] or sum(broker.llen(name) for name in names) < count:
        if time.monotonic() > deadline:
            raise TimeoutError(f"the relay published {[broker.llen(name) for name in names]} of {count} rows")
        time.sleep(0.005)
    end = time.time()
    first = min(_published_at(broker.lindex(name, -1)) for name in names)
    broker.delete(*names)
    loading.forget_jobs()
    return count / (end - first)


def _lists(broker: Any) -> list[bytes]:
    return [name for name in broker.scan_iter("default*") if broker.type(name) == b"list"]


def _published_at(message: bytes) -> float:
    return float(json.loads(message)["headers"]["job_at"]) / 1000


# --- In the parent ---------------------------------------------------------------------------------------------------


def measure(stand: Stand, *, database_url: str, rounds: int) -> list[Line]:
    """Return the line of the relay."""
    ours_env, stock_env = stand.ours(database_url), stand.stock(database_url)
    logs = stand.folder / "logs"
    with measurer("ours", env=ours_env, folder=logs) as ours, measurer("stock", env=stock_env, folder=logs) as stock:
        ours.call("work:create_tables")
        with stand.relay(database_url):
            arms = {
                "ours": partial(ours.call, "relays:run_relay", count=OURS),
                "stock": partial(stock.call, "relays:run_loop", count=STOCK),
            }
            ours.call("relays:run_relay", count=1000)  # the relay has started and knows its templates
            stock.call("relays:run_loop", count=100)
            found = Rounds(count=rounds)
            for _ in found.run(arms):
                pass
    target = Target(10, at_most=False)
    what = "relay, rows/s of one process / stock .delay() loop over rows"
    return [Line(what, found.samples("ours", "/s"), found.samples("stock", "/s"), target)]
