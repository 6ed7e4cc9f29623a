"""What the tests of orders share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from rest_framework.test import APIClient

from myproject.jobs import controls


@pytest.fixture(autouse=True)
def nothing_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    """Know, without asking, that operators hold nothing: a count of statements must not depend on the clock."""
    monkeypatch.setattr(controls, "_cache", controls._Cache(until=float("inf")))


@pytest.fixture
def client_of() -> Callable[[Any], APIClient]:
    """Return a function that gives an API client signed in as a user."""

    def make(user: Any) -> APIClient:
        client = APIClient()
        client.force_authenticate(user)
        return client

    return make
