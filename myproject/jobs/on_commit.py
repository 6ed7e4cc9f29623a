"""What happens at the end of a transaction that promised jobs: their rows are written, and then published.

The rows ride on the COMMIT (`myproject.databases`): one INSERT for all of them, and on MySQL no exchange of their own.
A statement that may ask for them, and a savepoint, which may be rolled back without them, has them written first.
Publishing happens in the caller's thread, or behind its back.

A web process hands its messages to a thread of its own, so that a slow broker never delays an answer. The buffer is
bounded and flushed at exit; what does not fit or is lost with the process is published by the relay, from its row.
"""

from __future__ import annotations

import atexit
import os
import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import structlog
from celery import Celery
from django.db import DEFAULT_DB_ALIAS, connections, transaction

from myproject.databases.riding import Statement
from myproject.jobs import ledger
from myproject.jobs.failpoints import hit
from myproject.jobs.ledger import NewJob
from myproject.jobs.publishing import BrokerUnavailable, Message, publish

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
#: Rows, and characters of payload, that wait for a COMMIT; more are written at once. A server takes 16 MB in one piece
#: (MariaDB's max_allowed_packet), a payload has 256 KiB at most, and hundreds of rows gain nothing more.
ROWS, CHARACTERS = 200, 1_000_000


class _Thread:
    """The publishing thread of one process."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.items: queue.SimpleQueue[tuple[Celery, list[Message]] | threading.Event] = queue.SimpleQueue()
        threading.Thread(target=self._run, name="publish-jobs", daemon=True).start()

    def add(self, app: Celery, hints: list[Message]) -> None:
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
            batches: dict[Celery, list[Message]] = {}
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


def _publish_or_leave(app: Celery, hints: list[Message], producer: Any = None, *, wait: bool = True) -> None:
    try:
        publish(app, hints, producer=producer, wait=wait)
    except BrokerUnavailable as error:
        logger.warning("messages were left to the relay", count=len(hints), error=str(error))
    except Exception as error:  # the commit has happened: nothing may reach the caller
        logger.exception("messages were left to the relay", count=len(hints), error=type(error).__name__)


class _OnCommit:
    """The jobs and messages of one transaction, written and published together.

    Django drops the hooks of a savepoint that is rolled back, so jobs are merged within one savepoint only.
    """

    def __init__(self, app: Celery, producer: Any = None) -> None:
        self.app = app
        self.producer = producer
        self.hints: list[Message] = []
        self.jobs: list[NewJob] = []  # whose rows are not written yet
        self.size = 0  # characters of their payloads

    def __call__(self) -> None:
        global _thread
        if self.jobs and connections[DEFAULT_DB_ALIAS].in_atomic_block:
            write_rows()  # there was no COMMIT: a test calls the hooks of a transaction that never ends
        if not _in_thread:
            _publish_or_leave(self.app, self.hints, self.producer, wait=False)
            return
        if _thread is None or _thread.pid != os.getpid():
            _thread = _Thread()
        _thread.add(self.app, self.hints)


def publish_on_commit(app: Celery, hints: Sequence[Message], *, producer: Any = None) -> None:
    """Publish jobs when the caller's transaction commits; at once outside of one. Never raises for the broker's sake.

    `producer` is used outside of a transaction only, where the caller holds it: taking a second one from the pool
    while every thread holds its first is a deadlock.
    """
    if connections[DEFAULT_DB_ALIAS].in_atomic_block:
        _hook(app).hints.extend(hints)
        return
    batch = _OnCommit(app, producer)
    batch.hints.extend(hints)
    transaction.on_commit(batch)


def _hook(app: Celery) -> _OnCommit:
    """Return what gathers the jobs of this savepoint."""
    connection = connections[DEFAULT_DB_ALIAS]
    if connection.run_on_commit:
        savepoints, hook, *_ = connection.run_on_commit[-1]
        if type(hook) is _OnCommit and hook.app is app and savepoints == set(connection.savepoint_ids):
            return hook
    batch = _OnCommit(app)
    transaction.on_commit(batch)
    return batch


# --- Rows that ride on the COMMIT


def promise_on_commit(app: Celery, job: NewJob) -> None:
    """Write a new job, whose id nobody else can know, with the COMMIT of the open transaction, and publish it then."""
    hook = _hook(app)
    hook.jobs.append(job)
    hook.hints.append(job)
    hook.size += len(job.body)
    if len(hook.jobs) >= ROWS or hook.size >= CHARACTERS:
        write_rows()
    else:
        _watch()


def write_rows() -> None:
    """Write the rows that wait for the COMMIT of this thread's transaction.

    Whoever catches an error of this cannot commit what goes without them, as with an error of the ORM's own.
    """
    _stop_looking()
    hooks = _waiting()
    with transaction.mark_for_rollback_on_error(using=DEFAULT_DB_ALIAS):
        for sql, parameters in ledger.insertion([job for hook in hooks for job in hook.jobs]):
            ledger.execute(sql, parameters)
    for hook in hooks:
        hook.jobs, hook.size = [], 0


def _waiting() -> list[_OnCommit]:
    hooks = (hook for _, hook, *_ in connections[DEFAULT_DB_ALIAS].run_on_commit)
    return [hook for hook in hooks if type(hook) is _OnCommit and hook.jobs]


def _watch() -> None:
    """Have the rows written in time."""
    connection = ledger.own_connection()
    if connection.before_commit is None:
        connection.before_commit = _rows_of_commit
    if _look not in connection.execute_wrappers:
        # In front: Django's own `execute_wrapper` takes the last one away when it ends.
        connection.execute_wrappers.insert(0, _look)


def _rows_of_commit() -> list[Statement]:
    """Return what the COMMIT takes along."""
    hit("commit.before")
    _stop_looking()
    return ledger.insertion([job for hook in _waiting() for job in hook.jobs])


def _stop_looking() -> None:
    wrappers = connections[DEFAULT_DB_ALIAS].execute_wrappers
    if _look in wrappers:
        wrappers.remove(_look)


def _look(execute: Callable[..., Any], sql: str, *rest: Any) -> Any:
    """Write the rows before a statement that may ask for them, or that a rollback may go back to."""
    if "jobs_job" in sql or sql.startswith("SAVEPOINT"):
        write_rows()
    return execute(sql, *rest)
