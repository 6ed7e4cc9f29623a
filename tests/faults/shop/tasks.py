"""The tasks of the fault tests. Stock Celery ignores the options that it does not know, so it runs the same ones."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
import time
from contextlib import suppress
from typing import Any

from celery import current_task, shared_task
from celery.exceptions import SoftTimeLimitExceeded
from django.db import connection

from tests.faults.budgets import LEASE
from tests.faults.gates import Gates
from tests.faults.oracle import Oracle
from tests.faults.shop.models import Effect, Oddity

BEST_EFFORT: dict[str, Any] = {"durable": False}
OUTSIDE: dict[str, Any] = {"mode": "lease", "lease": LEASE}


def note(key: str) -> None:
    """Write one effect."""
    Effect.objects.create(key=key, worker=current_task.request.hostname or "nobody")


def look_up(key: str, *_: Any, **__: Any) -> Any:
    """Ask the receiver whether it did the thing, in the platform's words."""
    from myproject.jobs.running import LookupResult

    return LookupResult(done=Oracle().knows(key))


@shared_task
def record(key: str) -> str:
    """Does: one effect in the database. Twice: counted by the checker. Retries: none. Enqueued by: the producer."""
    note(key)
    return key


@shared_task
def gated(key: str, gate: str) -> str:
    """Does: one effect, then waits inside the body. Twice: counted. Retries: none. Enqueued by: the producer."""
    note(key)
    Gates().arrive(gate)
    Gates().pass_through(gate)
    return key


@shared_task
def slow(key: str, seconds: float = 0.2) -> str:
    """Does: one effect after a while. Twice: counted. Retries: none. Enqueued by: the producer."""
    time.sleep(seconds)
    note(key)
    return key


@shared_task(**BEST_EFFORT)
def best_effort(key: str) -> None:
    """Does: one effect or none. Twice: nobody counts. Retries: none. Enqueued by: the producer."""
    note(key)


@shared_task(**OUTSIDE, on_unknown="lookup", look_up=look_up)
def charge(key: str, gate: str = "") -> None:
    """Does: one keyed call. Twice: looked up first. Retries: none. Enqueued by: the producer."""
    _outside(key, gate=gate, keyed=True)


@shared_task(**OUTSIDE, on_unknown="resend")
def announce(key: str, gate: str = "") -> None:
    """Does: one keyed call. Twice: the receiver knows the key. Retries: none. Enqueued by: the producer."""
    _outside(key, gate=gate, keyed=True)


@shared_task(**OUTSIDE, on_unknown="park")
def mail(key: str, gate: str = "") -> None:
    """Does: one call without a key. Twice: never, it is parked. Retries: none. Enqueued by: the producer."""
    _outside(key, gate=gate, keyed=False)


def _outside(key: str, *, gate: str, keyed: bool) -> None:
    """Call the receiver between two gates: a test chooses on which side of the call it strikes."""
    if gate:
        Gates().arrive(f"{gate}-before")
        Gates().pass_through(f"{gate}-before")
    Oracle().apply(key, keyed=keyed)
    if gate:
        Gates().arrive(f"{gate}-after")
        Gates().pass_through(f"{gate}-after")


@shared_task
def part(key: str, number: int) -> int:
    """Does: one part of a chord's header. Twice: counted. Retries: none. Enqueued by: the producer."""
    note(key)
    return number


@shared_task
def gated_part(key: str, number: int, gate: str) -> int:
    """Does: a part that waits for the test. Twice: counted. Retries: none. Enqueued by: the producer."""
    note(key)
    Gates().arrive(gate)
    Gates().pass_through(gate)
    return number


@shared_task
def join(results: list[int], key: str) -> int:
    """Does: the body of a chord. Twice: counted. Retries: none. Enqueued by: the last part."""
    if results != list(range(len(results))):
        Oddity.objects.create(what=f"{key}: results in another order than the header: {str(results)[:100]}")
    note(key)
    return len(results)


@shared_task
def step(before: int | None, key: str, number: int) -> int:
    """Does: one link of a chain. Twice: counted. Retries: none. Enqueued by: the link before."""
    if before != (number - 1 if number else None):
        Oddity.objects.create(what=f"{key}: link {number} was given {before!r}")
    note(key)
    return number


@shared_task
def poison(key: str, how: str) -> None:
    """Does: harm, after an effect that must not stay. Twice: harm. Retries: by kills. Enqueued by: the producer."""
    note(key)
    Gates().arrive(f"poison-{key}")
    _HARM[how]()


@shared_task(**OUTSIDE, on_unknown="resend")
def poison_outside(key: str, how: str) -> None:
    """Does: harm in lease mode. Twice: harm. Retries: by kills. Enqueued by: the producer."""
    Gates().arrive(f"poison-{key}")
    _HARM[how]()


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _segfault() -> None:
    # The interpreter's own handler of faults prints a stack and lets the signal do its work.
    ctypes.string_at(0)


def _eat_memory() -> None:
    """Ask for more than the process may have, as under `ulimit -v`."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    with open("/proc/self/statm") as statm:
        mapped = int(statm.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (mapped + 64 * 1024 * 1024, before[1]))
    try:
        bytearray(1024 * 1024 * 1024)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def _recurse(depth: int = 0) -> int:
    return _recurse(depth + 1) + 1


def _loop() -> None:
    while True:
        with suppress(SoftTimeLimitExceeded):  # as a bare `except:` in somebody's loop does
            time.sleep(0.05)


def _raise() -> None:
    raise ValueError("declared harm")


_HARM: dict[str, Any] = {
    "kill": _kill,
    "segfault": _segfault,
    "exit": lambda: sys.exit(1),
    "memory": _eat_memory,
    "recursion": _recurse,
    "loop": _loop,
    "raise": _raise,
}


@shared_task
def query(key: str, statement: str) -> str:
    """Does: one effect and a given statement. Twice: counted. Retries: by the platform. Enqueued by: the producer."""
    note(key)
    with connection.cursor() as cursor:
        cursor.execute(statement)
    return key


@shared_task(bind=True)
def again(self: Any, key: str) -> str:
    """Does: one effect, at its second try. Twice: counted. Retries: once. Enqueued by: the producer."""
    if not self.request.retries:
        raise self.retry(countdown=0)
    note(key)
    return key


@shared_task(bind=True, max_retries=None)
def patient(self: Any, key: str, gate: str) -> str:
    """Does: one effect when the gate is open. Twice: counted. Retries: until then. Enqueued by: the producer."""
    if not Gates().is_open(gate):
        Gates().arrive(gate)
        raise self.retry(countdown=0.2)
    note(key)
    return key


if os.environ.get("FAULTS_VERSION") == "new":

    @shared_task
    def novel(key: str) -> str:
        """Does: one effect, by the new version. Twice: counted. Retries: none. Enqueued by: the producer."""
        note(key)
        return key
