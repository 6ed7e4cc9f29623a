"""Durable tasks of these tests. `register` puts the same ones on the worker's app and on the client's.

Bodies that wait are `mode="lease"`: on SQLite a transaction that waits keeps everybody else from writing.
"""

from __future__ import annotations

import contextlib
import time
from types import SimpleNamespace
from typing import Any

from celery import Task, group, signals
from celery.exceptions import Ignore, Reject, SoftTimeLimitExceeded
from django.db import transaction

from myproject.jobs.running import current_job
from tests.compatibility.tasks_for_tests import (
    PermanentError,
    TransientError,
    declarer,
    locals_of,
    notebook,
    outcomes,
    plain,
    retrying,
    write,
)

PREFIX = "tests.durable."
#: A lease-mode body of these tests may run again: it writes notes and sleeps.
LEASE: dict[str, Any] = {"mode": "lease", "on_unknown": "resend"}


def register(app: Any) -> SimpleNamespace:
    """Register the tasks on `app`, and on no other app, and return them by their short names."""
    task = declarer(app, prefix=PREFIX)
    shared = {**plain(task), **retrying(task, delay=0.1), **outcomes(task, **LEASE)}
    own = {**_plain(app), **_outcomes(app), **_retrying(app), **_workflow(app), **_classes(app)}
    return SimpleNamespace(**shared, **own)


def _plain(app: Any) -> dict[str, Task]:
    task = declarer(app, prefix=PREFIX)

    @task(bind=True)
    def context(self: Task, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Tell what a bound task knows."""
        request: Any = self.request
        own = ("id", "root_id", "parent_id", "group", "retries", "shadow", "timelimit", "stamped_headers", "stamps")
        return {
            **{name: getattr(request, name, None) for name in own},
            "name": self.name,
            "args": list(request.args),
            "kwargs": request.kwargs,
            "delivery_info": request.delivery_info,
            "headers": request.headers or {},
            "argsrepr": getattr(request, "argsrepr", None),  # an eager call has no message
            "ignore_result": request.ignore_result,
        }

    @task()
    def length(text: str) -> int:
        return len(text)

    @app.task(name=PREFIX + "shorthand", durable=False, shared=False)
    def best_effort(x: int) -> int:
        return x

    return locals_of(locals())


def _outcomes(app: Any) -> dict[str, Task]:
    task = declarer(app, prefix=PREFIX)

    @task()
    def old_on_error(task_id: str, *, key: str) -> None:
        """Take the failed task's id, as error callbacks of old do."""
        write(key, task_id)

    @task(bind=True, **LEASE)
    def held(self: Task, key: str) -> str:
        """Say that it runs, and go on when the test has seen it."""
        write(self.request.id, "started")
        with notebook() as client:
            client.blpop([key], timeout=60)
        return "let go"

    @task(bind=True)
    def held_in_transaction(self: Task, key: str) -> str:
        """Show progress from within a transaction; for databases that lock rows."""
        self.update_state(state="PROGRESS", meta={"current": 30})
        write(self.request.id, "started")
        with notebook() as client:
            client.blpop([key], timeout=60)
        return "let go"

    @task(soft_time_limit=0.3, time_limit=0.8, max_attempts=1, **LEASE)
    def stubborn() -> None:
        while True:
            with contextlib.suppress(SoftTimeLimitExceeded):
                time.sleep(5)

    @task()
    def ignores() -> None:
        raise Ignore("nothing to do")

    @task(bind=True)
    def rejects(self: Task, *, requeue: bool) -> str:
        """Reject the first message."""
        if write(self.request.id, "ran") == 1:
            raise Reject("not wanted", requeue=requeue)
        return "wanted"

    @task()
    def repeats(text: str, count: int) -> str:
        return text * count

    @task()
    def calls_another(key: str) -> str:
        """Promise another task in its own transaction."""
        return str(note.delay("promised inside", key).id)

    note = app.tasks[PREFIX + "note"]
    names = locals_of(locals())
    del names["note"]
    return names


def _retrying(app: Any) -> dict[str, Task]:
    task = declarer(app, prefix=PREFIX)

    @task(bind=True, default_retry_delay=0.05)
    def without_throw(self: Task) -> str:
        """Ask for a retry and go on to the end, which then counts for nothing."""
        if self.request.retries == 0:
            self.retry(throw=False)
            return "of the first run"
        return "of the second run"

    @task(bind=True, max_retries=1)
    def without_error(self: Task) -> None:
        raise self.retry(countdown=0.02)

    @task(bind=True)
    def other_arguments(self: Task, number: int) -> int:
        if number < 3:
            raise self.retry(args=(number + 1,), countdown=0.02)
        return number

    return locals_of(locals())


def _workflow(app: Any) -> dict[str, Task]:
    task = declarer(app, prefix=PREFIX)
    add, total = app.tasks[PREFIX + "add"], app.tasks[PREFIX + "total"]

    @task(bind=True)
    def replaced_by_sum(self: Task, x: int, y: int) -> Any:
        raise self.replace(add.s(x, y))

    @task(bind=True)
    def replaced_by_chord(self: Task, numbers: list[int]) -> Any:
        raise self.replace(group(add.s(number, 1) for number in numbers) | total.s())

    @task(bind=True)
    def grows(self: Task, number: int) -> int:
        """Put one more part into the chord that it is a part of."""
        self.add_to_chord(add.si(number, 100))
        return number

    @task(bind=True)
    def fans_out(self: Task, count: int) -> list[int]:
        """Call other tasks and return at once: they are its children."""
        for number in range(count):
            add.delay(number, number)
        return list(range(count))

    names = locals_of(locals())
    return {name: found for name, found in names.items() if name not in ("add", "total")}


def _classes(app: Any) -> dict[str, Task]:
    class Noting(app.Task):  # type: ignore[misc, name-defined]  # as documents write `class CallbackTask(Task)`
        """Writes down which hooks Celery called, and whether the job's transaction was still open."""

        abstract = True

        def before_start(self, task_id: str, args: Any, kwargs: Any) -> None:
            write(task_id, "before_start")

        def on_success(self, retval: Any, task_id: str, args: Any, kwargs: Any) -> None:
            write(task_id, f"on_success {retval} {_where()}")

        def on_failure(self, exc: Exception, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
            write(task_id, f"on_failure {type(exc).__name__} {_where()}")

        def on_retry(self, exc: Exception, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
            write(task_id, f"on_retry {type(exc).__name__} {_where()}")

        def after_return(self, status: str, retval: Any, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
            write(task_id, f"after_return {status}")

    @app.task(name=PREFIX + "monitored", base=Noting, shared=False, bind=True)
    def monitored(self: Task, how: str) -> str:
        write(self.request.id, f"body {_where()}")
        if how == "retries" and self.request.retries == 0:
            raise self.retry(exc=TransientError(how), countdown=0.02)
        if how == "fails":
            raise PermanentError(how)
        return how

    return {"monitored": monitored}


def _where() -> str:
    open_now = "in the transaction" if transaction.get_connection().in_atomic_block else "after the commit"
    return open_now if current_job() is None else f"{open_now}, in the job"


#: Signals of a worker, each with the field that holds the task's id.
SIGNALS = {
    "task_received": "request", "task_prerun": "task_id", "task_postrun": "task_id", "task_success": "sender",
    "task_failure": "task_id", "task_retry": "request", "task_revoked": "request", "task_rejected": "message",
}  # fmt: skip


def connect_signals() -> None:
    """Write down the signals that a worker sends for tasks of these tests."""

    def noting(word: str, field: str) -> Any:
        def receiver(sender: Any = None, **fields: Any) -> None:
            found = sender if field == "sender" else fields[field]
            if field == "message":
                found = found.headers.get("id")
            elif field == "sender":
                found = found.request.id
            elif field == "request":
                found = getattr(found, "id", None) or found.task_id
            name = getattr(sender, "name", "") or getattr(fields.get("request"), "name", "")
            if str(name).startswith(PREFIX) or field == "message":
                write(f"signals:{found}", word)

        return receiver

    def unknown(name: str = "", id: str = "", **_: Any) -> None:
        write(f"signals:{id}", f"task_unknown {name}")

    for name, field in SIGNALS.items():
        getattr(signals, name).connect(noting(name, field), weak=False)
    signals.task_unknown.connect(unknown, weak=False)
