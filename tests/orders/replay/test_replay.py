"""Whole replays on real processes: web, workers, broker, database and the provider's stand-in."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from celery import Celery

from orders.actions.payments import provider_order_id
from orders.replay.batches import source_of
from orders.replay.reader import read_file
from tests.orders.replay.files import DAY, MUTATED_FIGURES, write_mutated_file, write_retail_file, write_slice
from tests.servers.platform import Platform
from tests.servers.processes import ROOT, python, wait_until
from tests.servers.programs import broker_url, start_web

pytestmark = [pytest.mark.server, pytest.mark.serial, pytest.mark.slow, pytest.mark.timeout(900)]

on_sqlite = pytest.mark.parametrize("site", ["sqlite"], indirect=True)
"""For what does not depend on the database: the suite has a quarter of an hour for everything."""

TOKEN = "0123456789abcdef" * 4

SLICE = {
    "file": {
        "lines": 824,
        "invoices": 124,
        "sales": 107,
        "cancellations": 17,
        "net": "35514.37",
        "cancelled": "-824.01",
    },
    "platform": {
        "orders": 74,
        "order_lines": 745,
        "captured": "36338.38",
        "refunded": "412.86",
        "price_difference": "-12.40",
        "write_offs": 1512,
        "adjustments": "0.00",
    },
    "provider": {"captured": "36338.38", "refunded": "412.86"},
    "cancellation_lines": {"whole": 20, "part": 7, "none": 19},
    "unmatched": {"lines": 26, "value": "423.55"},
    "rounding": "0.00",
    "rejected": {"rows": 0},
    "tasks": {"run": 255, "failed": 0, "open": 0},
    "mails": 66,
    "difference": "0.00",
}

AWAY = 700_000
"""The first invoice number of the file whose replay loses the site half way: see `silence_half_way`."""

TIMES = {"seconds", "orders_per_second", "tasks_per_second"}

COUNT_ROWS = """
import json
from django.apps import apps
models = apps.get_models(include_auto_created=True)
print(json.dumps({model._meta.label: model._default_manager.count() for model in models}))
"""


@pytest.fixture(scope="module", params=["sqlite", "mariadb"])
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """One platform per database for all tests of this file; each test brings a file, and so a batch, of its own."""
    folder = tmp_path_factory.mktemp(f"replay-{request.param}")
    if request.param == "sqlite":
        database_url = f"sqlite:///{folder / 'platform.sqlite3'}"
    else:
        database_url = request.getfixturevalue("mariadb_server").fresh_url()
    platform = Platform(
        folder=folder / "platform",
        database_url=database_url,
        redis_url=request.getfixturevalue("valkey_server").fresh_url(),
        workers=("worker_orders", "worker_external", "worker_default"),
        env={
            "BOOTSTRAP_ADMIN_EMAIL": "admin@shop.example",
            "BOOTSTRAP_ADMIN_PASSWORD": "a-password-for-tests",
            "BOOTSTRAP_SERVICE_EMAIL": "feed@shop.example",
            "BOOTSTRAP_SERVICE_TOKEN": TOKEN,
            "SANDBOX_FAULTS": json.dumps([silence_half_way(folder)]),
        },
    )
    platform.start()
    try:
        platform.manage("bootstrap_site")
        yield platform
    finally:
        platform.stop()


def replay(site: Platform, path: Path, *options: str, expect: int | None = 0) -> subprocess.CompletedProcess[str]:
    return site.manage("replay_orders", path, "--json", *options, timeout=300, expect=expect)


def read_object(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """The one line of standard output, without what differs from run to run."""
    found: dict[str, Any] = json.loads(done.stdout)
    assert found.keys() >= TIMES
    return {key: value for key, value in found.items() if key not in TIMES}


def read_provider(site: Platform) -> dict[str, Any]:
    """What the provider applied, added up by itself; without the webhooks that tell of it."""
    done = subprocess.run(
        [python(), "-m", "myproject.sandbox", "record", "--json"],
        env={**site.env, "DJANGO_SETTINGS_MODULE": "myproject.sandbox.settings"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout)
    counts = {kind: count for kind, count in found["counts"].items() if kind != "webhook_sent"}
    return {"currencies": found["currencies"], "counts": counts}


def count_tasks(site: Platform) -> int:
    """How many tasks the workers have begun since they started, by their own counters; every worker must answer."""
    url = broker_url(site.env)
    with closing(Celery("asker", set_as_current=False)) as asker:
        asker.conf.update(broker_read_url=url, broker_write_url=url)
        answers: dict[str, Any] = asker.control.inspect(timeout=30, limit=len(site.programs)).stats() or {}
    assert len(answers) == len(site.programs)
    return sum(sum(answer["total"].values()) for answer in answers.values())


def take_stock(site: Platform) -> dict[str, Any]:
    """All that a second run must not change: rows, mails, the provider's record, tasks."""
    rows = json.loads(site.manage("shell", "--verbosity", "0", "-c", COUNT_ROWS).stdout.splitlines()[-1])
    return {
        "rows": rows,
        "mails": sorted(file.name for file in (site.folder / "mail").iterdir()),
        "provider": read_provider(site),
        "tasks": count_tasks(site),
    }


def silence_half_way(folder: Path) -> dict[str, Any]:
    """A rule for the provider: one payment in the middle of one file is not answered before the platform gives up.

    A replay of that file is busy with that payment for seconds, however fast or slow the machine is.
    """
    source = source_of(read_file(write_sales(folder / "away.csv", first=AWAY, count=40)).content_hash)
    order = provider_order_id(source=source, number=str(AWAY + 20), sequence=1)
    return {"endpoint": "session", "order": order, "times": 1, "fault": "timeout_before", "seconds": 60}


def count_rows(site: Platform, table: str) -> int:
    with closing(sqlite3.connect(site.folder.parent / "platform.sqlite3", timeout=30)) as database:
        return int(database.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0])


@contextmanager
def begun(site: Platform, path: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    """Start a replay and go on when it has begun to send; what a failed test leaves of it is killed."""
    command = [python(), "manage.py", "replay_orders", str(path), "--json", "--workers", "1", *options]
    process = subprocess.Popen(
        command, env=site.env, cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )
    assert process.stderr is not None
    try:
        while "orders placed" not in process.stderr.readline():
            assert process.poll() is None, "the replay ended before it began"
        yield process
    finally:
        process.kill()
        process.communicate()


def write_sales(path: Path, *, first: int, count: int = 60) -> Path:
    """A file of many small sales, half of which are cancelled."""
    numbers = range(first, first + count)
    sales = [f"{number},R{number % 7},BOX,3,{DAY},1.11,{number % 5}0001,EIRE" for number in numbers]
    cancellations = [f"C{number},R{number % 7},BOX,-1,{DAY},1.00,{number % 5}0001,EIRE" for number in numbers[::2]]
    return write_retail_file(path, *sales, *cancellations)


def test_a_slice_of_the_real_file_reconciles_to_the_penny(site: Platform, tmp_path: Path) -> None:
    done = replay(site, write_slice(tmp_path / "slice.csv"))

    assert read_object(done) == SLICE
    assert done.stderr.splitlines()[-1] == "difference 0.00"


def test_a_mutated_file_reconciles_and_names_its_bad_rows(site: Platform, tmp_path: Path) -> None:
    done = replay(site, write_mutated_file(tmp_path / "mutated.csv"), expect=4)

    assert read_object(done) == MUTATED_FIGURES
    assert "line 19: quantity is not a whole number: '2.5'" in done.stderr
    assert "line 31: the total of sale 700013 would be negative (10.00)" in done.stderr
    assert done.stderr.splitlines()[-1] == "difference 0.00"


def test_the_same_file_again_changes_nothing_and_another_adds_its_own(site: Platform, tmp_path: Path) -> None:
    path = write_sales(tmp_path / "sales.csv.gz", first=1000, count=10)
    first = replay(site, path)
    before = take_stock(site)
    assert before["tasks"] >= read_object(first)["tasks"]["run"] > 0
    packed_otherwise = write_sales(tmp_path / "again.csv", first=1000, count=10)

    again = replay(site, packed_otherwise)

    assert again.stdout == first.stdout
    assert take_stock(site) == before
    assert "this file was replayed before; nothing was done" in again.stderr
    assert again.stderr.splitlines()[-1] == "difference 0.00"

    other = replay(site, write_sales(tmp_path / "other.csv", first=1001, count=10))  # nine invoice numbers are the same

    assert read_object(other)["platform"]["orders"] == 10
    after = take_stock(site)
    assert after["rows"]["orders.Order"] == before["rows"]["orders.Order"] + 10
    charged = [state["provider"]["counts"]["charged"] for state in (before, after)]
    assert charged[1] == charged[0] + 10


@on_sqlite
@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGKILL])
def test_a_run_that_ended_early_goes_on_and_nothing_happens_twice(
    site: Platform, tmp_path: Path, sign: signal.Signals
) -> None:
    path = write_sales(tmp_path / "sales.csv", first=10_000 * sign, count=40)
    before = count_rows(site, "orders_order")
    # Without the worker that processes orders no replay reaches its end, however late the signal comes.
    with site.paused("worker_orders"), begun(site, path) as process:
        wait_until(lambda: count_rows(site, "orders_order") >= before + 5, timeout=150, what="five orders placed")
        os.kill(process.pid, sign)
        process.communicate(timeout=150)

    assert process.returncode == (-signal.SIGKILL if sign == signal.SIGKILL else 130)
    found = read_object(replay(site, path))

    assert found["platform"]["orders"] == 40
    assert found["provider"] == {"captured": "133.20", "refunded": "22.20"}
    assert found["platform"]["price_difference"] == "-2.20"
    assert found["mails"] == 60
    assert found["difference"] == "0.00"


@on_sqlite
def test_a_file_that_is_being_replayed_is_refused(site: Platform, tmp_path: Path) -> None:
    path = write_sales(tmp_path / "sales.csv", first=500_000, count=10)
    with ExitStack() as stack:
        with site.paused("worker_orders"):  # nothing is processed, so the first replay waits and keeps its batch
            process = stack.enter_context(begun(site, path, "--wait", "300"))
            second = replay(site, path, expect=2)
            assert process.poll() is None
        process.communicate(timeout=150)

    assert process.returncode == 0
    assert second.stdout == ""
    assert "cannot start: sales.csv is being replayed by another process at this moment." in second.stderr


@on_sqlite
def test_a_file_of_another_form_cannot_start(site: Platform, tmp_path: Path) -> None:
    path = tmp_path / "shirts.csv"
    path.write_text("id,name\n1,shirt\n")
    before = count_rows(site, "orders_importbatch")

    done = replay(site, path, expect=2)

    assert done.stdout == ""
    assert done.stderr.startswith("cannot start: the first line must name the columns InvoiceNo,StockCode")
    assert count_rows(site, "orders_importbatch") == before


def test_codes_are_compared_byte_for_byte_on_every_database(site: Platform, tmp_path: Path) -> None:
    """Case, a trailing blank and an accent make codes, invoices and customers of their own."""
    names = ("k1", "K1", "K1 ", "KÉ1", "KE1")
    sales = [f"{name},{name},BOX,{units},{DAY},1.00,c{name},EIRE" for units, name in enumerate(names, start=1)]
    cancellations = [
        f"C{name},{name},BOX,-{units},{DAY},1.00,c{name},EIRE" for units, name in enumerate(names, start=1)
    ]

    found = read_object(replay(site, write_retail_file(tmp_path / "codes.csv", *sales, *cancellations)))

    assert found["platform"]["orders"] == 5
    assert found["platform"]["refunded"] == found["platform"]["captured"] == "15.00"
    assert found["cancellation_lines"] == {"whole": 5, "part": 0, "none": 0}
    assert found["difference"] == "0.00"


@on_sqlite
def test_a_site_that_goes_away_leaves_a_run_that_names_what_is_missing(site: Platform, tmp_path: Path) -> None:
    path = write_sales(tmp_path / "away.csv", first=AWAY, count=40)
    with begun(site, path, "--wait", "2") as process:
        site.kill("web")
        _, errors = process.communicate(timeout=150)
    site.processes["web"], _ = start_web(env=site.env, folder=site.folder / "logs", port=site.web_port)

    assert process.returncode == 3
    assert f"{site.url} gives no usable answer for 2 s" in errors
    assert f"order {AWAY + 39}: not on the platform" in errors
    assert read_object(replay(site, path))["difference"] == "0.00"


@on_sqlite
def test_an_order_that_is_stuck_is_named(site: Platform, tmp_path: Path) -> None:
    """The worker that processes orders is away, so nothing gets past PAID; a later run finds it back and reconciles."""
    path = write_sales(tmp_path / "stuck.csv", first=900_000, count=2)
    site.kill("worker_orders")

    done = replay(site, path, "--wait", "6", expect=3)
    site.start_worker("worker_orders")
    later = replay(site, path)

    assert "order 900000 (paid): refunded: file 1.11, platform 0.00, provider 0.00; not processed" in done.stderr
    assert "order 900001 (paid): not processed" in done.stderr
    assert "cancellation C900000 is held back: order 900000 is not processed" in done.stderr
    *_, verdict, difference = done.stderr.splitlines()
    assert verdict.startswith("NOT RECONCILED: ")
    assert verdict.endswith(" figures differ")
    assert difference == "difference 2.22"
    assert read_object(later)["difference"] == "0.00"
