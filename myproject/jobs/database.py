"""Database connections of a worker live across tasks.

Celery's Django fixup closes every connection before and after each task, whatever CONN_MAX_AGE says: one connect, one
login and the session's set-up per task, about 1 ms on MariaDB. Here a worker does what Django itself does around a
request. What the fixup does on fork stays: a child drops the connections it inherited.
Source: celery.fixups.django, Celery 5.7.
"""

from __future__ import annotations

import os
from typing import Any

from celery import Celery
from celery.fixups.django import DjangoFixup, DjangoWorkerFixup  # type: ignore[attr-defined]
from django.db import connections


class PersistentWorkerFixup(DjangoWorkerFixup):
    """Keeps usable connections between tasks; the first query of a task finds out whether one is still usable."""

    def on_task_prerun(self, sender: Any, **kwargs: Any) -> None:
        """Close what is broken or older than CONN_MAX_AGE, and have the rest probed before its next use."""
        if not getattr(sender.request, "is_eager", False):
            for connection in connections.all(initialized_only=True):
                connection.close_if_unusable_or_obsolete()

    def on_task_postrun(self, sender: Any, **kwargs: Any) -> None:
        """Do the same after a task, which may have left an error behind."""
        self.on_task_prerun(sender)


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
