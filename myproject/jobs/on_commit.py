"""Publishing what a transaction promised, once it is committed: in the caller's thread, or behind its back.

A web process hands its messages to a thread of its own, so that a slow broker never delays an answer. The buffer is
bounded and flushed at exit; what does not fit or is lost with the process is published by the relay, from its row.
"""

from __future__ import annotations

import atexit
import os
import queue
import threading
import time
from typing import Any

import structlog
from celery import Celery
from django.db import DEFAULT_DB_ALIAS, connections, transaction

from myproject.jobs.publishing import BrokerUnavailable, Hint, publish

logger = structlog.get_logger(__name__)

#: Messages that wait for the thread: seconds of work at the rate of one process, and some megabytes at most.
BUFFER = 10_000
#: The most messages of one pipeline; more gain nothing.
BATCH = 500
#: Seconds that an ending process gives its buffer.
FLUSH = 2.0


class _Thread:
    """The publishing thread of one process."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.items: queue.Queue[tuple[Celery, list[Hint]]] = queue.Queue(BUFFER)
        self.busy = False
        threading.Thread(target=self._run, name="publish-jobs", daemon=True).start()

    def add(self, app: Celery, hints: list[Hint]) -> None:
        """Take messages, or leave them to the relay when the buffer is full."""
        try:
            self.items.put_nowait((app, hints))
        except queue.Full:
            logger.warning("messages were left to the relay: the buffer is full", count=len(hints))

    def _run(self) -> None:
        while True:
            app, hints = self.items.get()
            self.busy = True
            batches: dict[Celery, list[Hint]] = {app: list(hints)}
            while sum(map(len, batches.values())) < BATCH:
                try:
                    app, more = self.items.get_nowait()
                except queue.Empty:
                    break
                batches.setdefault(app, []).extend(more)
            for app, found in batches.items():
                _publish_or_leave(app, found)
            self.busy = False

    def flush(self) -> None:
        """Wait until the buffer is empty, for FLUSH seconds at most."""
        end = time.monotonic() + FLUSH
        while (self.busy or not self.items.empty()) and time.monotonic() < end:
            time.sleep(0.01)


_thread: _Thread | None = None
_in_thread = False


def publish_in_thread() -> None:
    """Have this process, and its children, publish in a thread. Called by the web server's entry."""
    global _in_thread
    _in_thread = True
    atexit.register(flush)


def flush() -> None:
    """Wait for the publishing thread to empty its buffer."""
    if _thread is not None and _thread.pid == os.getpid():
        _thread.flush()


def _publish_or_leave(app: Celery, hints: list[Hint], producer: Any = None) -> None:
    try:
        publish(app, hints, producer=producer)
    except BrokerUnavailable as error:
        logger.warning("messages were left to the relay", count=len(hints), error=str(error))
    except Exception as error:  # the commit has happened: nothing may reach the caller
        logger.exception("messages were left to the relay", count=len(hints), error=type(error).__name__)


class _OnCommit:
    """The messages of one transaction, published together.

    Django drops the hooks of a savepoint that is rolled back, so jobs are merged within one savepoint only.
    """

    def __init__(self, app: Celery, producer: Any) -> None:
        self.app = app
        self.producer = producer
        self.hints: list[Hint] = []

    def __call__(self) -> None:
        global _thread
        if not _in_thread:
            _publish_or_leave(self.app, self.hints, self.producer)
            return
        if _thread is None or _thread.pid != os.getpid():
            _thread = _Thread()
        _thread.add(self.app, self.hints)


def publish_on_commit(app: Celery, hints: list[Hint], *, producer: Any = None) -> None:
    """Publish when the caller's transaction commits; at once outside of one. Never raises for the broker's sake.

    `producer` is used outside of a transaction only, where the caller holds it: taking a second one from the pool
    while every thread holds its first is a deadlock.
    """
    connection = connections[DEFAULT_DB_ALIAS]
    if connection.in_atomic_block:
        producer = None
        if connection.run_on_commit:
            savepoints, hook, *_ = connection.run_on_commit[-1]
            if type(hook) is _OnCommit and hook.app is app and savepoints == set(connection.savepoint_ids):
                hook.hints.extend(hints)
                return
    batch = _OnCommit(app, producer)
    batch.hints.extend(hints)
    transaction.on_commit(batch)
