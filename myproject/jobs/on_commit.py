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
#: The most transactions of one pipeline; more gain nothing.
BATCH = 500
#: Seconds for which the thread gathers messages while transactions follow each other, and how close that is. Two
#: threads that hand the interpreter to each other at every transaction cost the caller more than publishing itself
#: would. A process that has nothing else to do publishes at once.
LINGER, BUSY = 0.003, 0.02
#: Seconds that an ending process gives its buffer.
FLUSH = 2.0


class _Thread:
    """The publishing thread of one process."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.items: queue.SimpleQueue[tuple[Celery, list[Hint]] | threading.Event] = queue.SimpleQueue()
        threading.Thread(target=self._run, name="publish-jobs", daemon=True).start()

    def add(self, app: Celery, hints: list[Hint]) -> None:
        """Take messages, or leave them to the relay when the buffer is full."""
        if self.items.qsize() < BUFFER:
            self.items.put((app, hints))
        else:
            logger.warning("messages were left to the relay: the buffer is full", count=len(hints))

    def _run(self) -> None:
        busy_until = 0.0
        while True:
            found = [self.items.get()]
            if time.monotonic() < busy_until:
                time.sleep(LINGER)
            while len(found) < BATCH and not self.items.empty():
                found.append(self.items.get())
            batches: dict[Celery, list[Hint]] = {}
            for item in found:
                if not isinstance(item, threading.Event):
                    batches.setdefault(item[0], []).extend(item[1])
            for app, hints in batches.items():
                _publish_or_leave(app, hints)
            for item in found:
                if isinstance(item, threading.Event):
                    item.set()
            busy_until = time.monotonic() + BUSY

    def flush(self) -> None:
        """Wait until what is in the buffer now is published, for FLUSH seconds at most."""
        done = threading.Event()
        self.items.put(done)
        done.wait(FLUSH)


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


def _publish_or_leave(app: Celery, hints: list[Hint], producer: Any = None, *, wait: bool = True) -> None:
    try:
        publish(app, hints, producer=producer, wait=wait)
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
            _publish_or_leave(self.app, self.hints, self.producer, wait=False)
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
