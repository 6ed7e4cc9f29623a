"""Production refuses what belongs to a demonstration, each with the name of the variable."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

GOOD = {
    "DJANGO_SETTINGS_MODULE": "myproject.settings.production",
    "SECRET_KEY": "k" * 60,
    "ALLOWED_HOSTS": "shop.example.com",
    "DATABASE_URL": "sqlite:////tmp/none.sqlite3",
    "SITE_URL": "https://shop.example.com",
    "EMAIL_URL": "smtp://mail.example.com:25",
    "FLOWER_BASIC_AUTH": "ops:a-long-password",
    "JUSPAY_BASE_URL": "https://api.juspay.in",
    "JUSPAY_API_KEY": "key",
    "JUSPAY_MERCHANT_ID": "merchant",
    "JUSPAY_CLIENT_ID": "client",
    "JUSPAY_RESPONSE_KEY": "response",
    "JUSPAY_WEBHOOK_USER": "hook",
    "JUSPAY_WEBHOOK_PASSWORD": "password",
}


def start(**changes: str | None) -> subprocess.CompletedProcess[str]:
    values = {**GOOD, **changes}
    environment = {name: value for name, value in values.items() if value is not None} | {"PATH": os.environ["PATH"]}
    command = [sys.executable, "-c", "import django; django.setup()"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_a_complete_environment_starts():
    outcome = start()
    assert outcome.returncode == 0, outcome.stderr


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DEBUG", "true"),
        ("SECRET_KEY", None),
        ("SECRET_KEY", "insecure-key-for-development-only"),
        ("SECRET_KEY", "short"),
        ("ALLOWED_HOSTS", None),
        ("DATABASE_URL", None),
        ("FLOWER_BASIC_AUTH", None),
        ("FLOWER_BASIC_AUTH", "ops:short"),
        ("JUSPAY_BASE_URL", "http://127.0.0.1:8100"),
        ("JUSPAY_API_KEY", ""),
        ("JUSPAY_WEBHOOK_PASSWORD", None),
        ("EMAIL_URL", "console://"),
        ("EMAIL_URL", "carrier-pigeon://"),
        ("CELERY_VISIBILITY_TIMEOUT", "soon"),
        ("REDIS_URL", "http://127.0.0.1"),
    ],
)
def test_production_refuses_and_names_the_variable(name, value):
    outcome = start(**{name: value})
    assert outcome.returncode != 0
    last = outcome.stderr.strip().splitlines()[-1]
    assert "ImproperlyConfigured" in last
    assert name in last


def test_the_documents_settings_module_means_development():
    code = "import django; django.setup(); from django.conf import settings; print(settings.ENVIRONMENT)"
    environment = {"DJANGO_SETTINGS_MODULE": "myproject.settings", "PATH": os.environ["PATH"]}
    outcome = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    assert outcome.stdout.strip() == "development"
