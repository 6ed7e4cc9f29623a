"""Keeping the leases of this process's running jobs: one thread renews them all, on a connection of its own."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import structlog
from django.db import Error, connections

from myproject.jobs import ledger
from myproject.jobs.database import renew_connections
from myproject.jobs.errors import Snooze

logger = structlog.get_logger(__name__)

#: A lease is renewed when a third of it is over, so that two renewals may fail before it ends.
PART = 3
#: Seconds that an idle thread waits before it ends: the next job often begins at once, and a connection costs 1 ms.
IDLE = 5.0
#: Seconds until a job is tried again that found no thread to keep its lease: this process, or its machine, is short of
#: memory or processes, and another may not be.
SCARCE_PAUSE = 2.0


@dataclass(slots=True)
class _Lease:
    token: int
    lease: float
    key: str | None
    due: float


class _Keeper:
    """The leases of one process. The thread lives as long as there are any."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.leases: dict[str, _Lease] = {}
        self.changed = threading.Condition()
        self.thread: threading.Thread | None = None

    def add(self, task_id: str, lease: _Lease) -> None:
        with self.changed:
            if self.thread is None or not self.thread.is_alive():
                self.thread = self._start()
            self.leases[task_id] = lease
            self.changed.notify()

    def _start(self) -> threading.Thread:
        thread = threading.Thread(target=self._run, name="keep-leases", daemon=True)
        try:
            thread.start()
        except (RuntimeError, MemoryError) as error:  # the body has not begun, so nothing is lost by running it later
            logger.warning("a job is put back: no thread can keep its lease", error=str(error))
            raise Snooze(SCARCE_PAUSE) from error
        return thread

    def remove(self, task_id: str) -> None:
        with self.changed:
            self.leases.pop(task_id, None)
            self.changed.notify()

    def _run(self) -> None:
        try:
            while (due := self._wait()) is not None:
                for task_id, lease in due:
                    self._renew(task_id, lease)
        finally:
            connections.close_all()

    def _wait(self) -> list[tuple[str, _Lease]] | None:
        """Return the leases that are due; None when there are no leases left and the thread may end."""
        with self.changed:
            while True:
                now = time.monotonic()
                due = [(task_id, lease) for task_id, lease in self.leases.items() if lease.due <= now]
                if due:
                    return due
                idle = not self.leases
                pause = IDLE if idle else min(lease.due for lease in self.leases.values()) - now
                if not self.changed.wait(pause) and idle:
                    self.thread = None
                    return None

    def _renew(self, task_id: str, lease: _Lease) -> None:
        lease.due = time.monotonic() + lease.lease / PART
        try:
            kept = ledger.extend(task_id, token=lease.token, lease=lease.lease)
            if kept and lease.key:
                ledger.extend_slot(lease.key, task_id, lease=lease.lease)
        except (Error, OSError, MemoryError) as error:
            logger.warning("a lease was not renewed", task_id=task_id, error=type(error).__name__)
            renew_connections()
            return
        if not kept:
            logger.warning("a lease ended while its job was running", task_id=task_id)
            self.remove(task_id)


_keeper = _Keeper()


@contextmanager
def kept(task_id: str, *, token: int, lease: float, key: str | None) -> Iterator[None]:
    """Renew the lease of a claimed job, and its concurrency slot, as long as the block runs."""
    global _keeper
    if _keeper.pid != os.getpid():
        _keeper = _Keeper()
    keeper = _keeper
    keeper.add(task_id, _Lease(token=token, lease=lease, key=key, due=time.monotonic() + lease / PART))
    try:
        yield
    finally:
        keeper.remove(task_id)
