"""The project's app with the tasks of the workflow tests, for real workers: `-A tests.jobs.live_worker`."""

from __future__ import annotations

import os
from typing import Any

import redis
from celery import Task

from myproject.celery import app
from tests.jobs.workflow_tasks import PREFIX, register

__all__ = ["app", "tasks"]

tasks = register(app)

#: Seconds that a task waits to be let go; the client gives up before that.
LONGEST_HOLD = 60


def gate() -> Any:
    """Return the Redis at which tasks say that they have begun, and wait to be let go: longer than redis-py does."""
    return redis.Redis.from_url(os.environ["TESTS_GATE_URL"], decode_responses=True, socket_timeout=None)


def hold(key: str) -> None:
    """Say that the task has come to this point, and wait."""
    with gate() as client:
        client.rpush(f"begun:{key}", "1")
        client.blpop([f"go:{key}"], timeout=LONGEST_HOLD)


@app.task(name=PREFIX + "held", shared=False, bind=True)
def held(self: Task, key: str, value: int = 1) -> int:
    """Tell a state of its own, and wait, in transaction mode."""
    hold(key)
    self.update_state(state="PROGRESS", meta={"current": 3, "total": 10})
    hold(f"{key}:more")
    return value


@app.task(name=PREFIX + "held_with_lease", shared=False, bind=True, mode="lease", on_unknown="resend")
def held_with_lease(self: Task, key: str) -> str:
    """Do the same in lease mode."""
    hold(key)
    self.update_state(state="PROGRESS", meta={"current": 4, "total": 10})
    hold(f"{key}:more")
    return "sent"


@app.task(name=PREFIX + "dies", shared=False)
def dies(key: str, value: int) -> int:
    """Kill its process the first time."""
    with gate() as client:
        if client.incr(f"died:{key}") == 1:
            os.kill(os.getpid(), 9)
    return value
