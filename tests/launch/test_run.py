"""`./run` as a person has it, in a copy of the checkout: what docs/running.md promises, with real processes."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis

from myproject.launch.places import SHIPPED_CATALOGUE, SHIPPED_ORDERS, read_json
from tests.launch.clones import Clone, Ended
from tests.servers.processes import MARK, ROOT

pytestmark = [pytest.mark.serial, pytest.mark.slow, pytest.mark.timeout(1200)]

KILLED = ("worker_orders", "worker_external", "worker_default")
CUSTOMERS = ("13777", "16923", "15358")
"""About 300 lines; their cancellations reach up to five earlier orders, in whole and in part."""
CATALOGUE_LINES = 2_000
"""The whole catalogue takes as long as the rest of a start, and its import has tests of its own."""


@pytest.fixture
def clone(tmp_path: Path) -> Iterator[Clone]:
    made = Clone(
        tmp_path / "a clone",
        mark=f"{os.environ[MARK]}-run",
        WEB_PROCESSES="1",
        WORKER_ORDERS_CONCURRENCY="1",
        WORKER_EXTERNAL_CONCURRENCY="1",
        SANDBOX_SETTLEMENT_DELAY="0.1",
    )
    catalogue = made.checkout.root / SHIPPED_CATALOGUE
    lines = gzip.decompress(catalogue.read_bytes()).splitlines(keepends=True)
    catalogue.write_bytes(gzip.compress(b"".join(lines[:CATALOGUE_LINES])))
    yield made
    made.end()


def write_slice(path: Path) -> Path:
    """Write all rows of a few customers of the shipped file under its own first line."""
    with gzip.open(ROOT / SHIPPED_ORDERS, "rt", encoding="utf-8", newline="") as shipped:
        header, *rows = shipped
    path.write_text(header + "".join(row for row in rows if row.split(",")[-2].removesuffix(".0") in CUSTOMERS))
    return path


def read_record(clone: Clone) -> list[dict[str, Any]]:
    """Return the provider's own record, one object per order."""
    env = read_json(clone.checkout.current)["environment"]
    answer = httpx.get(
        f"{env['JUSPAY_BASE_URL']}/sandbox/record/totals",
        auth=(env["SANDBOX_API_KEY"], ""),
        headers={"x-merchantid": env["SANDBOX_MERCHANT_ID"]},
    )
    orders: list[dict[str, Any]] = answer.json()["orders"]
    return orders


def count_refunds(clone: Clone) -> int:
    """Return how many refunds of more than nothing the platform's own database holds."""
    env = read_json(clone.checkout.current)["environment"]
    with contextlib.closing(sqlite3.connect(Path(env["STATE_DIR"]) / "db.sqlite3")) as database:
        return int(database.execute("SELECT COUNT(*) FROM orders_refund WHERE amount_minor > 0").fetchone()[0])


def sweep(clone: Clone) -> list[int]:
    """Return how many rows of each kind the sweep takes up when nothing may wait at all."""
    code = (
        "from django.conf import settings; settings.SWEEP_AFTER = 0;"
        "from django.utils import timezone; from orders.actions.sweep import sweep_stuck_orders;"
        "print(sorted(sweep_stuck_orders(now=timezone.now()).values()))"
    )
    found: list[int] = json.loads(clone.run("shell", "-c", code).output.strip().splitlines()[-1])
    return found


def flush_brokers(clone: Clone) -> None:
    """Empty both brokers, results and caches included."""
    env = read_json(clone.checkout.current)["environment"]
    for name in ("REDIS_URL", "ABANDON_CART_REDIS_URL"):
        redis.Redis.from_url(env[name]).flushall()


def refuse_wrong_columns(clone: Clone, folder: Path) -> Ended:
    wrong = folder / "wrong.csv"
    wrong.write_text("InvoiceNo,Quantity\n1,2\n")
    return clone.run("--json", "--orders", wrong)


def interrupt_start(clone: Clone, orders: Path) -> Ended:
    started = clone.start("--json", "--orders", orders)
    started.wait_for(lambda printed: "Bringing the database up to date" in printed, what="the database being there")
    started.interrupt()
    return started.wait()


def interrupt_replay(clone: Clone, orders: Path) -> Ended:
    started = clone.start("--json", "--orders", orders)
    started.wait_for(lambda printed: "orders placed" in printed, what="the replay sending orders")
    with clone.paused("worker_orders"):  # what it owes stays undone, so the replay is at work for the whole block
        refused = clone.run("stop")
        assert (refused.status, "is at work in this checkout" in refused.errors) == (2, True), refused
        started.interrupt()
    return started.wait()


def replay_while_workers_are_killed(clone: Clone, orders: Path) -> Ended:
    """Kill workers and empty the brokers twice: while orders are in their hands and while refunds are."""
    started = clone.start("--json", "--orders", orders)
    for phase in ("orders processed", "cancellations completed"):
        started.wait_for(lambda printed, phase=phase: phase in printed, what=f"{phase} being waited for")  # type: ignore[misc]
        clone.kill_programs(*KILLED)
        flush_brokers(clone)
    return started.wait(300)


def test_a_site_from_a_fresh_copy_to_nothing_left(clone: Clone, tmp_path: Path) -> None:
    orders = write_slice(tmp_path / "slice.csv")

    # What cannot be replayed is refused before anything starts.
    refused = refuse_wrong_columns(clone, tmp_path)
    assert (refused.status, refused.output, len(refused.errors.splitlines())) == (2, "", 1), refused
    assert not (clone.checkout.state / "sites").exists()

    # Ctrl-C in the middle of the start, then in the middle of the replay, leaves nothing.
    for interrupt in (interrupt_start, interrupt_replay):
        interrupted = interrupt(clone, orders)
        assert (interrupted.status, interrupted.output) == (130, ""), interrupted
        assert clone.left() == []

    # The next call goes on; workers are killed, brokers emptied, the money still adds up and nothing is left to sweep.
    replayed = replay_while_workers_are_killed(clone, orders)
    assert replayed.status == 0, replayed
    figures = json.loads(replayed.output)
    assert figures["difference"] == "0.00"
    assert figures["provider"] == {name: figures["platform"][name] for name in ("captured", "refunded")}
    record = read_record(clone)
    assert all(line["refunds_accepted"] == line["refunds_succeeded"] for line in record)
    assert sum(line["refunds_accepted"] for line in record) == count_refunds(clone) > 0
    assert clone.readable_by_others() == []
    assert set(sweep(clone)) == {0}

    # Again changes nothing and prints the same object.
    again = clone.run("--json", "--orders", orders)
    assert (again.status, json.loads(again.output)) == (0, figures), again
    assert read_record(clone) == record

    # A site that is up is used, shown, kept when a file is refused, and stopped to the last process.
    programs = clone.program_ids()
    assert clone.run("--no-replay", "--orders", orders).status == 0
    assert refuse_wrong_columns(clone, tmp_path).status == 2
    assert clone.program_ids() == programs
    status = clone.run("status")
    assert (status.status, status.output.splitlines()[-1]) == (0, "Healthy."), status
    assert clone.run("stop").status == 0
    assert clone.left() == []
    assert clone.run("status").status == 1
