"""Whole workers: payments per second, and what a kill -9 of the whole group costs: rows 5 and 7 of the table."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING

from tests.benchmarks.frame import Line, Rounds, Samples, Target
from tests.benchmarks.measuring import Measurer, measurer
from tests.servers import programs
from tests.servers.processes import Process, pause_group, resume_group, wait_until

if TYPE_CHECKING:
    from tests.benchmarks.stand import Stand

#: Payments of one round: a second or two of work on an idle machine, so that filling the pipe counts for little.
PAYMENTS = 1000
#: Payments that are open when the group is killed, and how many of all of them may be done by then.
OPEN_AT_KILL, DONE_AT_KILL = 1500, 300
#: Seconds until Redis forgets that a worker which now stands still was waiting for a message (BRPOP waits for one).
LAST_READ = 1.2
#: Nothing here takes a minute; a machine with other work on it may need several times as long.
PATIENCE = 240


@contextlib.contextmanager
def worker(stand: Stand, side: str, *, env: Mapping[str, str], concurrency: int, name: str) -> Iterator[Process]:
    """Start a prefork worker of one side."""
    broker = env["REDIS_URL"] if side == "ours" else env["BENCH_BROKER_URL"]
    process = programs.start_worker(
        env={**env, "CELERY_BROKER_URL": broker} if side == "ours" else {**env, "REDIS_URL": broker},
        app=f"tests.benchmarks.{side}",
        queues=["default" if side == "ours" else "celery"],
        folder=stand.folder / "logs",
        concurrency=concurrency,
        name=name,
    )
    try:
        yield process
    finally:
        process.kill()


def run_payments(process: Process, producer: Measurer, *, side: str, count: int = PAYMENTS) -> float:
    """Fill the queue of a worker that stands still, let it go until all is done, and return its payments per second.

    The rate is read from the ledger's own times, so neither the filling nor the asking is part of it.
    """
    producer.call("enqueuing:enqueue_payments", side=side, count=count)
    resume_group(process.pid)
    try:
        wait_until(
            lambda: producer.call("work:entries")[1] >= count, timeout=PATIENCE, what=f"{count} payments", pause=0.2
        )
    finally:
        pause_group(process.pid)
        time.sleep(LAST_READ)
    done, orders, seconds = producer.call("work:entries")
    if done != orders:
        raise AssertionError(f"{done} entries for {orders} orders: a payment was taken twice")
    return (done - 1) / float(seconds)


def measure(stand: Stand, *, database_url: str, rounds: int) -> list[Line]:
    """Return the line of payments per second."""
    ours_env, stock_env = stand.ours(database_url), stand.stock(database_url)
    logs = stand.folder / "logs"
    with (
        measurer("ours", env=ours_env, folder=logs) as ours,
        measurer("stock", env=stock_env, folder=logs) as stock,
        stand.relay(database_url),
    ):
        ours.call("work:create_tables")
        watched_env = {**ours_env, "BENCH_EVENTS": "1"}
        with (
            worker(stand, "ours", env=ours_env, concurrency=4, name="ours") as our_worker,
            worker(stand, "ours", env=watched_env, concurrency=4, name="watched") as watched_worker,
            worker(stand, "stock", env=stock_env, concurrency=2, name="stock") as stock_worker,
        ):
            workers = {"ours": (our_worker, ours), "watched": (watched_worker, ours), "stock": (stock_worker, stock)}
            for process, _ in workers.values():
                pause_group(process.pid)
            arms = {
                name: partial(run_payments, process, producer, side=producer.side)
                for name, (process, producer) in workers.items()
            }
            for process, producer in workers.values():  # imports, connections, prepared text
                run_payments(process, producer, side=producer.side, count=50)
            found = Rounds(count=rounds)
            for _ in found.run(arms):
                pass
    what, stock_rate = "payments by workers, durable prefork c4 / stock Celery prefork c2", found.samples("stock", "/s")
    return [
        Line(what, found.samples("ours", "/s"), stock_rate, Target(1.3, at_most=False)),
        Line("(the same with the events that Flower watches)", found.samples("watched", "/s"), stock_rate),
    ]


def measure_kill(stand: Stand, *, database_url: str, rounds: int) -> list[Line]:
    """Return the lines of what happens after the whole worker group was killed."""
    env = stand.ours(database_url)
    firsts, lasts, doubled = [], [], 0
    with measurer("ours", env=env, folder=stand.folder / "logs") as ours, stand.relay(database_url):
        ours.call("work:create_tables")
        for number in range(rounds):
            first, last, more = _kill_once(stand, ours, env=env, number=number)
            firsts.append(first)
            lasts.append(last)
            doubled += more
    note = f"{OPEN_AT_KILL} open payments, {doubled} doubled, 0 lost"
    return [
        Line("kill -9 of the worker group: first effect after worker-ready", Samples.of(firsts, "s"),
             target=Target(1, unit="s"), note=note),
        Line("kill -9 of the worker group: all drained after worker-ready", Samples.of(lasts, "s"),
             target=Target(15, unit="s"), note=note),
    ]  # fmt: skip


def _kill_once(stand: Stand, ours: Measurer, *, env: dict[str, str], number: int) -> tuple[float, float, int]:
    count = OPEN_AT_KILL
    with worker(stand, "ours", env=env, concurrency=4, name=f"killed{number}") as killed:
        pause_group(killed.pid)
        ours.call("enqueuing:enqueue_payments", side="ours", count=count)
        resume_group(killed.pid)
        wait_until(lambda: ours.call("work:entries")[1] >= DONE_AT_KILL, timeout=PATIENCE, what="payments", pause=0.02)
        killed.kill()
    name = f"next{number}"
    with worker(stand, "ours", env=env, concurrency=4, name=name):  # as supervisor does, at once
        wait_until(lambda: ours.call("work:entries")[1] >= count, timeout=PATIENCE, what="all drained", pause=0.2)
        first, last = ours.call("work:since_ready", worker=name)
        done, orders, _ = ours.call("work:entries")
    return float(first), float(last), int(done) - int(orders)
