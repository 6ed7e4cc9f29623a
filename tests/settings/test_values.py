"""A wrong value stops the start; the error names the variable, what was read and what is allowed, never a secret."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from myproject.sandbox.configuration import read_configuration
from myproject.settings import base

DEVELOPMENT = {"DJANGO_SETTINGS_MODULE": "myproject.settings.development"}


@pytest.mark.parametrize(
    ("name", "value", "read"),
    [
        ("CELERY_TIMEZONE", "Nowhere", "'Nowhere'"),
        ("KINESIS_INSERT_RATE_LIMIT", "lots", "'lots'"),
        ("CELERY_BROKER_URL", "junk", "without a scheme"),
        ("CELERY_RESULT_BACKEND", "junk://host", "unknown kind"),
        ("REDIS_PORT", "99999", "99999"),
        ("REDIS_URL", "redis://host:port/0", "wrong host or port"),
        ("REDIS_DB", "-4", "-4"),
        ("REDIS_HOST", "no host", "'no host'"),
        ("ABANDON_CART_REDIS_PORT", "0", "0"),
        ("JUSPAY_BASE_URL", "nonsense", "'nonsense'"),
        ("SITE_URL", "nonsense", "'nonsense'"),
        ("FLOWER_URL", "ftp://host", "'ftp://host'"),
        ("CELERY_CANCEL_ORDER_QUEUE", "", "''"),
        ("CELERY_CANCEL_ORDER_QUEUE", "orders", "'orders'"),
        ("CELERY_CANCEL_ORDER_QUEUE", "two words", "'two words'"),
        ("CELERY_ORDER_REFUND_QUEUE", "cancel_order_queue", "'cancel_order_queue'"),
        ("CELERY_VISIBILITY_TIMEOUT", "30", "30"),
        ("CELERY_VISIBILITY_TIMEOUT", "600", "600"),
        ("DATABASE_URL", "foo://host/name", "unknown scheme"),
        ("DATABASE_URL", "mysql://user:password@host:port/name", "wrong port"),
        ("DATABASE_URL", "postgres://host/name", "another kind"),
        ("DATABASE_READ_TIMEOUT", "10", "10"),  # a wait for a lock would be taken for a server that hangs
        ("DATABASE_CONNECT_TIMEOUT", "0", "0"),
        ("DATABASE_WRITE_TIMEOUT", "soon", "'soon'"),
        ("EMAIL_URL", "smtp://host:port", "wrong port"),
        ("JUSPAY_TIMEOUT", "nan", "nan"),
        ("NUM_PROXIES", "-1", "-1"),
        ("SWEEP_AFTER", "-1", "-1"),
    ],
)
def test_a_wrong_value_stops_the_start_and_is_named(reader, name, value, read):
    last = reader.read({**DEVELOPMENT, name: value}).strip().splitlines()[-1]
    assert last.startswith(f"django.core.exceptions.ImproperlyConfigured: {name}: read ")
    assert read in last
    assert "allowed is " in last


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("REDIS_URL", "redis://:hunt/er2@host/0"),
        ("CELERY_BROKER_URL", "amqp://user:hunt/er2@host//"),
        ("DATABASE_URL", "mysql://user:hunt/er2@host/name"),
        ("EMAIL_URL", "smtp://user:hunt/er2@host"),
        ("SITE_URL", "http://user:hunter2@host"),
    ],
)
def test_a_password_is_not_shown_with_a_wrong_address(reader, name, value):
    outcome = reader.read({**DEVELOPMENT, name: value})
    assert f"{name}: read " in outcome
    assert "hunt" not in outcome


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CELERY_TIMEZONE", "Asia/Kolkata"),
        ("KINESIS_INSERT_RATE_LIMIT", "0.5/m"),
        ("CELERY_BROKER_URL", "amqp://user:password@host:5672/vhost"),
        ("CELERY_RESULT_BACKEND", "django-db"),
        ("CELERY_RESULT_BACKEND", "db+sqlite:///results.sqlite3"),
        ("REDIS_URL", "redis+socket:///run/valkey.sock?virtual_host=3"),
        ("CELERY_CANCEL_ORDER_QUEUE", "shop.cancel-orders"),
        ("CELERY_VISIBILITY_TIMEOUT", "601"),
    ],
)
def test_a_right_value_starts(reader, name, value):
    assert reader.read({**DEVELOPMENT, name: value}) == ""


def test_the_client_looks_for_the_stand_in_where_that_listens_by_default():
    code = "from myproject.settings.integrations import JUSPAY_BASE_URL; print(JUSPAY_BASE_URL)"
    outcome = subprocess.run(
        [sys.executable, "-c", code],
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert outcome.stdout.strip() == f"http://127.0.0.1:{read_configuration({}).port}"


def test_nobody_chooses_his_address_by_a_header():
    assert base.REST_FRAMEWORK["NUM_PROXIES"] == 0
