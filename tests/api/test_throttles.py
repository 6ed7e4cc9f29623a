"""Guessing passwords is slow, and nobody chooses the address that he is counted by."""

from __future__ import annotations

import pytest
from django.core.cache import cache
from rest_framework.settings import api_settings
from rest_framework.test import APIClient

from myproject.api.throttles import CredentialsThrottle
from myproject.settings.base import THROTTLE_RATES

pytestmark = pytest.mark.django_db
CREDENTIALS = {"email": "nobody@example.com", "password": "a guess"}


@pytest.fixture(autouse=True)
def counted(monkeypatch):
    monkeypatch.setattr(CredentialsThrottle, "rate", "3/min", raising=False)
    cache.clear()
    yield
    cache.clear()


def sign_in(**headers):
    return APIClient().post("/api/auth/token", CREDENTIALS, format="json", **headers).status_code


def test_signing_in_is_limited_per_address_whatever_header_is_sent():
    tried = [sign_in(HTTP_X_FORWARDED_FOR=f"203.0.113.{number}") for number in range(4)]
    assert tried == [401, 401, 401, 429]
    assert sign_in(REMOTE_ADDR="203.0.113.200") == 401


def test_signing_up_counts_with_signing_in():
    assert [sign_in() for _ in range(3)] == [401, 401, 401]
    answer = APIClient().post("/api/users", CREDENTIALS, format="json", HTTP_IDEMPOTENCY_KEY="k1")
    assert answer.status_code == 429
    assert answer["Content-Type"].startswith("application/problem+json")


def test_behind_one_proxy_the_address_that_the_proxy_adds_is_counted(monkeypatch):
    monkeypatch.setattr(api_settings, "NUM_PROXIES", 1)
    tried = [sign_in(HTTP_X_FORWARDED_FOR=f"198.51.100.{number}, 203.0.113.7") for number in range(4)]
    assert tried == [401, 401, 401, 429]
    assert sign_in(HTTP_X_FORWARDED_FOR="198.51.100.1, 203.0.113.8") == 401


def test_ten_tries_a_minute_are_what_a_site_allows():
    assert THROTTLE_RATES["credentials"] == "10/min"
