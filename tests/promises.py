"""What was promised: the jobs that a test's code wrote, as tests read them."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.db.models.expressions import RawSQL
from kombu.utils.json import loads

from myproject.jobs.models import Job


class Promises:
    """The jobs of the test's database. Called, it returns (task name, *arguments) of each, in order.

    A job is a row of the caller's transaction, so one that was rolled back is not there, and nothing runs by itself.
    """

    def __init__(self) -> None:
        self._known: set[str] = set()

    def __call__(self) -> list[tuple[Any, ...]]:
        """Return the jobs that were written since the last `forget`, whatever became of them."""
        return [(job.task, *loads(job.body)[0]) for job in self._rows()]

    def forget(self) -> None:
        """Leave out what was written so far."""
        self._known |= {job.pk for job in self._rows()}

    def _rows(self) -> list[Job]:
        # In the order of the inserts. Ids begin with the time in milliseconds, which several jobs share.
        order = [RawSQL("rowid", ())] if connection.vendor == "sqlite" else ["created_at", "id"]
        return [job for job in Job.objects.order_by(*order) if job.pk not in self._known]


@pytest.fixture
def sent(db: None) -> Promises:
    """What was sent so far: `sent()` is a list of (task name, *arguments)."""
    return Promises()
