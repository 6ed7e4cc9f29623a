"""Logs carry no secret and nobody's data."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from myproject.logging import REDACTED, redact


@pytest.mark.parametrize(
    "name",
    ["password", "api_key", "Authorization", "token", "recipient", "email", "phone", "args", "kwargs", "card_number"],
)
def test_a_value_is_blanked_by_its_name(name):
    assert redact(None, "info", {name: "value"})[name] == REDACTED


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("mail to anna.berg@example.com failed", f"mail to {REDACTED} failed"),
        ("redis://user:hunter2@host:1/0", f"redis://user:{REDACTED}@host:1/0"),
        ("redis://:hunter2@host:1/0", f"redis://:{REDACTED}@host:1/0"),
        ("order W00000012 is paid", "order W00000012 is paid"),
    ],
)
def test_addresses_and_passwords_are_blanked_within_texts(text, kept):
    assert redact(None, "info", {"event": text})["event"] == kept


def test_nested_values_are_blanked_too():
    event = {"data": {"args": "[7, 'anna']", "name": "orders.tasks.process_order", "notes": ["to anna@example.com"]}}
    assert redact(None, "info", event)["data"] == {
        "args": REDACTED,
        "name": "orders.tasks.process_order",
        "notes": [f"to {REDACTED}"],
    }


def test_json_lines_have_time_level_logger_and_what_is_bound():
    code = (
        "from myproject.logging import logging_settings; import logging, structlog\n"
        "logging_settings(format_name='json', level='INFO')\n"
        "structlog.contextvars.bind_contextvars(request_id='r1', order='W1')\n"
        "structlog.get_logger('shop').info('paid', email='anna@example.com')\n"
        "logging.getLogger('plain').warning('to %s', 'anna@example.com')\n"
    )
    outcome = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    first, second = (json.loads(line) for line in outcome.stderr.splitlines())
    assert (first["event"], first["order"], first["request_id"], first["level"]) == ("paid", "W1", "r1", "info")
    assert first["timestamp"].endswith("Z")
    assert second["event"] == f"to {REDACTED}"
    assert "anna@example.com" not in outcome.stderr
