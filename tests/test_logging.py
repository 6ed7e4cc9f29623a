"""Logs carry no secret and nobody's data."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from celery import Celery, signals
from celery.app.task import Context
from celery.contrib.testing.worker import start_worker
from django.test import RequestFactory
from django.utils import timezone

from myproject.logging import REDACTED, bind_order, redact, redact_line
from orders.actions.cancel import process_order_cancellation
from orders.actions.process import process_order
from orders.models import Customer, Order


class Person:
    """Something whose representation says whom it is about."""

    def __repr__(self) -> str:
        return "<Person: anna@example.com>"


class RunningTask:
    """What Celery's signals tell of a task."""

    def __init__(self, **request: Any) -> None:
        self.name, self.request = "shop.task", Context(**request)


@pytest.fixture(autouse=True)
def nothing_bound() -> Iterator[None]:
    structlog.contextvars.clear_contextvars()
    yield
    structlog.contextvars.clear_contextvars()


@pytest.mark.parametrize(
    "name",
    [
        "password", "api_key", "Authorization", "token", "recipient", "email", "phone", "args", "kwargs", "card_number",
        "ip", "REMOTE_ADDR", "HTTP_X_FORWARDED_FOR", "user_agent",
    ],
)  # fmt: skip
def test_a_value_is_blanked_by_its_name(name):
    assert redact(None, "info", {name: "value"})[name] == REDACTED


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("mail to anna.berg@example.com failed", f"mail to {REDACTED} failed"),
        ("redis://user:hunter2@host:1/0", f"redis://user:{REDACTED}@host:1/0"),
        ("redis://:hunter2@host:1/0", f"redis://:{REDACTED}@host:1/0"),
        ("redis://:hun/ter2@host:1/0", f"redis://:{REDACTED}@host:1/0"),
        ("order W00000012 is paid", "order W00000012 is paid"),
        ("GET /users?email=anna%40example.com", f"GET /users?email={REDACTED}"),
        ("to jörg@exämple.de", f"to {REDACTED}"),
        ("login with password=hunter2, user=7", f"login with password={REDACTED}, user=7"),
        ("{'api_key': 'hunter2', 'order': 'W1'}", f"{{'api_key': {REDACTED}, 'order': 'W1'}}"),
        ("Authorization: Basic dXNlcjpodW50ZXIy", f"Authorization: {REDACTED}"),
        ("{'HTTP_AUTHORIZATION': 'Token abc def', 'A': 1}", f"{{'HTTP_AUTHORIZATION': '{REDACTED}', 'A': 1}}"),
        ("sent Bearer abcdef123456", f"sent Bearer {REDACTED}"),
        ("Cookie: sessionid=abc; csrftoken=def", f"Cookie: {REDACTED}"),
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


@pytest.mark.parametrize(
    "value",
    [ValueError("no such customer: anna@example.com"), b"to anna@example.com", {"anna@example.com"}, Person()],
)
def test_what_is_no_text_is_read_as_text(value):
    cleaned = redact(None, "info", {"error": value})["error"]
    assert "anna" not in str(cleaned)
    assert REDACTED in str(cleaned)


def test_a_request_line_loses_its_query():
    request = RequestFactory().get("/api/products", {"q": "a wedding dress"})
    assert redact(None, "info", {"request": "GET /api/products?q=dress"})["request"] == "GET /api/products"
    assert redact(None, "info", {"request": request})["request"] == "<WSGIRequest: GET '/api/products'>"


def test_a_long_text_takes_no_long_time():
    started = time.process_time()
    redact(None, "info", {"event": "a" * 200_000})
    assert time.process_time() - started < 10


@pytest.mark.parametrize("format_name", ["json", "console"])
def test_tracebacks_hold_no_address_no_password_and_no_local_variable(format_name):
    code = (
        "from myproject.logging import logging_settings; import logging, structlog, sys\n"
        f"logging_settings(format_name='{format_name}', level='INFO')\n"
        "def fail(local='a-local-' + 'value'):\n"
        "    raise ValueError('redis://:hunter' + '2@host:1/0 knows nobody called anna@' + 'example.com')\n"
        "for logger in (structlog.get_logger('shop'), logging.getLogger('plain')):\n"
        "    try:\n"
        "        fail()\n"
        "    except ValueError:\n"
        "        logger.exception('failed')\n"
    )
    outcome = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert outcome.stderr.count("Traceback (most recent call last)") == 2
    assert outcome.stderr.count("ValueError: redis://:[redacted]@host:1/0 knows nobody called [redacted]") == 2
    for secret in ("hunter2", "anna@example.com", "a-local-value"):
        assert secret not in outcome.stderr


def test_a_line_of_the_console_is_looked_through_when_it_is_finished():
    assert redact_line(None, "info", "a b@example.com c redis://:pw@h") == f"a {REDACTED} c redis://:{REDACTED}@h"


def test_a_message_carries_the_request_id_of_whoever_publishes_it():
    headers: dict[str, Any] = {}
    with structlog.contextvars.bound_contextvars(request_id="r1"):
        signals.before_task_publish.send(sender="t", headers=headers, body=())
    assert headers == {"request_id": "r1"}
    headers = {}
    signals.before_task_publish.send(sender="t", headers=headers, body=())
    assert headers == {}


def test_a_task_writes_under_its_own_id_and_its_requests():
    task = RunningTask(request_id="r1", is_eager=False)
    structlog.contextvars.bind_contextvars(order="of the task before")
    signals.task_prerun.send(sender=task, task_id="t1", task=task)
    assert structlog.contextvars.get_contextvars() == {"task_id": "t1", "task": "shop.task", "request_id": "r1"}
    bind_order("W1")
    assert structlog.contextvars.get_contextvars()["order"] == "W1"
    signals.task_postrun.send(sender=task, task_id="t1", task=task)
    assert structlog.contextvars.get_contextvars() == {}


def test_an_eager_task_leaves_the_names_of_its_caller():
    task = RunningTask(is_eager=True)
    with structlog.contextvars.bound_contextvars(request_id="r1"):
        signals.task_prerun.send(sender=task, task_id="t1", task=task)
        signals.task_postrun.send(sender=task, task_id="t1", task=task)
        assert structlog.contextvars.get_contextvars()["request_id"] == "r1"


def test_a_worker_gets_the_request_id_with_the_message():
    app = Celery("tests.logging", broker="memory://", backend="cache+memory://", set_as_current=False)
    seen: list[dict[str, Any]] = []

    @app.task(name="tests.logging.inner")
    def inner() -> None:
        seen.append(dict(structlog.contextvars.get_contextvars()))

    @app.task(name="tests.logging.outer")
    def outer() -> None:
        inner.delay()

    with start_worker(app, perform_ping_check=False, shutdown_timeout=30):
        with structlog.contextvars.bound_contextvars(request_id="r1"):
            outer.delay()
        ended = time.monotonic() + 30
        while not seen and time.monotonic() < ended:
            time.sleep(0.05)
    assert [(names["task"], names["request_id"]) for names in seen] == [("tests.logging.inner", "r1")]


@pytest.mark.django_db
@pytest.mark.parametrize("act", [process_order, process_order_cancellation])
def test_an_action_on_an_order_names_it(act):
    customer = Customer.objects.create(source="shop", external_reference="c1")
    order = Order.objects.create(
        source="shop", number="W77", customer=customer, currency="GBP", total_minor=1, placed_at=timezone.now()
    )
    act(order_id=order.pk, now=timezone.now())
    assert structlog.contextvars.get_contextvars()["order"] == "W77"


@pytest.mark.django_db
def test_the_line_of_a_request_has_method_path_and_status_and_no_address(client):
    with structlog.testing.capture_logs(processors=[structlog.contextvars.merge_contextvars]) as lines:
        client.get("/health/?asked=for", REMOTE_ADDR="203.0.113.9", HTTP_USER_AGENT="A browser")
    finished = [line for line in lines if line["event"] == "request_finished"]
    assert len(finished) == 1
    assert finished[0]["request"].startswith("GET /health/")
    assert isinstance(finished[0]["code"], int)
    assert finished[0]["request_id"]
    assert "203.0.113.9" not in str(finished)
    assert "A browser" not in str(finished)


def test_the_web_server_writes_no_access_log():
    command = (Path(__file__).parents[1] / "supervisor" / "web.conf").read_text(encoding="utf-8")
    assert "--access-logfile" not in command


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
