"""What the tests of orders share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from rest_framework.test import APIClient


@pytest.fixture
def client_of() -> Callable[[Any], APIClient]:
    """Return a function that gives an API client signed in as a user."""

    def make(user: Any) -> APIClient:
        client = APIClient()
        client.force_authenticate(user)
        return client

    return make
