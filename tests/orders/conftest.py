"""What the tests of orders share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from celery.app.task import Task
from django.db import connection
from rest_framework.test import APIClient

Sent = Callable[[], list[tuple[Any, ...]]]


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Sent:
    """Return a function that commits on paper and returns what was enqueued so far: (task name, *arguments)."""
    calls: list[tuple[Any, ...]] = []

    def record(task: Any, args: Any = (), kwargs: Any = None, **options: Any) -> None:
        calls.append((task.name, *(args or ())))

    monkeypatch.setattr(Task, "apply_async", record)

    def commit() -> list[tuple[Any, ...]]:
        callbacks, connection.run_on_commit = connection.run_on_commit, []
        for callback in callbacks:
            callback[1]()
        return calls

    return commit


@pytest.fixture
def client_of() -> Callable[[Any], APIClient]:
    """Return a function that gives an API client signed in as a user."""

    def make(user: Any) -> APIClient:
        client = APIClient()
        client.force_authenticate(user)
        return client

    return make
