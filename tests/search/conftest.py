"""Fixtures of the search tests."""

from __future__ import annotations

import json
from typing import Any

import pytest
from celery.app.task import Task


@pytest.fixture
def sent_tasks(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, list[Any]]]:
    """What reaches the broker: name and arguments of each task, after a round trip through JSON."""
    sent: list[tuple[str, list[Any]]] = []

    def record(self: Task, args: Any = None, kwargs: Any = None, **options: Any) -> None:
        sent.append((self.name, json.loads(json.dumps(list(args or ())))))

    monkeypatch.setattr(Task, "apply_async", record)
    return sent
