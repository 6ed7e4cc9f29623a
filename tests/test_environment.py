"""A wrong variable stops the start with its name, what was read and what is allowed."""

from __future__ import annotations

import pytest
from django.core.exceptions import ImproperlyConfigured

from myproject import environment


def test_a_missing_variable_is_named(monkeypatch):
    monkeypatch.delenv("SOME_NUMBER", raising=False)
    with pytest.raises(ImproperlyConfigured, match=r"^SOME_NUMBER: read nothing; allowed is a number\.$"):
        environment.read("int", "SOME_NUMBER", allowed="a number")


def test_a_wrong_value_is_shown_with_what_is_allowed(monkeypatch):
    monkeypatch.setenv("SOME_NUMBER", "ten")
    with pytest.raises(ImproperlyConfigured, match=r"^SOME_NUMBER: read 'ten'; allowed is a number\.$"):
        environment.read("int", "SOME_NUMBER", 1, allowed="a number")


def test_a_secret_is_never_shown(monkeypatch):
    monkeypatch.setenv("SOME_SECRET", "hunter2")
    with pytest.raises(ImproperlyConfigured) as caught:
        environment.read("int", "SOME_SECRET", allowed="a number", secret=True)
    assert "hunter2" not in str(caught.value)
    assert "SOME_SECRET" in str(caught.value)


@pytest.mark.parametrize("value", ["0", "-1"])
def test_a_number_that_must_be_positive_is_checked(monkeypatch, value):
    monkeypatch.setenv("CELERY_VISIBILITY_TIMEOUT", value)
    with pytest.raises(ImproperlyConfigured, match=r"CELERY_VISIBILITY_TIMEOUT.*seconds"):
        environment.read_positive("CELERY_VISIBILITY_TIMEOUT", 1, unit="seconds")


def test_a_choice_names_the_choices(monkeypatch):
    monkeypatch.setenv("LOG_FORMAT", "xml")
    with pytest.raises(ImproperlyConfigured, match="LOG_FORMAT: read 'xml'; allowed is json or console"):
        environment.read_choice("LOG_FORMAT", "json", ("json", "console"))


def test_redis_is_put_together_from_the_documents_variables(monkeypatch):
    monkeypatch.delenv("REDIS_URL", raising=False)
    monkeypatch.setenv("REDIS_HOST", "cache.internal")
    monkeypatch.setenv("REDIS_PORT", "6380")
    monkeypatch.setenv("REDIS_PASSWORD", "p@ss/word")
    assert environment.read_redis("REDIS", default_database=0) == "redis://:p%40ss%2Fword@cache.internal:6380/0"


def test_a_redis_url_wins(monkeypatch):
    monkeypatch.setenv("REDIS_HOST", "elsewhere")
    monkeypatch.setenv("REDIS_URL", "rediss://host:1/4")
    assert environment.read_redis("REDIS", default_database=0) == "rediss://host:1/4"


def test_a_redis_url_of_another_kind_is_refused(monkeypatch):
    monkeypatch.setenv("REDIS_URL", "http://host/0")
    with pytest.raises(ImproperlyConfigured, match="REDIS_URL"):
        environment.read_redis("REDIS", default_database=0)


@pytest.mark.parametrize(
    ("url", "neighbour"),
    [
        ("redis://:pw@h:1/0", "redis://:pw@h:1/2"),
        ("redis://h:1", "redis://h:1/2"),
        ("redis+socket:///run/r.sock?virtual_host=3", "redis+socket:///run/r.sock?virtual_host=5"),
    ],
)
def test_results_and_cache_stand_beside_the_broker(url, neighbour):
    assert environment.neighbour_database(url, 2) == neighbour


def test_a_unix_socket_is_written_as_the_client_library_expects_it():
    assert environment.client_url("redis+socket:///run/r.sock?virtual_host=2") == "unix:///run/r.sock?db=2"
    assert environment.client_url("redis://h:1/2") == "redis://h:1/2"
