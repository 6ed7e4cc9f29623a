"""A child is not born while a thread has SQLite locked: it would believe for the rest of its life that it is."""

from __future__ import annotations

import os
import sqlite3
import threading
from pathlib import Path

import pytest

from myproject.jobs.database import undisturbed_by_forks

pytestmark = pytest.mark.sqlite

#: Seconds that the thread keeps its transaction open, which the fork has to wait for.
HELD = 0.3


def can_write(path: Path) -> bool:
    """Tell whether a child that is born now can write to the database."""
    pid = os.fork()
    if pid == 0:
        try:
            sqlite3.connect(path, timeout=0.5).execute("BEGIN IMMEDIATE")
        except BaseException:
            os._exit(1)
        os._exit(0)
    return os.waitpid(pid, 0)[1] == 0


def test_a_fork_waits_for_the_transaction_of_a_thread(tmp_path: Path):
    path = tmp_path / "db.sqlite3"
    sqlite3.connect(path).execute("PRAGMA journal_mode=WAL")
    locked, ended = threading.Event(), threading.Event()
    connections = []

    def write() -> None:
        connection = sqlite3.connect(path, isolation_level=None)
        connections.append(connection)  # it stays open, as a thread's does
        with undisturbed_by_forks():
            connection.execute("BEGIN IMMEDIATE")
            locked.set()
            ended.wait(HELD)
            connection.execute("COMMIT")

    thread = threading.Thread(target=write)
    thread.start()
    try:
        assert locked.wait(60)
        assert can_write(path)
    finally:
        ended.set()
        thread.join()


def test_this_process_may_fork_again():
    with undisturbed_by_forks():
        pass
    pid = os.fork()
    if pid == 0:
        with undisturbed_by_forks():
            os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
