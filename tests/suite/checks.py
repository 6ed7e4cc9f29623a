"""The checks beside the tests: format, types, migrations, deployment settings, locked requirements."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.servers.processes import ROOT, clean_environment, python

REPORTS = ROOT / ".state" / "test"
LOCKED = ROOT / "myproject" / "requirements" / "everything.txt"
ALSO_RESOLVES_ON = ("3.12", "3.13")
OFFLINE = re.compile(r"network|dns error|connect|offline|resolve host|timed out|not found in the cache", re.IGNORECASE)

# What production asks for. Every value is made up; the check fails when a setting is missing here or there.
PRODUCTION = {
    "DJANGO_SETTINGS_MODULE": "myproject.settings.production",
    "SECRET_KEY": "made-up-for-the-deployment-check-0123456789-abcdefghijklmnopqrstuvwxyz-ABCDEFG",
    "ALLOWED_HOSTS": "shop.example.com",
    "CSRF_TRUSTED_ORIGINS": "https://shop.example.com",
    "SITE_URL": "https://shop.example.com",
    "DATABASE_URL": "sqlite:///:memory:",
    "REDIS_URL": "redis://127.0.0.1:1/0",
    "ABANDON_CART_REDIS_URL": "redis://127.0.0.1:1/3",
    "EMAIL_URL": "smtp://mail.example.com:25",
    "FLOWER_BASIC_AUTH": "flower:made-up-password-of-some-length",
    "JUSPAY_BASE_URL": "https://provider.example.com",
    "JUSPAY_API_KEY": "made-up",
    "JUSPAY_MERCHANT_ID": "made-up",
    "JUSPAY_CLIENT_ID": "made-up",
    "JUSPAY_RESPONSE_KEY": "made-up",
    "JUSPAY_WEBHOOK_USER": "made-up",
    "JUSPAY_WEBHOOK_PASSWORD": "made-up",
}
TEST_SETTINGS = {"DJANGO_SETTINGS_MODULE": "myproject.settings.test", "DATABASE_URL": "sqlite:///:memory:"}


@dataclass(frozen=True)
class Outcome:
    """How one check or pass ended. `skipped` gives the reason when it could not be done at all."""

    name: str
    passed: bool
    output: str = ""
    skipped: str = ""


def run_check(name: str, command: list[str], *, env: Mapping[str, str] | None = None) -> Outcome:
    """Run a tool of the virtual environment over the checkout, with nothing of the caller's settings unless given."""
    environment = clean_environment(STATE_DIR=str(REPORTS / "state")) if env is None else dict(env)
    done = subprocess.run(
        command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    return Outcome(name, done.returncode == 0, (done.stdout + done.stderr).strip())


def with_settings(settings: Mapping[str, str]) -> dict[str, str]:
    """Return a clean environment with these settings."""
    return clean_environment(STATE_DIR=str(REPORTS / "state"), **settings)


def check_format() -> list[Outcome]:
    """Lint and format: a second or two, so they are part of the inner loop."""
    tool = str(Path(python()).parent / "ruff")
    return [
        run_check("ruff check", [tool, "check", "--quiet", "."]),
        run_check("ruff format", [tool, "format", "--check", "--quiet", "."]),
    ]


def check_types() -> Outcome:
    """Types of our code and, less strictly, of the tests."""
    packages = ["myproject", "orders", "catalog", "notifications", "search", "tests", "manage.py"]
    return run_check("mypy", [python(), "-m", "mypy", *packages], env=with_settings(TEST_SETTINGS))


def check_django() -> list[Outcome]:
    """No migration is missing, and production settings pass Django's own deployment check."""
    manage = [python(), "-W", "ignore", "manage.py"]
    deploy = [*manage, "check", "--deploy", "--fail-level", "WARNING"]
    return [
        run_check("migrations", [*manage, "makemigrations", "--check", "--dry-run"], env=with_settings(TEST_SETTINGS)),
        run_check("deployment", deploy, env=with_settings(PRODUCTION)),
    ]


def check_locks() -> list[Outcome]:
    """The lock resolves for the Pythons that are not run here, as far as a cache or a network can tell."""
    outcomes = []
    for version in ALSO_RESOLVES_ON:
        name = f"lock on Python {version}"
        command = [
            python(), "-m", "uv", "pip", "compile", "--quiet", "--no-config", "--no-annotate", "--no-header",
            "--python-version", version, str(LOCKED),
        ]  # fmt: skip
        # The caller's environment says where the package index is and through which proxy.
        outcome = run_check(name, [*command, "--offline"], env=os.environ)
        if not outcome.passed:
            outcome = run_check(name, command, env=os.environ)
        if not outcome.passed and OFFLINE.search(outcome.output):
            outcome = Outcome(name, True, skipped="no package index can be reached and uv's cache does not hold it")
        outcomes.append(outcome)
    return outcomes
