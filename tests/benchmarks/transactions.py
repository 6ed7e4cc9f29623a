"""What a job costs the transaction that starts it: rows 1 and 2 of the table."""

from __future__ import annotations

import importlib
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

from tests.benchmarks.frame import Line, Pairs, Target
from tests.benchmarks.measuring import measurer

if TYPE_CHECKING:
    from tests.benchmarks.stand import Stand

#: Transactions of one arm per round: long enough (about 30 ms) to hide a single interruption, short enough that both
#: arms of a pair see the same machine.
BLOCK = 40
#: Blocks of the main arms per unit of --rounds: these rounds are short and the figures are held to a few per cent.
ROUNDS_EACH = 8


#: Whose transaction, how it publishes, and how many jobs are in it.
ARMS = (
    *(("ours", "inline", 0), ("ours", "inline", 1), ("ours", "inline", 5)),
    *(("ours", "web", 1), ("ours", "web", 5), ("ours", "floor", 1)),
    *(("stock", "inline", 0), ("stock", "inline", 1), ("stock", "inline", 5)),
)
_ONE, _FIVE = "order + 2 lines, one .delay()", "order + 2 lines, five .delay()"
#: The lines of the table, each with its two arms and its limit.
LINES: tuple[tuple[str, str, str, float | None], ...] = (
    (f"{_ONE}, inline / without", "ours/inline/1", "ours/inline/0", 1.45),
    (f"{_ONE}, web process / without", "ours/web/1", "ours/inline/0", 1.3),
    (f"{_ONE}, inline / stock on_commit(delay)", "ours/inline/1", "stock/inline/1", 0.75),
    (f"{_ONE}, web process / stock on_commit(delay)", "ours/web/1", "stock/inline/1", 0.75),
    ("(order + 2 lines, one row of a bare outbox / without)", "ours/floor/1", "ours/inline/0", None),
    ("(stock on_commit(delay) / without)", "stock/inline/1", "stock/inline/0", None),
    (f"{_FIVE}, inline / without", "ours/inline/5", "ours/inline/0", 2.2),
    (f"({_FIVE}, web process / without)", "ours/web/5", "ours/inline/0", None),
    ("(stock, five on_commit(delay) / without)", "stock/inline/5", "stock/inline/0", None),
    ("(raw SQL: one row of a bare outbox / without)", "raw/ours/floor/1", "raw/ours/inline/0", None),
    ("(raw SQL: one, inline / without)", "raw/ours/inline/1", "raw/ours/inline/0", None),
    ("(raw SQL: one, web process / without)", "raw/ours/web/1", "raw/ours/inline/0", None),
    ("(raw SQL: one, inline / stock on_commit(delay))", "raw/ours/inline/1", "raw/stock/inline/1", None),
    ("(raw SQL: one, web process / stock on_commit(delay))", "raw/ours/web/1", "raw/stock/inline/1", None),
    ("(raw SQL: stock on_commit(delay) / without)", "raw/stock/inline/1", "raw/stock/inline/0", None),
    ("(raw SQL: five, inline / without)", "raw/ours/inline/5", "raw/ours/inline/0", None),
    ("(raw SQL: stock, five / without)", "raw/stock/inline/5", "raw/stock/inline/0", None),
)

# --- In the measuring process ----------------------------------------------------------------------------------------


def run_block(*, side: str, publish: str, jobs: int, count: int, raw: bool = False) -> float:
    """Run `count` order transactions with `jobs` jobs each; return the microseconds that the middle one took.

    The order is written with the ORM, or in raw SQL.
    `publish` is "inline" (the caller's thread sends on commit), "web" (the thread of a web process does, beside the
    transactions that follow) or "floor" (a row of an outbox of one column, which nobody publishes). The middle one,
    because another program that takes the processor away for a moment would otherwise count more than what is measured.
    """
    arm = importlib.import_module(f"tests.benchmarks.{side}")
    send, drain = arm.sender(publish)
    times = list(_transactions(send, jobs, count, raw=raw))
    drain()
    arm.clear()
    return statistics.median(times) * 1e6


def _transactions(send: Callable[[int], object], jobs: int, count: int, *, raw: bool) -> Iterator[float]:
    from django.db import transaction

    from tests.benchmarks import work

    place = work.place_order_raw if raw else work.place_order
    for _ in range(count):
        begin = time.perf_counter()
        with transaction.atomic():
            order_id = place()
            for _ in range(jobs):
                send(order_id)
        yield time.perf_counter() - begin


# --- In the parent ---------------------------------------------------------------------------------------------------


def measure(stand: Stand, *, database_url: str, rounds: int) -> list[Line]:
    """Return the lines of one and of five jobs in a transaction."""
    ours_env, stock_env = stand.ours(database_url), stand.stock(database_url)
    folder = stand.folder / "logs"
    with (
        measurer("ours", env=ours_env, folder=folder) as ours,
        measurer("stock", env=stock_env, folder=folder) as stock,
    ):
        ours.call("work:create_tables")

        def block(side: str, publish: str, jobs: int, raw: bool) -> float:
            process = ours if side == "ours" else stock
            arguments = {"side": side, "publish": publish, "jobs": jobs, "raw": raw, "count": BLOCK}
            return float(process.call("transactions:run_block", **arguments))

        arms = {
            f"{'raw/' if raw else ''}{side}/{publish}/{jobs}": partial(block, side, publish, jobs, raw)
            for raw in (False, True)
            for side, publish, jobs in ARMS
        }
        for arm in arms.values():  # connections, templates and caches are made once, outside the rounds
            arm()
        found = Pairs(count=rounds * ROUNDS_EACH)
        found.run([(ours, reference) for _, ours, reference, _ in LINES], arms)
    return [
        Line(what, *found.samples((ours, reference), "us"), Target(limit) if limit else None)
        for what, ours, reference, limit in LINES
    ]
