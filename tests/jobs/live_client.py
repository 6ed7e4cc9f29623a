"""A producer in a process of its own: runs the scenario that its argument names and prints what it saw as JSON."""

from __future__ import annotations

import json
import sys
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any

import django

django.setup()

from celery import chain, chord, group  # noqa: E402
from celery.result import AsyncResult  # noqa: E402
from django.db import transaction  # noqa: E402

from myproject.jobs import notify  # noqa: E402
from tests.jobs.live_worker import app, dies, gate, held, held_with_lease, tasks  # noqa: E402

WAIT = 60


def until(check: Callable[[], Any], seconds: float = WAIT) -> Any:
    """Return what `check` says as soon as it says something."""
    end = time.monotonic() + seconds
    while not (found := check()) and time.monotonic() < end:
        time.sleep(0.02)
    return found


def forms() -> dict[str, Any]:
    """Workflows of several forms, side by side."""
    results = {
        "chain": chain(tasks.add.s(2, 2), tasks.add.s(4), tasks.add.s(8)).delay(),
        "group": group(tasks.add.s(n, n) for n in range(10)).delay(),
        "chord": chord([tasks.add.s(n, n) for n in range(20)], tasks.total.s()).delay(),
        "nested": chord(
            [chord([tasks.add.si(n, 1), tasks.add.si(n, 2)], tasks.total.s()) for n in (0, 10)], tasks.gather.s()
        ).delay(),
        "replaced": chain(tasks.replaced.s(1, "chord"), tasks.add.s(1)).delay(),
        "grouped": tasks.replaced.s(1, "group").delay(),
        "retried": chord([tasks.flaky.s(2, 5), tasks.add.s(1, 1)], tasks.gather.s()).delay(),
        "quiet retry": tasks.retries_quietly.delay(),
        "chunks": tasks.add.chunks([(n, n) for n in range(6)], 2).delay(),
        "starmap": tasks.add.starmap([(1, 2), (3, 4)]).delay(),
        "best effort": tasks.best_effort.delay(7),
        "mixed": chain(tasks.add.s(1, 1), tasks.best_effort.s(), tasks.add.s(1)).delay(),
        "mixed chord": chord([tasks.best_effort.s(3), tasks.add.s(1, 1)], tasks.total.s()).delay(),
    }
    return {name: result.get(timeout=WAIT) for name, result in results.items()}


def failures() -> dict[str, Any]:
    """A failed part, its chord and its callback; a failed step and its chain."""
    failed = chord([tasks.add.s(1, 1), tasks.fail.s("part lost")], tasks.gather.s()).delay()
    until(failed.ready)
    broken = chain(tasks.fail.s("declined"), tasks.note.s()).delay()
    try:
        broken.get(timeout=WAIT)
        raised = ""
    except Exception as error:
        raised = f"{type(error).__name__}: {error}"
    return {"chord": failed.state, "error": type(failed.result).__name__, "chain": raised}


def progress() -> dict[str, Any]:
    """What others see of a running job, in both modes."""
    found: dict[str, Any] = {}
    for name, task in (("transaction", held), ("lease", held_with_lease)):
        key = uuid.uuid4().hex
        result = task.delay(key)
        with gate() as client:
            client.blpop([f"begun:{key}"], timeout=WAIT)
            started = until(lambda result=result: result.state == "STARTED" and (result.info or {}).get("hostname"))  # type: ignore[misc]
            client.rpush(f"go:{key}", "1")
            client.blpop([f"begun:{key}:more"], timeout=WAIT)
            shown = until(lambda result=result: result.state == "PROGRESS" and result.info)  # type: ignore[misc]
            client.rpush(f"go:{key}:more", "1")
        found[name] = {"started": started, "shown": shown, "result": result.get(timeout=WAIT)}
    return found


def latency() -> dict[str, Any]:
    """Seconds from the end of a job to the return of `get`, with the word and without."""
    found = {}
    for name in ("told", "alone"):
        if name == "alone":
            notify.Listener._subscribe = lambda self: None  # type: ignore[method-assign]
        key = uuid.uuid4().hex
        result = held.delay(key)
        # By then the pauses between looks have grown to their longest.
        threading.Timer(1.5, let_go, (key,)).start()
        result.get(timeout=WAIT)
        found[name] = time.time() - AsyncResult(result.id, app=app).date_done.timestamp()  # type: ignore[union-attr]
    return found


def let_go(key: str) -> None:
    """Let a held task end."""
    with gate() as client:
        client.rpush(f"go:{key}:more", "1")
        client.rpush(f"go:{key}", "1")


def flushed() -> dict[str, Any]:
    """Outcomes after the broker lost everything."""
    result = tasks.add.delay(20, 22)
    value = result.get(timeout=WAIT)
    with app.connection_for_write() as connection:
        connection.default_channel.client.flushall()  # type: ignore[attr-defined]
    again = AsyncResult(result.id, app=app)  # type: ignore[var-annotated]
    return {"before": value, "after": again.get(timeout=WAIT), "state": again.state}


def own_transaction() -> dict[str, Any]:
    """Waiting for a job of the own open transaction, and for somebody else's."""
    other = tasks.add.delay(1, 1)
    other.get(timeout=WAIT)
    with transaction.atomic():
        seen = AsyncResult(other.id, app=app).get(timeout=WAIT)  # type: ignore[var-annotated]
        own = tasks.add.delay(1, 2)
        try:
            own.get(timeout=WAIT)
            refused = ""
        except Exception as error:
            refused = type(error).__name__
    return {"other": seen, "refused": refused, "own": own.get(timeout=WAIT)}


def killed() -> dict[str, Any]:
    """A chord whose part kills its process."""
    result = chord([dies.s(uuid.uuid4().hex, 5), tasks.add.s(1, 1)], tasks.gather.s()).delay()
    return {"result": result.get(timeout=WAIT)}


if __name__ == "__main__":
    print(json.dumps(globals()[sys.argv[1]]()))
