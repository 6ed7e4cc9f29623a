"""Production refuses what belongs to a demonstration, each with the name of the variable."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from myproject.settings import weaknesses

GOOD = {
    "DJANGO_SETTINGS_MODULE": "myproject.settings.production",
    "SECRET_KEY": "7c1f0e9b25ad4386f7c1d0e9b2a5ad436f8ce1d70b92a5ad6438",
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


def changed(**changes: str | None) -> dict[str, str]:
    values = {**GOOD, **changes}
    return {name: value for name, value in values.items() if value is not None}


def test_a_complete_environment_starts():
    command = [sys.executable, "-c", "import django; django.setup()"]
    environment = {**GOOD, "PATH": os.environ["PATH"]}
    outcome = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert outcome.returncode == 0, outcome.stderr


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DEBUG", "true"),
        ("SECRET_KEY", None),
        ("SECRET_KEY", "insecure-key-for-development-only"),
        ("SECRET_KEY", "short"),
        ("SECRET_KEY", "a" * 58),
        ("SECRET_KEY", "abcd" * 15),
        ("SECRET_KEY", "django-insecure-7c1f0e9b25ad4386f7c1d0e9b2a5ad436f8ce1d70b92a5ad"),
        ("ALLOWED_HOSTS", None),
        ("ALLOWED_HOSTS", "*"),
        ("ALLOWED_HOSTS", "shop.example.com,*"),
        ("ALLOWED_HOSTS", "shop.example.com,,www.example.com"),
        ("ALLOWED_HOSTS", "https://shop.example.com"),
        ("DATABASE_URL", None),
        ("FLOWER_BASIC_AUTH", None),
        ("FLOWER_BASIC_AUTH", "ops:short"),
        ("FLOWER_BASIC_AUTH", "ops:a-long-password,admin:"),
        ("FLOWER_BASIC_AUTH", "ops:a-long-password,:another-password"),
        ("JUSPAY_BASE_URL", "http://127.0.0.1:8010"),
        ("JUSPAY_BASE_URL", "http://api.juspay.in"),
        ("JUSPAY_BASE_URL", "https://127.0.0.1:8010"),
        ("JUSPAY_BASE_URL", "https://localhost"),
        ("JUSPAY_BASE_URL", "https://sandbox.juspay.in"),
        ("JUSPAY_BASE_URL", "nonsense"),
        ("JUSPAY_API_KEY", ""),
        ("JUSPAY_WEBHOOK_PASSWORD", None),
        ("EMAIL_URL", "console://"),
        ("EMAIL_URL", "dummy://"),
        ("EMAIL_URL", "memory://"),
        ("EMAIL_URL", "file:///mails"),
        ("EMAIL_URL", "carrier-pigeon://"),
        ("CELERY_VISIBILITY_TIMEOUT", "soon"),
        ("REDIS_URL", "http://127.0.0.1"),
    ],
)
def test_production_refuses_and_names_the_variable(reader, name, value):
    last = reader.read(changed(**{name: value})).strip().splitlines()[-1]
    assert "ImproperlyConfigured" in last
    assert name in last


@pytest.mark.parametrize("url", ["smtps://u:p@mail.example.com:465", "submission://u:p@mail.example.com"])
def test_the_family_of_smtp_is_allowed(reader, url):
    assert reader.read(changed(EMAIL_URL=url)) == ""


@pytest.mark.parametrize(
    ("host", "public"),
    [
        ("api.juspay.in", True),
        ("8.8.8.8", True),
        ("10.0.0.7", False),
        ("192.168.1.4", False),
        ("169.254.169.254", False),
        ("::1", False),
        ("fd00::1", False),
        ("127.1", False),
        ("2130706433", False),
        ("payments", False),
        ("payments.internal", False),
        ("shop.localhost", False),
        ("", False),
    ],
)
def test_a_public_host_is_told_by_its_form(host, public):
    assert weaknesses.is_public(host) is public


def test_a_secret_is_not_shown_when_it_is_refused(reader):
    outcome = reader.read(changed(FLOWER_BASIC_AUTH="ops:hunter2,admin:"))
    assert "FLOWER_BASIC_AUTH: read " in outcome
    assert "hunter2" not in outcome


def test_the_documents_settings_module_means_development():
    code = "import django; django.setup(); from django.conf import settings; print(settings.ENVIRONMENT)"
    environment = {"DJANGO_SETTINGS_MODULE": "myproject.settings", "PATH": os.environ["PATH"]}
    outcome = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    assert outcome.stdout.strip() == "development"
