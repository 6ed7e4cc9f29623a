"""What it costs to close the job's row in the transaction of a payment: row 3 of the table."""

from __future__ import annotations

import statistics
import time
import uuid
from functools import partial
from typing import TYPE_CHECKING

from tests.benchmarks.frame import Line, Rounds, Target
from tests.benchmarks.measuring import measurer

if TYPE_CHECKING:
    from tests.benchmarks.stand import Stand

#: Payments of one arm per round, about 80 ms; and rounds per unit of --rounds.
BLOCK, ROUNDS_EACH = 60, 8
#: Far enough away for every job to stay open until its turn.
LATER = 3600.0


def run_block(*, first: str, count: int) -> float:
    """Take `count` payments; return the microseconds of the middle one.

    `first` is what the transaction begins with: "close" of the job's row, "nothing", or "floor", an empty question.
    """
    from django.db import connection, transaction

    from myproject.jobs import ledger
    from tests.benchmarks import loading, work

    orders = work.make_orders(count)
    prefix = uuid.uuid4().hex[:8]
    loading.load_jobs(count=count, state=1, due_in=LATER, prefix=prefix)
    ids = [f"{prefix}-0000-7000-8000-{number:012X}" for number in range(1, count + 1)]
    times = []
    for task_id, order_id in zip(ids, orders, strict=True):
        begin = time.perf_counter()
        if first == "close":
            with ledger.closing(task_id, epoch=0, retention=86_400) as closed:
                if not closed:
                    raise AssertionError("the job was not open")
                work.take_payment(order_id)
        else:
            with transaction.atomic():
                if first == "floor":
                    with connection.cursor() as cursor:
                        cursor.execute("SELECT 1")
                work.take_payment(order_id)
        times.append(time.perf_counter() - begin)
    return statistics.median(times) * 1e6


def measure(stand: Stand, *, database_url: str, rounds: int) -> list[Line]:
    """Return the line of the row close, and of what any further exchange with the server costs."""
    with measurer("ours", env=stand.ours(database_url), folder=stand.folder / "logs") as ours:
        ours.call("work:create_tables")

        def block(first: str) -> float:
            return float(ours.call("closing:run_block", first=first, count=BLOCK))

        arms = {first: partial(block, first) for first in ("close", "nothing", "floor")}
        for arm in arms.values():
            arm()
        found = Rounds(count=rounds * ROUNDS_EACH)
        for _ in found.run(arms):
            pass
    without = found.samples("nothing", "us")
    return [
        Line("payment with the row close / without", found.samples("close", "us"), without, Target(1.15)),
        Line("(payment with an empty SELECT / without)", found.samples("floor", "us"), without),
    ]
