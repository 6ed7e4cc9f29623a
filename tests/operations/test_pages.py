"""The home page shows figures to those who may see them, and health names what is missing."""

from __future__ import annotations

from datetime import timedelta
from threading import Event
from time import monotonic

import pytest
from django.db import DatabaseError
from django.utils import timezone

from myproject.accounts.models import User
from myproject.jobs.models import Relay
from myproject.operations import queries
from orders.models import ImportBatch

pytestmark = pytest.mark.django_db

REPORT = {
    "file": {"lines": 10, "invoices": 3, "sales": 2, "cancellations": 1, "net": "12.50", "cancelled": "-1.00"},
    "platform": {"orders": 2, "captured": "13.50", "refunded": "1.00", "price_difference": "0.00"},
    "provider": {"captured": "13.50", "refunded": "1.00"},
    "unmatched": {"lines": 0, "value": "0.00"},
    "tasks": {"run": 7, "failed": 0, "open": 0},
    "mails": 2,
    "difference": "0.00",
    "seconds": 1.5,
    "orders_per_second": 1.3,
    "tasks_per_second": 4.6,
}


@pytest.fixture
def batch():
    now = timezone.now()
    return ImportBatch.objects.create(
        content_hash="h", source="retail-h", filename="two-months.csv", report=REPORT, started_at=now, finished_at=now
    )


def test_strangers_see_no_figures(client, batch):
    page = client.get("/").content.decode()
    assert "13.50" not in page
    assert client.get("/running").status_code == 404


def test_staff_see_the_last_reconciliation(client, batch):
    client.force_login(User.objects.create_superuser("ops@example.com", "a long password 1"))
    page = client.get("/").content.decode()
    assert "difference 0.00" in page
    assert "two-months.csv" in page
    assert "13.50" in page


def test_a_developer_sees_figures_without_signing_in(client, batch, settings):
    settings.ENVIRONMENT = "development"
    assert "difference 0.00" in client.get("/").content.decode()


def test_without_a_batch_the_page_says_so(client, settings):
    settings.ENVIRONMENT = "development"
    assert "No file has been replayed yet" in client.get("/").content.decode()


def test_a_batch_without_a_report_is_shown_as_running(client, batch, settings):
    settings.ENVIRONMENT = "development"
    ImportBatch.objects.update(report=None)
    assert "is being replayed since" in client.get("/").content.decode()


def test_the_named_figures_are_told_in_plain_words(client, batch, settings):
    settings.ENVIRONMENT = "development"
    page = client.get("/").content.decode()
    assert "What customers paid for 2 orders." in page
    assert "10 lines of 3 invoices, of them 1 cancellation, -1.00 together." in page
    assert "0 cancelled lines that no order of the file covers" in page
    assert "How the net comes about" not in page  # a report of an earlier version has no steps
    ImportBatch.objects.update(report={**REPORT, "steps": [["captured for orders", "13.50"]]})
    page = client.get("/").content.decode()
    assert "How the net comes about" in page
    assert "captured for orders" in page


def test_a_difference_is_not_called_found(client, batch, settings):
    settings.ENVIRONMENT = "development"
    ImportBatch.objects.update(report={**REPORT, "difference": "0.01"})
    page = client.get("/").content.decode()
    assert "difference 0.01" in page
    assert "Every amount of the file is found again" not in page


def test_the_page_shows_the_date_and_works_without_javascript(client, settings):
    settings.ENVIRONMENT = "development"
    page = client.get("/").content.decode()
    assert f"{timezone.now():%-d %B %Y}" in page
    note = page.split("<noscript>")[1].split("</noscript>")[0]
    assert 'href="/running"' in note
    assert "<html" in client.get("/running").content.decode()
    assert "<html" not in client.get("/running", headers={"HX-Request": "true"}).content.decode()


def relay(name: str = "host:1", *, age: float = 1, lag: float = 0.0, outage: str | None = None) -> None:
    """Write what a relay would have reported that many seconds ago."""
    apps = {"myproject": {"published": 12, "republished": 3, "lag": lag, "outage": outage}}
    seen_at = timezone.now() - timedelta(seconds=age)
    Relay.objects.create(id=name, seen_at=seen_at, report={"apps": apps, "expired": 0, "pruned": 0})


@pytest.mark.parametrize(
    ("reports", "sentence"),
    [
        ([], "no relay was seen for 15 s: jobs that were not published wait"),
        ([{"age": 60}], "no relay was seen for 15 s: jobs that were not published wait"),
        ([{"lag": 61.0}], "due jobs are 61 s late"),
        ([{"outage": "ConnectionError"}], "no relay can publish for myproject: ConnectionError"),
        ([{"outage": "ConnectionError"}, {"age": 2}], "ok"),
        ([{"lag": 61.0}, {}], "ok"),
        ([{}, {"age": 60}], "ok"),
    ],
)
def test_health_tells_when_jobs_are_not_published_and_the_server_stays(client, reports, sentence):
    for number, report in enumerate(reports):
        relay(f"host:{number}", **report)
    answer = client.get("/health/")
    assert answer.status_code == 200
    assert answer.json()["checks"]["relay"] == sentence
    assert answer.json()["status"] == ("ok" if sentence == "ok" else "degraded")


def test_the_live_part_shows_the_relays(client, settings):
    settings.ENVIRONMENT = "development"
    assert "No relay reports" in client.get("/running").content.decode()
    relay()
    relay("host:2", age=60)
    relay("host:3", age=7000)
    relay("host:4", outage="ConnectionError")
    page = client.get("/running").content.decode()
    assert "12 published, 3 once more, 0.0 s late" in page
    assert "silent for" in page
    assert "ConnectionError" in page
    assert "host:3" not in page


def test_health_is_ok_when_everything_answers(client):
    relay()
    answer = client.get("/health/")
    assert answer.status_code == 200
    assert answer.json()["status"] == "ok"
    assert answer.json()["checks"] == {"database": "ok", "broker": "ok", "cache": "ok", "relay": "ok"}


def test_health_names_what_is_missing(client, monkeypatch):
    def refuse(*args, **kwargs):
        raise ConnectionRefusedError

    monkeypatch.setattr(queries.app, "connection_for_write", refuse)
    answer = client.get("/health/")
    assert answer.status_code == 503
    assert answer.json()["checks"]["broker"] == "ConnectionRefusedError"


def test_the_live_part_lists_every_queue_and_says_when_no_worker_answers(client, settings):
    settings.ENVIRONMENT = "development"
    page = client.get("/running").content.decode()
    assert "cancel_order_queue" in page
    assert "fast_queue" in page
    assert "No worker answers" in page


def test_a_broker_that_is_down_is_named_and_its_queues_are_unknown(client, settings):
    """The carts' broker is an address where nothing listens; the other one is in memory."""
    settings.ENVIRONMENT = "development"
    running = client.get("/running").context["running"]
    assert running.unreachable == ["fast_queue"]
    assert {queue.name for queue in running.queues if queue.waiting is None} == {"fast_queue"}


def test_a_broker_that_never_answers_does_not_hold_up_the_page(client, settings, monkeypatch):
    settings.ENVIRONMENT = "development"
    over = Event()
    monkeypatch.setattr(queries, "_ask_broker", lambda celery_app: over.wait(120))
    monkeypatch.setattr(queries, "BROKER_DEADLINE", 0.2)
    started = monotonic()
    answer = client.get("/running")
    over.set()
    assert monotonic() - started < 60
    assert answer.status_code == 200
    assert answer.context["running"].unreachable == ["myproject", "fast_queue"]
    assert answer.content.decode().count("does not answer") == 2


def test_the_live_part_says_when_the_database_cannot_be_asked(client, settings, monkeypatch):
    def refuse(*args, **kwargs):
        raise DatabaseError

    settings.ENVIRONMENT = "development"
    monkeypatch.setattr(queries.PeriodicTask.objects, "filter", refuse)
    answer = client.get("/running")
    assert answer.status_code == 200
    assert "The database cannot be asked" in answer.content.decode()
