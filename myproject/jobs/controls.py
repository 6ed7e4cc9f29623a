"""What operators hold: queues and tasks that are paused, and tasks that the kill switch stopped.

Whoever sends, publishes or starts a job asks `held` first, so the answer comes from memory: each process reads the
table `Control` with one query and believes it for REFRESH seconds. A hold keeps jobs from starting and loses none of
them; it stands in the database, so it outlives every restart. `actions/controls.py` sets and releases it.

One answer serves both Celery apps, because names of queues and of tasks are not used twice.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum

from celery import Celery
from django.db import DatabaseError, InterfaceError

from myproject.jobs.aliases import resolve
from myproject.jobs.models import Control

#: Seconds for which a process believes what it read. An operator who pauses a queue sees it stand still before the
#: page is loaded again, and a worker that runs 500 jobs a second asks the database once for a thousand of them.
REFRESH = 2.0
NEVER = float("-inf")


class ControlKind(StrEnum):
    """What is held."""

    QUEUE = "queue"
    TASK = "task"


class ControlAction(StrEnum):
    """How it is held. `pause` keeps jobs from starting; `kill` ends those that are running, too."""

    PAUSE = "pause"
    KILL = "kill"


@dataclass(frozen=True, slots=True)
class Hold:
    """Why a job may not start now."""

    kind: ControlKind
    name: str
    action: ControlAction
    reason: str = ""

    def __str__(self) -> str:
        done = "paused" if self.action is ControlAction.PAUSE else "stopped by the kill switch"
        return f"The {self.kind} {self.name} is {done}{f': {self.reason}' if self.reason else '.'}"


@dataclass(frozen=True, slots=True)
class Holds:
    """Every hold there is, by name."""

    queues: dict[str, Hold] = field(default_factory=dict)
    tasks: dict[str, Hold] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.queues or self.tasks)

    def find(self, *, task: str, queue: str) -> Hold | None:
        """Return what holds a job of that task in that queue; the task's own hold first."""
        return self.tasks.get(resolve(task)) or self.queues.get(queue)


@dataclass(slots=True)
class _Cache:
    """What this process read last, and until when it believes it."""

    holds: Holds = field(default_factory=Holds)
    until: float = NEVER  # by the monotonic clock


_cache = _Cache()


def gather(rows: Iterable[tuple[str, str, str, str]]) -> Holds:
    """Return the holds of rows (kind, name, action, reason); the kill switch wins over a pause of the same task."""
    found = Holds()
    for kind, name, action, reason in rows:
        hold = Hold(ControlKind(kind), name, ControlAction(action), reason)
        if hold.kind is ControlKind.QUEUE:
            found.queues[name] = hold
        elif name not in found.tasks or hold.action is ControlAction.KILL:
            found.tasks[name] = hold
    return found


def holds() -> Holds:
    """Return every hold, at most REFRESH seconds old: for a relay that leaves held queues and tasks out."""
    now = time.monotonic()
    if now >= _cache.until:
        before, known = _cache.until, _cache.until > NEVER
        if known:  # other threads use what was known while this one asks
            _cache.until = now + REFRESH
        try:
            _cache.holds = gather(Control.objects.values_list("kind", "name", "action", "reason"))
        except BaseException:
            _cache.until = before
            raise
        _cache.until = now + REFRESH
    return _cache.holds


def held(app: Celery | None, task: str, queue: str) -> Hold | None:
    """Return what keeps a job of `task` in `queue` from starting now; None, nearly always, when nothing does.

    `app` is not looked at yet: see above. An old name of a task is held with the task.
    """
    found = _cache.holds if time.monotonic() < _cache.until else holds()
    return found.find(task=task, queue=queue) if found else None


def killed(task: str) -> Hold | None:
    """Return the kill switch of a best-effort task, whose messages have no row that could wait: they are dropped.

    Such a task may have nothing to do with the database, so it runs while that cannot be asked.
    """
    with suppress(DatabaseError, InterfaceError):
        hold = held(None, task, "")
        return hold if hold is not None and hold.action is ControlAction.KILL else None
    return None


def forget() -> None:
    """Read the table again at the next question: after a change by this process, after a fork, between tests."""
    _cache.until = NEVER


def assume(found: Holds, *, seconds: float = REFRESH) -> None:
    """Take `found` for what the table holds, without asking, for `seconds`."""
    _cache.holds, _cache.until = found, time.monotonic() + seconds


os.register_at_fork(after_in_child=forget)
