"""A job that cannot begin, because the database fails for a moment, is put back as if nothing had been."""

from __future__ import annotations

from typing import Any

import pytest
from celery.app.task import Context
from celery.exceptions import Reject
from django.db import OperationalError

from myproject.jobs import controls, ledger, running
from myproject.jobs.ledger import Row
from myproject.jobs.local import request_of, run_row
from myproject.jobs.models import Job, JobEvent
from myproject.jobs.states import JobState
from tests.jobs.job_tasks import RAN, app, asking, fail

pytestmark = pytest.mark.django_db(transaction=True)  # the connection is dropped on the way

GONE = OperationalError(2006, "Server has gone away")


def row_of(task: Any) -> Row:
    """Promise a job and return its row."""
    found = ledger.read(task.delay("x").id)
    assert found is not None
    return found


@pytest.fixture
def gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first question of a run, whether its task is held, finds the connection closed."""

    def fail_once(*_: Any, **__: Any) -> None:
        monkeypatch.setattr(running, "held", controls.held)
        raise GONE

    monkeypatch.setattr(running, "held", fail_once)


def test_a_job_whose_start_meets_a_closed_connection_is_not_parked(gone: None) -> None:
    row = row_of(fail)
    run_row(app, row)
    left = Job.objects.get()
    assert (left.state, left.attempts, left.epoch) == (JobState.SCHEDULED, 0, 0)
    assert RAN == []
    assert not JobEvent.objects.exists()


def test_a_job_that_is_put_back_before_its_claim_keeps_what_an_earlier_run_left(gone: None) -> None:
    row = row_of(asking)
    Job.objects.update(holder="somebody who died")
    run_row(app, row, delivery=1)
    assert Job.objects.get().holder == "somebody who died"


def test_a_foreign_message_goes_back_to_the_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    row = row_of(fail)
    Job.objects.all().delete()
    request = running_request(row)
    monkeypatch.setattr(running, "PAUSE", 0.0)
    monkeypatch.setattr(ledger, "insert", lambda _: (_ for _ in ()).throw(GONE))
    with pytest.raises(Reject) as refused:
        running.run(fail, request, ["x"], {})
    assert refused.value.requeue is True  # type: ignore[attr-defined]
    assert RAN == []


def running_request(row: Row) -> Context:
    """Return the request of a message that Celery's own client sent."""
    return Context({name: value for name, value in request_of(app, row).items() if not name.startswith("job_")})
