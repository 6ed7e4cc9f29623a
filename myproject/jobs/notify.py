"""Telling whoever waits that a job is done, and showing progress: on the broker's Redis, beside the database.

Nothing here is a promise. The row says what happened; a message that is lost costs the waiter a fraction of a second
until its next look. So a thread of its own sends everything, many at a time: a body never waits for Redis, least of
all inside its transaction. With another broker there is no channel, and waiting is looking again.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import redis
import structlog
from celery import Celery

from myproject.jobs.publishing import Breaker, publisher

logger = structlog.get_logger(__name__)

#: Seconds that progress waits before it is sent: most tasks end sooner, and then nothing need be sent at all.
PACE = 0.05
#: Seconds that the thread rests after it told of ended jobs, so that those which follow closely are told together:
#: waking it for each takes the interpreter from the bodies twice a job. A job that ends alone is told of at once.
REST = 0.01
#: Seconds that shown progress is kept: longer than any task may run (see VISIBILITY_TIMEOUT in the settings).
KEPT = 3600
#: Messages that wait for the thread. Beyond that, waiters look again and progress is not shown.
BUFFER = 10_000
#: Seconds that an ending process gives to what waits.
FLUSH = 0.5
#: The most channels of one subscription: their confirmations alone would take longer than the next look.
CHANNELS = 1_000


class Courier:
    """Sends for one app in one process."""

    def __init__(self, app: Celery) -> None:
        self.app = app
        self.pid = os.getpid()
        self.breaker = Breaker()
        self._changed = threading.Condition()
        self._done: list[str] = []
        self._values: dict[str, str] = {}
        self._due = 0.0
        self._shown: set[str] = set()
        self._thread: threading.Thread | None = None

    def done(self, task_id: str) -> None:
        """Wake whoever waits for that job, and take its progress back."""
        with self._changed:
            self._values.pop(task_id, None)
            if len(self._done) < BUFFER:
                self._done.append(task_id)
                self._wake()

    def show(self, task_id: str, value: str) -> None:
        """Show progress of a job; a later value replaces one that is not sent yet."""
        with self._changed:
            if not self._values:
                self._due = time.monotonic() + PACE
            if task_id in self._values or len(self._values) < BUFFER:
                self._values[task_id] = value
                self._wake()

    def _wake(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="job-courier", daemon=True)
            self._thread.start()
        self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._done:
                    pause = self._due - time.monotonic() if self._values else None
                    if pause is not None and pause <= 0:
                        break
                    self._changed.wait(pause)
                done, self._done = self._done, []
                values: dict[str, str] = {}
                if self._values and time.monotonic() >= self._due:
                    values, self._values = self._values, {}
            self._send(done, values)
            if done:
                time.sleep(REST)

    def _send(self, done: list[str], values: dict[str, str]) -> None:
        if self.breaker.is_open:
            return
        try:
            publisher(self.app).commands(*self._commands(done, values))
            self.breaker.succeed()
        except Exception as error:  # the thread goes on: nothing here is worth more than a log line
            self.breaker.fail()
            logger.info("nobody was told of ended jobs; waiters look", count=len(done), error=type(error).__name__)

    def _commands(self, done: list[str], values: dict[str, str]) -> list[tuple[Any, ...]]:
        commands: list[tuple[Any, ...]] = []
        if len(self._shown) > BUFFER:
            self._shown.clear()  # their keys expire
        for task_id, value in values.items():
            commands.append(("SET", _key(self.app, task_id), value, "EX", KEPT))
            self._shown.add(task_id)
        for task_id in done:
            commands.append(("PUBLISH", _channel(self.app, task_id), "done"))
            if task_id in self._shown:
                self._shown.discard(task_id)
                commands.append(("DEL", _key(self.app, task_id)))
        return commands

    def flush(self, seconds: float = FLUSH) -> None:
        """Wait until nothing waits any more, for `seconds` at most."""
        end = time.monotonic() + seconds
        while (self._done or self._values) and time.monotonic() < end:
            time.sleep(0.005)


def courier(app: Celery) -> Courier | None:
    """Return the app's courier in this process; None when the broker is no Redis."""
    found: Courier | None = app.__dict__.get("_job_courier")
    if found is None or found.pid != os.getpid():
        if not publisher(app).is_redis:
            return None
        found = app.__dict__["_job_courier"] = Courier(app)
        atexit.register(found.flush)
    return found


def tell(app: Celery, task_id: str) -> None:
    """Wake whoever waits for a job. Call it after the commit; it returns at once and never raises."""
    with suppress(Exception):
        found = courier(app)
        if found is not None:
            found.done(task_id)


def show(app: Celery, task_id: str, value: str) -> None:
    """Show a text as the progress of a job. Returns at once and never raises."""
    with suppress(Exception):
        found = courier(app)
        if found is not None:
            found.show(task_id, value)


def shown(app: Celery, task_id: str) -> str | None:
    """Return the progress that is shown of a job; None when there is none, or nobody to ask."""
    with suppress(Exception):
        found = courier(app)
        if found is not None and not found.breaker.is_open:
            try:
                (answer,) = publisher(app).commands(("GET", _key(app, task_id)))
            except (redis.RedisError, OSError):
                found.breaker.fail()
                return None
            return answer.decode() if isinstance(answer, bytes) else answer
    return None


class Listener:
    """Sleeps until one of several jobs may be done. `wait` returns early, late or for nothing: look, and wait again."""

    def __init__(self, app: Celery, ids: Collection[str]) -> None:
        self._app = app
        self._ids = ids
        self._connection: Any = None
        self._tried = False

    def wait(self, seconds: float) -> None:
        """Sleep for `seconds` at most. The first call returns at once when it has just begun to listen."""
        if not self._tried:
            self._tried = True
            self._subscribe()
            if self._connection is not None:
                return
        if self._connection is None:
            time.sleep(max(0.0, seconds))
            return
        try:
            if self._connection.can_read(timeout=max(0.0, seconds)):
                self._connection.read_response(push_request=True)
                while self._connection.can_read(timeout=0):
                    self._connection.read_response(push_request=True)
        except Exception:
            self.close()

    @property
    def listens(self) -> bool:
        """Whether an ended job would cut the sleep short."""
        return self._connection is not None

    def _subscribe(self) -> None:
        found = courier(self._app)
        if found is None or found.breaker.is_open or not 0 < len(self._ids) <= CHANNELS:
            return
        try:
            self._connection = publisher(self._app).connect()
            channels = [_channel(self._app, task_id) for task_id in self._ids]
            self._connection.send_command("SUBSCRIBE", *channels)
            for _ in channels:
                self._connection.read_response(push_request=True)
        except Exception:
            found.breaker.fail()
            self.close()

    def close(self) -> None:
        """Stop listening."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(Exception):
                connection.disconnect()


@contextmanager
def listening(app: Celery, ids: Collection[str]) -> Iterator[Listener]:
    """Listen for the end of the given jobs while the context lasts. `ids` is read when the first wait begins."""
    listener = Listener(app, ids)
    try:
        yield listener
    finally:
        listener.close()


def _channel(app: Celery, task_id: str) -> str:
    return f"{publisher(app).prefix}jobs:done:{task_id}"


def _key(app: Celery, task_id: str) -> str:
    return f"{publisher(app).prefix}jobs:progress:{task_id}"
