"""One relay process: a courier per Celery app in a thread of its own, and the rest in the main thread.

A broker that hangs holds up its own app's courier and nothing else. The main thread watches leases, writes the report
that health reads, and prunes with the time that is left.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

import structlog
from celery import Celery
from django.db import DEFAULT_DB_ALIAS, connections

from myproject.jobs import prune
from myproject.jobs.ledger import execute, fetch, later_sql, now_sql
from myproject.jobs.relay.courier import BACK_OFF, BATCH, Courier, totals
from myproject.jobs.relay.decisions import WINDOW
from myproject.jobs.relay.leases import expire

logger = structlog.get_logger(__name__)

#: Seconds between two looks at the leases, and between two reports.
LEASES, REPORT = 0.5, 1.0
#: Seconds between two looks for jobs to prune when there were none, and at what has no time of its own: chords that
#: wait for weeks are looked at each time.
PRUNE, PRUNE_THOROUGHLY = 5.0, 600.0
#: The pruner waits four times as long as it worked: it takes a fifth of one connection's time at most.
PRUNE_REST = 4.0
#: Seconds after which the row of a relay that went away is deleted.
FORGET = 86_400.0
#: Seconds without a report after which another relay prunes in its place.
ABSENT = 15.0
#: How finely the main thread sleeps: a TERM is heard at once, within this the couriers hear of it.
SLICE = 0.1


class RelayProcess:
    """Serves both Celery apps until it is told to stop."""

    def __init__(self, apps: Mapping[str, Celery], *, window: int = WINDOW, batch: int = BATCH) -> None:
        self.apps = apps
        self.couriers = {name: Courier(app, window=window, batch=batch) for name, app in apps.items()}
        self.id = f"{socket.gethostname()}:{os.getpid()}"
        self.stopping = False
        self.expired = self.pruned = 0
        self._started = time.time()
        self._next: dict[str, float] = {}
        self._failures = 0
        self._pruning: Iterator[int] | None = None

    def stop(self, *_: Any) -> None:
        """Ask for the end. Safe in a signal handler: it only sets a flag."""
        self.stopping = True

    def run(self) -> None:
        """Work until `stop`, or raise SystemExit when a courier died, so that supervisor starts the process again."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.stop)
        threads = [
            threading.Thread(target=courier.run, name=f"courier-{name}", daemon=True)
            for name, courier in self.couriers.items()
        ]
        for thread in threads:
            thread.start()
        logger.info("relay started", id=self.id, apps=sorted(self.apps))
        try:
            while not self.stopping:
                pause = self.tend()
                end = time.monotonic() + pause
                while not self.stopping and (left := end - time.monotonic()) > 0:
                    time.sleep(min(left, SLICE))
                if not all(thread.is_alive() for thread in threads):
                    raise SystemExit("a courier of the relay died")
        finally:
            for courier in self.couriers.values():
                courier.stop()
            for thread in threads:
                thread.join(10)
            self._leave()
        logger.info("relay stopped", id=self.id)

    def tend(self) -> float:
        """Do what the main thread has to do now; return how many seconds it may rest. Never raises."""
        try:
            if self._is_time("leases", LEASES):
                self._take_back()
            if self._is_time("report", REPORT):
                self._report()
            pause = self._prune()
        except Exception as error:
            if not self._failures:
                logger.warning("the relay's house-keeping fails", error=type(error).__name__, exc_info=True)
            pause = BACK_OFF[min(self._failures, len(BACK_OFF) - 1)]
            self._failures += 1
            self._pruning = None
            connections[DEFAULT_DB_ALIAS].close()
            return pause
        self._failures = 0
        return pause

    def _is_time(self, what: str, seconds: float) -> bool:
        now = time.monotonic()
        if now < self._next.get(what, 0.0):
            return False
        self._next[what] = now + seconds
        return True

    def _take_back(self) -> None:
        count = expire(self.apps)
        if count:
            self.expired += count
            for courier in self.couriers.values():
                courier.wake.set()

    def report(self) -> dict[str, Any]:
        """Return what this process did since its start, and how its couriers are."""
        return {
            "apps": totals(self.couriers),
            "expired": self.expired,
            "pruned": self.pruned,
            "up": round(time.time() - self._started),
        }

    def _report(self) -> None:
        text = json.dumps(self.report())
        if not execute(f"UPDATE jobs_relay SET seen_at={now_sql()}, report=%s WHERE id=%s", [text, self.id]):
            execute(f"INSERT INTO jobs_relay (id, seen_at, report) VALUES (%s,{now_sql()},%s)", [self.id, text])

    def _leave(self) -> None:
        """Take this process off the list: an orderly end is not an absence."""
        try:
            execute("DELETE FROM jobs_relay WHERE id=%s", [self.id])
        except Exception as error:
            logger.warning("the relay could not sign off", error=type(error).__name__)
        connections.close_all()

    # --- pruning

    def _prune(self) -> float:
        """Delete one batch, when it is this process's turn; return how many seconds to rest."""
        rest = min(LEASES, REPORT) / 2
        if self._pruning is None:
            if not self._is_time("prune", PRUNE) or not self._is_pruner():
                return rest
            self._pruning = prune.batches(thorough=self._is_time("prune thoroughly", PRUNE_THOROUGHLY))
        started = time.monotonic()
        deleted = next(self._pruning, None)
        if deleted is None:
            self._pruning = None
            return rest
        self.pruned += deleted
        return min(PRUNE_REST * (time.monotonic() - started), 1.0)

    def _is_pruner(self) -> bool:
        """Tell whether this process is the first of those that live: one prunes, the others need not meet its locks."""
        execute(f"DELETE FROM jobs_relay WHERE seen_at<{later_sql()}", [-FORGET])
        living = fetch(f"SELECT id FROM jobs_relay WHERE seen_at>={later_sql()}", [-ABSENT])
        return self.id == min((name for (name,) in living), default=self.id)
