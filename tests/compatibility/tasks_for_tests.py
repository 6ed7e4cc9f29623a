"""Tasks of the compatibility tests. `register` puts the same ones on the worker's app and on the client's.

They are best effort, as a stock client's are; `durable/tasks.py` declares some of them again as durable ones.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import redis
from celery import Task, signals
from celery.exceptions import SoftTimeLimitExceeded

PREFIX = "tests.compatibility."
WROTE = "tests:wrote:"

Declare = Callable[..., Any]


class TransientError(Exception):
    """May pass by itself."""


class PermanentError(Exception):
    """Will not pass."""


def notebook() -> redis.Redis:
    """Return the client of the database where tasks write what happened; the tests read it there.

    Some wait there to be let go, for longer than the 5 s of redis-py.
    """
    return redis.Redis.from_url(os.environ["TESTS_NOTEBOOK_URL"], decode_responses=True, socket_timeout=None)


def write(key: str | None, what: str) -> int:
    """Append `what` to the notes under `key`; return how many there are."""
    with notebook() as client:
        return int(client.rpush(f"{WROTE}{key}", what))


class Noting(Task):
    """Writes down which of the hooks of a task class Celery called."""

    def on_success(self, retval: Any, task_id: str, args: Any, kwargs: Any) -> None:
        write(task_id, f"on_success {retval}")

    def on_failure(self, exc: Exception, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        write(task_id, f"on_failure {type(exc).__name__}")

    def on_retry(self, exc: Exception, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        write(task_id, f"on_retry {type(exc).__name__}")

    def after_return(self, status: str, retval: Any, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        write(task_id, f"after_return {status}")


def register(app: Any) -> SimpleNamespace:
    """Register the tasks on `app`, and on no other app, and return them by their short names."""
    task = declarer(app, prefix=PREFIX, durable=False)
    shared = {**plain(task), **retrying(task, delay=1), **outcomes(task)}
    return SimpleNamespace(**shared, **_plain(task), **_outcomes(task), **_classes(app))


def declarer(app: Any, *, prefix: str, **always: Any) -> Declare:
    """Return a decorator of tasks of `app` that are named after their bodies; `always` are options of all of them."""

    def task(**options: Any) -> Any:
        return lambda body: app.task(body, name=prefix + body.__name__, shared=False, **always, **options)

    return task


def plain(task: Declare) -> dict[str, Task]:
    """Declare what both kinds of tasks begin with."""

    @task()
    def add(x: int, y: int) -> int:
        return x + y

    @task()
    def total(numbers: list[int]) -> int:
        return sum(numbers)

    @task()
    def note(what: Any, key: str) -> Any:
        write(key, str(what))
        return what

    @task(ignore_result=True)
    def forgotten(key: str) -> str:
        write(key, "ran")
        return "nobody reads this"

    @task(rate_limit="100/s")
    def limited() -> str:
        return "ran"

    return locals_of(locals())


def retrying(task: Declare, *, delay: float) -> dict[str, Task]:
    """Declare the tasks of both kinds that retry; `delay` is what the option says and no body uses."""

    @task(bind=True, max_retries=3, default_retry_delay=delay)
    def manual(self: Task, *, fails: int, base: float = 0.05) -> dict[str, Any]:
        """Fail `fails` times and retry with exponential backoff, as the documents write it."""
        try:
            if self.request.retries < fails:
                raise TransientError(f"attempt {self.request.retries}")
        except TransientError as exc:
            countdown = base * 2**self.request.retries
            write(self.request.id, f"{countdown:.2f}")
            raise self.retry(exc=exc, countdown=countdown) from exc
        return {"retries": self.request.retries}

    @task(
        bind=True,
        autoretry_for=(TransientError, OSError),
        dont_autoretry_for=(FileNotFoundError,),
        retry_kwargs={"max_retries": 4},
        retry_backoff=True,
        retry_backoff_max=1,
        retry_jitter=True,
    )
    def automatic(self: Task, *, fails: int, error: str) -> int:
        kinds = {"transient": TransientError, "missing": FileNotFoundError, "permanent": PermanentError}
        if write(self.request.id, error) <= fails:
            raise kinds[error](error)
        return int(self.request.retries)

    return locals_of(locals())


def outcomes(task: Declare, **lasting: Any) -> dict[str, Task]:
    """Declare the tasks of both kinds that fail or take their time; `lasting` are options of the latter."""

    @task()
    def fail(message: str) -> None:
        raise PermanentError(message)

    @task()
    def on_error(request: Any, exc: Any, traceback: Any, *, key: str) -> None:
        write(key, f"{request.id} {exc}")

    @task(bind=True, **lasting)
    def progress(self: Task, key: str) -> dict[str, str]:
        """Tell how far it is, and go on when the test has seen it."""
        self.update_state(state="PROGRESS", meta={"current": 30, "total": 100})
        with notebook() as client:
            client.blpop([key], timeout=60)
        return {"status": "complete"}

    @task(soft_time_limit=1, time_limit=60, **lasting)
    def bounded(seconds: float) -> str:
        try:
            time.sleep(seconds)
        except SoftTimeLimitExceeded:
            return "stopped in time"
        return "finished"

    return locals_of(locals())


def _plain(task: Declare) -> dict[str, Task]:
    @task(bind=True)
    def context(self: Task, *args: Any, **kwargs: Any) -> dict[str, Any]:
        request: Any = self.request
        return {
            "id": request.id,
            "name": self.name,
            "args": list(request.args),
            "kwargs": request.kwargs,
            "retries": request.retries,
            "queue": request.delivery_info["routing_key"],
            "exchange": request.delivery_info["exchange"],
            "priority": request.delivery_info["priority"],
            "headers": request.headers,
        }

    @task()
    def sleep(seconds: float) -> str:
        time.sleep(seconds)
        return "slept"

    @task(compression="gzip")
    def length(text: str) -> int:
        return len(text)

    return locals_of(locals())


def _outcomes(task: Declare) -> dict[str, Task]:
    @task(bind=True)
    def sorted_by_exception(self: Task, what: str) -> dict[str, Any]:
        """Sort exceptions as the third document does: transient, permanent, unknown with a limit of its own."""
        try:
            if what == "transient" and self.request.retries < 2:
                raise TransientError(what)
            if what == "permanent":
                raise PermanentError(what)
            if what == "unknown":
                raise RuntimeError(what)
        except TransientError as exc:
            raise self.retry(exc=exc, countdown=0.05, max_retries=5) from exc
        except PermanentError as exc:
            return {"status": "failed", "error": str(exc)}
        except RuntimeError as exc:
            write(self.request.id, what)
            if self.request.retries < 1:
                raise self.retry(exc=exc, countdown=0.05) from exc
            raise
        return {"status": "ok", "retries": self.request.retries}

    @task(soft_time_limit=0.3, time_limit=0.8)
    def stubborn() -> None:
        while True:
            with contextlib.suppress(SoftTimeLimitExceeded):
                time.sleep(5)

    @task(bind=True, acks_late=True, default_retry_delay=0.1)
    def dies_once(self: Task, key: str) -> str:
        if write(key, "started") == 1:
            os.kill(os.getpid(), 9)
        return "ran again"

    return locals_of(locals())


def _classes(app: Any) -> dict[str, Task]:
    @app.task(name=PREFIX + "monitored", base=Noting, shared=False, durable=False, bind=True)
    def monitored(self: Task, how: str) -> str:
        if how == "retries" and self.request.retries == 0:
            raise self.retry(exc=TransientError(how), countdown=0.05)
        if how == "fails":
            raise PermanentError(how)
        return how

    return {"monitored": monitored}


def locals_of(names: dict[str, Any]) -> dict[str, Task]:
    """Return the tasks among a function's local names."""
    return {name: value for name, value in names.items() if isinstance(value, Task)}


def connect_signals() -> None:
    """Write down the signals that a worker sends for tasks of these tests."""

    def noting(word: str, key_of: Any) -> Any:
        def receiver(sender: Any = None, **fields: Any) -> None:
            task = getattr(sender, "name", "") or getattr(fields.get("request"), "name", "")
            if str(task).startswith(PREFIX):
                write(f"signals:{key_of(fields)}", word)

        return receiver

    def from_request(fields: dict[str, Any]) -> str:
        return str(getattr(fields["request"], "id", None) or fields["request"].task_id)

    def from_id(fields: dict[str, Any]) -> str:
        return str(fields["task_id"])

    for name, key_of in (
        ("task_received", from_request),
        ("task_prerun", from_id),
        ("task_postrun", from_id),
        ("task_failure", from_id),
        ("task_retry", from_request),
    ):
        getattr(signals, name).connect(noting(name, key_of), weak=False)
