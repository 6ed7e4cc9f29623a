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


@pytest.mark.parametrize("value", ["nan", "inf", "0", "-1.5"])
def test_a_number_that_is_none_is_refused(monkeypatch, value):
    monkeypatch.setenv("JUSPAY_TIMEOUT", value)
    with pytest.raises(ImproperlyConfigured, match="JUSPAY_TIMEOUT: read "):
        environment.read_positive("JUSPAY_TIMEOUT", 1.0, unit="seconds", kind="float")


@pytest.mark.parametrize("value", ["100/s", "50/m", "10/h", "0.5/s", "100", "0"])
def test_rates_are_those_of_celery(monkeypatch, value):
    monkeypatch.setenv("KINESIS_INSERT_RATE_LIMIT", value)
    assert environment.read_rate("KINESIS_INSERT_RATE_LIMIT", "1/s") == value


@pytest.mark.parametrize("value", ["", "lots", "100/d", "/s", "-1/s", "nan", "inf/s", "1 per second"])
def test_what_celery_reads_as_no_rate_is_refused(monkeypatch, value):
    monkeypatch.setenv("KINESIS_INSERT_RATE_LIMIT", value)
    with pytest.raises(ImproperlyConfigured, match=r"KINESIS_INSERT_RATE_LIMIT: read .*; allowed is a rate"):
        environment.read_rate("KINESIS_INSERT_RATE_LIMIT", "1/s")


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ("http://shop.example.com", "http://shop.example.com"),
        ("https://shop.example.com:8443/", "https://shop.example.com:8443"),
        ("http://[::1]:8000", "http://[::1]:8000"),
        ("http://127.0.0.1:5555/flower/", "http://127.0.0.1:5555/flower"),
    ],
)
def test_a_web_address_is_read_without_its_last_slash(monkeypatch, value, read):
    monkeypatch.setenv("SITE_URL", value)
    assert environment.read_web_url("SITE_URL", "http://default") == read


@pytest.mark.parametrize(
    "value", ["", "nonsense", "shop.example.com", "http://", "http://host:0", "http://host:99999", "http://h/?q=1"]
)
def test_what_is_no_web_address_is_refused(monkeypatch, value):
    monkeypatch.setenv("SITE_URL", value)
    with pytest.raises(ImproperlyConfigured, match=r"SITE_URL: read .*; allowed is http"):
        environment.read_web_url("SITE_URL", "http://default")


def test_an_address_that_may_be_missing_may_be_empty(monkeypatch):
    monkeypatch.setenv("FLOWER_URL", "")
    assert environment.read_web_url("FLOWER_URL") == ""


@pytest.mark.parametrize("value", ["redis://host/zero", "redis:///0", "redis+socket://?virtual_host=1", "host:6379"])
def test_an_address_of_redis_without_what_it_needs_is_refused(monkeypatch, value):
    monkeypatch.setenv("REDIS_URL", value)
    with pytest.raises(ImproperlyConfigured, match=r"^REDIS_URL: read "):
        environment.read_redis("REDIS", default_database=0)


def test_several_brokers_stand_behind_each_other(monkeypatch):
    value = "amqp://user:password@first:5672//;amqp://user:password@second:5672//"
    monkeypatch.setenv("CELERY_BROKER_URL", value)
    assert environment.read_broker("CELERY_BROKER_URL", "redis://h/0") == value
