"""Starting: own settings, own file, and a clear refusal of everything that is wrong."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.sandbox.merchant import Sandbox, environment
from tests.servers.processes import ROOT, python

pytestmark = pytest.mark.server


def run(folder: Path, *arguments: str, **extra: str) -> subprocess.CompletedProcess[str]:
    command = [python(), "-m", "myproject.sandbox", *arguments]
    env = environment(folder) | extra
    return subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


def test_production_settings_are_refused(tmp_path: Path) -> None:
    done = run(tmp_path, "serve", DJANGO_SETTINGS_MODULE="myproject.settings.production")

    assert done.returncode == 2
    assert "DJANGO_SETTINGS_MODULE is myproject.settings.production" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_other_exported_settings_are_replaced(start_sandbox: Callable[..., Sandbox]) -> None:
    sandbox = start_sandbox(DJANGO_SETTINGS_MODULE="myproject.settings.development", DATABASE_URL="mysql://nowhere/x")

    assert sandbox.http.get("/health").json()["status"] == "ok"


def test_app_refuses_to_be_installed_elsewhere(tmp_path: Path) -> None:
    code = (
        "import os\n"
        "os.environ['DJANGO_SETTINGS_MODULE'] = 'elsewhere'\n"
        "from django.conf import settings\n"
        "settings.configure(INSTALLED_APPS=['myproject.sandbox.apps.SandboxConfig'])\n"
        "import django; django.setup()\n"
    )

    done = subprocess.run(
        [python(), "-c", code], env=environment(tmp_path), cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert done.returncode == 1
    assert "ImproperlyConfigured: The provider stand-in runs only under myproject.sandbox.settings" in done.stderr


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("SANDBOX_FAULTS", '[{"endpoint": "session", "fault": "latency"}]', "rule 1: field 'seconds' is missing"),
        ("SANDBOX_FAULTS", "/nonexistent/rules.json", "cannot be read"),
        ("SANDBOX_PORT", "http", "allowed is a whole number from 0 to 65535"),
        ("SANDBOX_SETTLEMENT_DELAY", "-1", "allowed is a number from 0"),
        ("SANDBOX_WEBHOOK_URL", "ftp://x/", "an http or https address"),
        ("SANDBOX_PUBLIC_URL", "http://x:port", "an http or https address"),
        ("SANDBOX_WEBHOOK_EVENTS", "ORDER_EXPLODED", "read ORDER_EXPLODED"),
        ("SANDBOX_MINIMUM_REFUND", '{"GBP": 0.01}', 'such as {"GBP": "0.01"}'),
    ],
)
def test_wrong_setting_stops_the_start_and_is_named(tmp_path: Path, name: str, value: str, words: str) -> None:
    done = run(tmp_path, "serve", **{name: value})

    assert done.returncode == 2
    assert done.stderr.startswith(f"sandbox: {name}: ")
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_rules_may_stand_in_a_file(start_sandbox: Callable[..., Sandbox], tmp_path: Path) -> None:
    rules = tmp_path / "rules.json"
    rules.write_text('[{"endpoint": "order_status", "fault": "error", "status": 500}]')

    assert start_sandbox(SANDBOX_FAULTS=str(rules)).http.get("/orders/X").status_code == 500


def test_migrations_are_complete(tmp_path: Path) -> None:
    done = run(tmp_path, "makemigrations", "--check", "--dry-run")

    assert (done.returncode, done.stdout.strip()) == (0, "No changes detected")


def test_django_finds_nothing_wrong(tmp_path: Path) -> None:
    assert "no issues" in run(tmp_path, "check").stdout


def test_record_without_a_file_is_a_clear_error(tmp_path: Path) -> None:
    done = run(tmp_path, "record")

    assert done.returncode == 1
    assert "has `serve` run on this file?" in done.stderr
    assert "Traceback" not in done.stderr


def test_stop_signal_ends_it_cleanly(start_sandbox: Callable[..., Sandbox]) -> None:
    sandbox = start_sandbox()
    order_id = sandbox.charged_order("10.00")
    sandbox.http.close()

    assert sandbox.process.stop() == 0
    assert order_id in run(sandbox.folder, "record", "--json").stdout
