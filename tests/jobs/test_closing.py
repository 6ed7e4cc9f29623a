"""A lease-mode body that is over: its outcome is written, or is unknown; what it did outside is never done again."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from django.db import IntegrityError, OperationalError
from kombu.utils.json import loads

from myproject.celery import app as platform_app
from myproject.errors import OutageError, RetryableError, UnknownOutcomeError
from myproject.jobs import canvas, running
from myproject.jobs.actions.retry import retry_job
from myproject.jobs.models import Job, UniqueKey
from myproject.jobs.running import LookupResult
from myproject.jobs.states import JobState
from tests.jobs.job_tasks import (
    ANSWERS,
    DEADLOCK,
    ERRORS,
    RAN,
    app,
    asking,
    fail_once,
    leased,
    look_up,
    make_due,
    only_job,
    parking,
    run_open,
)

pytestmark = pytest.mark.django_db(transaction=True)

LEASE: dict[str, Any] = {"shared": False, "mode": "lease", "typing": False}


@app.task(name="t.closing.unique", unique=True, on_unknown="park", **LEASE)
def unique_leased(value: Any) -> str:
    """At most one open job per value."""
    return fail_once(value)


def _retrying(how: str, policy: str) -> Any:
    """Declare a task that asks for a retry itself, or has Celery ask for it."""
    options: dict[str, Any] = {"on_unknown": policy, "look_up": look_up if policy == "lookup" else None, **LEASE}
    if how == "autoretry":
        options |= {"autoretry_for": (UnknownOutcomeError,), "default_retry_delay": 0}
        return app.task(name=f"t.closing.{how}.{policy}", **options)(fail_once)

    def body(self: Any, value: Any) -> str:
        try:
            return fail_once(value)
        except UnknownOutcomeError as error:
            raise self.retry(exc=error, countdown=0) from error

    return app.task(name=f"t.closing.{how}.{policy}", bind=True, **options)(body)


POLICIES = ("park", "lookup", "resend")
RETRYING = {(how, policy): _retrying(how, policy) for how in ("autoretry", "retry") for policy in POLICIES}


@pytest.fixture
def close_fails(monkeypatch: pytest.MonkeyPatch) -> Callable[[Exception, int], None]:
    """Return a function that has the next tries to close a job fail with an error of the server."""
    errors: list[Exception] = []
    dispatch = canvas.dispatch

    def failing(*arguments: Any) -> Any:
        if errors:
            raise errors.pop()
        return dispatch(*arguments)

    monkeypatch.setattr(canvas, "dispatch", failing)
    return lambda error, times: errors.extend([error] * times)


@pytest.mark.parametrize("times", [1, 5])
@pytest.mark.parametrize("task", [parking, asking, leased], ids=POLICIES)
def test_the_outcome_is_written_when_the_database_takes_it(close_fails, task, times):
    close_fails(DEADLOCK, times)
    result = task.delay(1)
    run_open()
    assert RAN == [1]
    assert (only_job().state, only_job().holder) == (JobState.SUCCEEDED, None)
    assert result.get(timeout=1) == "done 1"


@pytest.fixture
def database_away(monkeypatch: pytest.MonkeyPatch, close_fails) -> None:
    """Have the database stay away for longer than a process may try, which is as long as its lease, and come back."""
    for task in (parking, asking, leased):
        monkeypatch.setattr(task, "lease", 0.1)
    monkeypatch.setattr(running, "QUICK_TRIES", 2)
    monkeypatch.setattr(running, "time", _SlowTime)
    close_fails(DEADLOCK, 2)


class _SlowTime:
    monotonic = staticmethod(time.monotonic)

    @staticmethod
    def sleep(_: float) -> None:
        time.sleep(0.11)


@pytest.mark.usefixtures("database_away")
def test_what_could_not_be_closed_is_parked_where_nobody_can_be_asked():
    parking.delay(1)
    run_open()
    make_due()
    run_open()
    assert RAN == [1]
    assert only_job().state == JobState.PARKED
    assert (only_job().error or "").startswith("OutcomeUnknown: ")


@pytest.mark.usefixtures("database_away")
def test_what_could_not_be_closed_is_looked_up_first():
    ANSWERS.append(LookupResult(done=True, result="it happened"))
    result = asking.delay(1)
    run_open()
    assert only_job().state == JobState.SCHEDULED
    make_due()
    run_open()
    assert RAN == [1, ("asked", 1)]
    assert result.get(timeout=1) == "it happened"


@pytest.mark.usefixtures("database_away")
def test_what_could_not_be_closed_runs_again_where_the_receiver_knows_the_key():
    leased.delay(1)
    run_open()
    make_due()
    run_open()
    assert RAN == [1, 1]
    assert only_job().state == JobState.SUCCEEDED


def test_an_error_of_the_close_that_stays_parks_the_job_and_frees_its_key(close_fails):
    close_fails(IntegrityError(1062, "Duplicate entry"), 1)
    unique_leased.delay(1)
    run_open()
    assert (RAN, only_job().state) == ([1], JobState.PARKED)
    assert not UniqueKey.objects.exists()


@pytest.mark.parametrize(
    "error",
    [OutageError("away"), RetryableError("busy"), UnknownOutcomeError("no answer"), OperationalError(2013, "lost")],
    ids=["outage", "retryable", "unknown", "database"],
)
def test_who_cannot_be_asked_now_is_asked_again_before_anything_is_repeated(error):
    result = asking.delay(1)
    Job.objects.update(holder="somebody who died", token=1)
    ANSWERS.extend([error, LookupResult(done=True, result="it happened")])
    run_open()
    assert (RAN, only_job().state) == ([("asked", 1)], JobState.SCHEDULED)
    make_due()
    run_open()
    assert RAN == [("asked", 1), ("asked", 1)]
    assert result.get(timeout=1) == "it happened"


def test_what_did_not_happen_and_is_put_off_by_its_body_is_no_longer_unknown():
    asking.delay(1)
    Job.objects.update(holder="somebody who died", token=1)
    ANSWERS.append(LookupResult(done=False))
    ERRORS.append(OutageError("away"))
    run_open()
    assert (RAN, only_job().state, only_job().holder) == ([("asked", 1), 1], JobState.SCHEDULED, None)


def test_an_operator_who_retries_a_job_has_the_other_side_asked_first(monkeypatch):
    monkeypatch.setitem(platform_app.tasks, asking.name, asking)
    ERRORS.append(ValueError("a bug after the call"))
    result = asking.delay(1)
    run_open()
    assert only_job().state == JobState.PARKED
    ANSWERS.append(LookupResult(done=True, result="it happened"))
    retry_job(task_id=result.id, actor="ann")
    make_due()
    run_open()
    assert RAN == [1, ("asked", 1)]
    assert only_job().state == JobState.SUCCEEDED


@pytest.mark.parametrize("how", ["autoretry", "retry"])
@pytest.mark.parametrize(
    ("policy", "ran", "state"),
    [
        ("park", [1], JobState.PARKED),
        ("lookup", [1, ("asked", 1)], JobState.SUCCEEDED),
        ("resend", [1, 1], JobState.SUCCEEDED),
    ],
)
def test_whoever_asks_for_a_retry_the_policy_decides_about_an_unknown_outcome(how, policy, ran, state):
    ERRORS.append(UnknownOutcomeError("timeout after sending"))
    ANSWERS.append(LookupResult(done=True))
    RETRYING[how, policy].apply_async((1,), headers={"mine": "kept"})
    run_open()
    assert loads(only_job().headers or "{}")["mine"] == "kept"
    make_due()
    run_open()
    assert (RAN, only_job().state) == (ran, state)
