"""What a job costs the transaction that starts it: rows 1 and 2 of the table."""

from __future__ import annotations

import importlib
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

from tests.benchmarks.frame import Line, Rounds, Target
from tests.benchmarks.measuring import measurer

if TYPE_CHECKING:
    from tests.benchmarks.stand import Stand

#: Transactions of one arm per round: long enough (about 40 ms) to hide a single interruption, short enough that all
#: arms of a round see the same machine.
BLOCK = 60
#: Blocks of the main arms per unit of --rounds: these rounds are short and the figures are held to a few per cent.
ROUNDS_EACH = 8


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

        kinds = [
            *(("ours", "inline", 0), ("ours", "inline", 1), ("ours", "inline", 5)),
            *(("ours", "web", 1), ("ours", "web", 5), ("ours", "floor", 1)),
            *(("stock", "inline", 0), ("stock", "inline", 1), ("stock", "inline", 5)),
        ]
        arms = {f"{side}/{publish}/{jobs}": partial(block, side, publish, jobs, False) for side, publish, jobs in kinds}
        arms |= {
            f"raw/{side}/{publish}/{jobs}": partial(block, side, publish, jobs, True) for side, publish, jobs in kinds
        }
        for arm in arms.values():  # connections, templates and caches are made once, outside the rounds
            arm()
        found = Rounds(count=rounds * ROUNDS_EACH)
        for _ in found.run(arms):
            pass
    return _lines(found)


def _lines(found: Rounds) -> list[Line]:
    one, five = "order + 2 lines, one .delay()", "order + 2 lines, five .delay()"

    def line(what: str, ours: str, reference: str, limit: float | None) -> Line:
        target = Target(limit) if limit else None
        return Line(what, found.samples(ours, "us"), found.samples(reference, "us"), target)

    return [
        line(f"{one}, inline / without", "ours/inline/1", "ours/inline/0", 1.45),
        line(f"{one}, web process / without", "ours/web/1", "ours/inline/0", 1.3),
        line(f"{one}, inline / stock on_commit(delay)", "ours/inline/1", "stock/inline/1", 0.75),
        line(f"{one}, web process / stock on_commit(delay)", "ours/web/1", "stock/inline/1", 0.75),
        line("(order + 2 lines, one row of a bare outbox / without)", "ours/floor/1", "ours/inline/0", None),
        line("(stock on_commit(delay) / without)", "stock/inline/1", "stock/inline/0", None),
        line(f"{five}, inline / without", "ours/inline/5", "ours/inline/0", 2.2),
        line(f"({five}, web process / without)", "ours/web/5", "ours/inline/0", None),
        line("(stock, five on_commit(delay) / without)", "stock/inline/5", "stock/inline/0", None),
        line("(raw SQL: one row of a bare outbox / without)", "raw/ours/floor/1", "raw/ours/inline/0", None),
        line("(raw SQL: one, inline / without)", "raw/ours/inline/1", "raw/ours/inline/0", None),
        line("(raw SQL: one, web process / without)", "raw/ours/web/1", "raw/ours/inline/0", None),
        line("(raw SQL: one, inline / stock on_commit(delay))", "raw/ours/inline/1", "raw/stock/inline/1", None),
        line("(raw SQL: one, web process / stock on_commit(delay))", "raw/ours/web/1", "raw/stock/inline/1", None),
        line("(raw SQL: stock on_commit(delay) / without)", "raw/stock/inline/1", "raw/stock/inline/0", None),
        line("(raw SQL: five, inline / without)", "raw/ours/inline/5", "raw/ours/inline/0", None),
        line("(raw SQL: stock, five / without)", "raw/stock/inline/5", "raw/stock/inline/0", None),
    ]
