"""What makes a running site stale, and what following a log survives."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from myproject.launch import places, site, views
from myproject.launch.problems import Problem
from myproject.launch.terminal import Terminal


def make_checkout(root: Path) -> places.Checkout:
    (root / "orders").mkdir(parents=True)
    (root / "orders" / "tasks.py").write_text("one = 1\n")
    (root / ".state").mkdir()
    return places.Checkout(root=root, state=root / ".state")


def make_site(checkout: places.Checkout, folder: str, **environment: str) -> site.Site:
    place = places.Place(folder=checkout.state / "sites" / folder, orders=checkout.root / "orders.csv")
    place.create()
    made = site.Site(checkout, place, Terminal(io.StringIO()), host="127.0.0.1")
    made.environment = {"DATABASE_URL": f"sqlite:///{place.folder}/db.sqlite3", **environment}
    return made


def test_changed_code_is_noticed_and_a_compiled_file_is_not(tmp_path: Path) -> None:
    checkout = make_checkout(tmp_path)
    before = site.fingerprint_code(checkout.root)
    (tmp_path / "orders" / "__pycache__").mkdir()
    (tmp_path / "orders" / "__pycache__" / "tasks.cpython-311.pyc").write_bytes(b"x")
    assert site.fingerprint_code(checkout.root) == before
    (tmp_path / "orders" / "tasks.py").write_text("one = 10\n")
    assert site.fingerprint_code(checkout.root) != before


def test_what_was_prepared_counts_for_this_code_and_this_database_only(tmp_path: Path) -> None:
    made = make_site(make_checkout(tmp_path), "a")
    database = made.place.folder / "db.sqlite3"
    database.write_bytes(b"1")
    first = made._preparation("code")
    assert made._preparation("code") == first
    assert made._preparation("other code") != first
    database.rename(made.place.folder / "aside")
    database.write_bytes(b"2")
    assert made._preparation("code") != first


def test_the_database_of_a_server_is_always_looked_at_again(tmp_path: Path) -> None:
    made = make_site(make_checkout(tmp_path), "a", DATABASE_URL="mysql://shop@db/shop")
    assert made._preparation("code") != made._preparation("code")


def test_shutting_down_what_never_ran_does_nothing(tmp_path: Path) -> None:
    assert site.shut_down(make_checkout(tmp_path)) is False


def test_a_log_is_followed_over_its_rotation_and_whole_lines_only(tmp_path: Path) -> None:
    log = tmp_path / "web.log"
    log.write_text("".join(f"line {number}\n" for number in range(500)))
    stream = io.StringIO()
    terminal = Terminal(stream)
    position = views._show_end(log, terminal, labelled=False)
    assert stream.getvalue().splitlines()[-1] == "line 499"
    assert len(stream.getvalue().splitlines()) == views.LAST_LINES
    with log.open("a") as file:
        file.write("new\nhalf a ")
    position = views._show_new(log, position, terminal, labelled=False)
    assert stream.getvalue().splitlines()[-1] == "new"
    os.rename(log, tmp_path / "web.log.1")
    log.write_text("after\n")
    views._show_new(log, position, terminal, labelled=True)
    assert stream.getvalue().splitlines()[-1] == f"{'web':<16} | after"


def test_a_log_is_found_by_the_short_name_of_its_worker(tmp_path: Path) -> None:
    checkout = make_checkout(tmp_path)
    logs = tmp_path / "logs"
    logs.mkdir()
    (logs / "worker_orders.log").write_text("ready\n")
    places.write_json(checkout.current, {"environment": {"LOG_DIR": str(logs)}})
    stream = io.StringIO()
    assert views.show_logs(checkout, Terminal(stream), "orders") == 0
    assert stream.getvalue() == "ready\n"
    with pytest.raises(Problem, match="there is no program mail"):
        views.show_logs(checkout, Terminal(stream), "mail")
