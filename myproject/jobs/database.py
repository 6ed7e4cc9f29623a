"""Database connections of a worker live across tasks.

Celery's Django fixup closes every connection before and after each task, whatever CONN_MAX_AGE says: one connect, one
login and the session's set-up per task, about 1 ms on MariaDB. Here a worker does what Django itself does around a
request. What the fixup does on fork stays: a child drops the connections it inherited.
Source: celery.fixups.django, Celery 5.7.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from celery import Celery
from celery.fixups.django import DjangoFixup, DjangoWorkerFixup  # type: ignore[attr-defined]
from django.db import DEFAULT_DB_ALIAS, connections

#: Seconds for which a connection that was found usable is not probed again before a body that is one transaction: a
#: probe is a round trip, 5 % of a short task, and such a body is begun anew when the connection turns out to be dead.
TRUSTED = 1.0


#: Held by a thread that uses SQLite beside the thread that forks, and by a fork.
_forking = threading.Lock()
os.register_at_fork(before=_forking.acquire, after_in_parent=_forking.release, after_in_child=_forking.release)


@contextmanager
def undisturbed_by_forks() -> Iterator[None]:
    """Keep this process from forking while the block uses SQLite, in a thread beside the one that forks.

    SQLite remembers in the process's memory which locks the process has. A child that is born meanwhile inherits the
    memory and not the locks: it believes for the rest of its life that the database is locked. Other servers know
    their clients by connection, and nothing waits.
    """
    if connections[DEFAULT_DB_ALIAS].vendor != "sqlite":
        yield
        return
    with _forking:
        yield


def renew_connections() -> None:
    """Drop this thread's connections that an error left unusable; the next statement opens them again."""
    for connection in connections.all(initialized_only=True):
        connection.close_if_unusable_or_obsolete()


class PersistentWorkerFixup(DjangoWorkerFixup):
    """Keeps usable connections between tasks; the first query of a task finds out whether one is still usable."""

    def __init__(self, app: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(app, *args, **kwargs)
        self._of_thread = threading.local()

    def on_task_prerun(self, sender: Any, **kwargs: Any) -> None:
        """Close what is broken or older than CONN_MAX_AGE, and have the rest probed before its next use."""
        if getattr(sender.request, "is_eager", False):
            return
        found = self._found_usable()
        trusted: set[str] = set()
        self._of_thread.trusted = trusted
        repeatable = getattr(sender, "durable", False) and sender.mode == "transaction"
        for connection in connections.all(initialized_only=True):
            connection.close_if_unusable_or_obsolete()
            alias = connection.alias
            if not repeatable or connection.connection is None:
                continue
            if time.monotonic() - found.get(alias, -TRUSTED) < TRUSTED:
                connection.health_check_done = True  # type: ignore[attr-defined]  # Django has it
                trusted.add(alias)

    def on_task_postrun(self, sender: Any, **kwargs: Any) -> None:
        """Note what was probed or opened, and close what the task left broken."""
        if getattr(sender.request, "is_eager", False):
            return
        found = self._found_usable()
        trusted: set[str] = getattr(self._of_thread, "trusted", set())
        for connection in connections.all(initialized_only=True):
            probed = connection.health_check_done  # type: ignore[attr-defined]  # Django has it
            if probed and connection.alias not in trusted:
                found[connection.alias] = time.monotonic()
            if connection.errors_occurred:
                found.pop(connection.alias, None)
            connection.close_if_unusable_or_obsolete()

    def _found_usable(self) -> dict[str, float]:
        """Return when each of this thread's connections was last found usable."""
        if not hasattr(self._of_thread, "found"):
            self._of_thread.found = {}
        found: dict[str, float] = self._of_thread.found
        return found


class PersistentFixup(DjangoFixup):
    """Celery's Django fixup with the worker's part replaced."""

    _worker_fixup: DjangoWorkerFixup | None

    @property
    def worker_fixup(self) -> DjangoWorkerFixup:
        """The worker's part, made when it is first asked for: it reads Django's settings."""
        if self._worker_fixup is None:
            self._worker_fixup = PersistentWorkerFixup(self.app)
        return self._worker_fixup

    @worker_fixup.setter
    def worker_fixup(self, value: DjangoWorkerFixup) -> None:
        self._worker_fixup = value


def fixup(app: Celery) -> PersistentFixup | None:
    """Install the fixup on `app` (the signature that `Celery(fixups=...)` expects)."""
    if not os.environ.get("DJANGO_SETTINGS_MODULE"):
        return None
    installed = PersistentFixup(app)
    installed.install()
    return installed
