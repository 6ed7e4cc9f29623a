"""What the main process of a worker reports to the backend never ends it, whatever the database does."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from celery import states
from celery.app.task import Context
from celery.exceptions import Retry
from celery.worker import state as worker_state
from celery.worker.request import Request
from django.db import InterfaceError, OperationalError, ProgrammingError
from kombu.message import Message

from myproject.jobs import ledger, revoking
from myproject.jobs.actions import bulk
from myproject.jobs.actions.retry import retry_job
from myproject.jobs.ledger import Row
from myproject.jobs.local import request_of, run_row
from myproject.jobs.models import Job, JobEvent
from myproject.jobs.states import JobState
from tests.jobs.job_tasks import RAN, app, best_effort, fail, make_due

pytestmark = pytest.mark.django_db(transaction=True)  # the connection is dropped on the way

AWAY = (
    OperationalError(2002, "Can't connect to server"),
    OperationalError(2013, "Lost connection to server during query"),
    InterfaceError(0, ""),
    ProgrammingError(1146, "Table doesn't exist"),  # in the middle of a deployment
)


@pytest.fixture(autouse=True)
def forgetful_worker(monkeypatch: pytest.MonkeyPatch) -> Any:
    """No worker is told anything here, and what this one remembers ends with the test."""
    monkeypatch.setattr(revoking.StockControl, "broadcast", lambda *_, **__: None)
    yield
    worker_state.revoked.clear()


def break_reads(monkeypatch: pytest.MonkeyPatch, error: Exception, *, times: int = 99) -> list[str]:
    """Have the next reads of rows fail; return the ids that were asked for."""
    asked: list[str] = []
    read = ledger.read

    def broken(task_id: str) -> Row | None:
        asked.append(task_id)
        if len(asked) <= times:
            raise error
        return read(task_id)

    monkeypatch.setattr(ledger, "read", broken)
    return asked


def received(task_id: str, *, expires: datetime | None = None) -> Request:
    """Return what a worker makes of the message of a job."""
    row = ledger.read(task_id)
    assert row is not None
    headers = {**request_of(app, row), "expires": expires and expires.isoformat(), "lang": "py"}
    info = {"delivery_tag": "1", "exchange": "", "routing_key": "default"}
    message = Message(
        body=row.body, content_type="application/json", content_encoding="utf-8", headers=headers, delivery_info=info,
        properties={"correlation_id": task_id},
    )  # fmt: skip
    args, kwargs, embed = json.loads(row.body)
    return Request(
        message, app=app, task=fail, on_ack=lambda *_: None, on_reject=lambda *_: None, connection_errors=(),
        hostname="w@h", body=(args, kwargs, embed), headers=headers, decoded=True, utc=True,
    )  # fmt: skip


@pytest.mark.parametrize("error", AWAY, ids=lambda error: str(error.args[0]))
def test_an_expired_message_ends_no_worker_and_its_job_ends_revoked(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    result = fail.delay("x")
    expires = datetime.now(UTC) - timedelta(seconds=1)
    with monkeypatch.context() as patch:
        request = received(result.id, expires=expires)
        break_reads(patch, error)
        assert request.revoked()
    assert Job.objects.get().state == JobState.QUEUED  # the relay sends it again

    assert received(result.id, expires=expires).revoked()
    assert Job.objects.get().state == JobState.CANCELLED
    assert str(result.state) == states.REVOKED
    assert RAN == []


def test_what_a_worker_remembers_does_not_revoke_a_job_that_an_operator_retried(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bulk, "main_app", app)
    result = fail.delay("x")
    assert received(result.id, expires=datetime.now(UTC) - timedelta(seconds=1)).revoked()
    assert result.id in worker_state.revoked
    retry_job(task_id=result.id, actor="tester")

    make_due()
    assert received(result.id).revoked()  # this worker has not heard of it
    assert (Job.objects.get().state, Job.objects.get().epoch) == (JobState.SCHEDULED, 1)
    make_due()
    assert not received(result.id).revoked()

    make_due()
    result.revoke()
    assert Job.objects.get().state == JobState.CANCELLED


def test_a_connection_that_died_of_old_age_is_opened_again(monkeypatch: pytest.MonkeyPatch) -> None:
    result = fail.delay("x")
    request = received(result.id, expires=datetime.now(UTC) - timedelta(seconds=1))
    break_reads(monkeypatch, OperationalError(2006, "Server has gone away"), times=1)
    assert request.revoked()
    assert Job.objects.get().state == JobState.CANCELLED
    assert JobEvent.objects.get().error == "expired"


def test_who_revokes_by_hand_hears_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    result = fail.delay("x")
    break_reads(monkeypatch, AWAY[0])
    with pytest.raises(OperationalError):
        app.backend.mark_as_revoked(result.id, "by hand")


def test_a_best_effort_task_asks_no_row(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = break_reads(monkeypatch, AWAY[0])
    request = Context(id="best", task=best_effort.name, delivery_info={})
    app.backend.mark_as_revoked("best", "expired", request)
    assert asked == []
    backend: Any = app.backend
    assert backend.delegate.get_state("best") == states.REVOKED


def test_the_reason_of_a_retry_may_be_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    result = fail.delay("x")
    row = ledger.read(result.id)
    assert row is not None
    request = Context(request_of(app, row))

    def broken(*_: Any, **__: Any) -> Any:
        raise AWAY[0]

    with monkeypatch.context() as patch:
        patch.setattr("django.db.models.query.QuerySet.update", broken)
        app.backend.mark_as_retry(result.id, Retry("cancelled by Celery"), request=request)
    run_row(app, row)
    assert Job.objects.get().state == JobState.SUCCEEDED
