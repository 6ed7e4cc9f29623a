"""Retries of durable tasks: each is the next life of one job, written with the end of the one before."""

from __future__ import annotations

import pytest
from celery.exceptions import MaxRetriesExceededError

from myproject.jobs.models import Job
from myproject.jobs.states import JobState
from tests.compatibility.tasks_for_tests import PermanentError, TransientError
from tests.servers.processes import wait_until

WAIT = 60


def test_retry_by_hand_with_exponential_backoff(tasks, notes):
    result = tasks.manual.delay(fails=3)

    assert result.get(timeout=WAIT) == {"retries": 3}
    assert notes(result.id) == ["0.05", "0.10", "0.20"]
    assert Job.objects.get(id=result.id).epoch == 3


def test_a_waiting_retry_is_told_as_a_state_with_its_reason(tasks):
    result = tasks.manual.delay(fails=1, base=600)
    wait_until(lambda: result.state == "RETRY", timeout=WAIT, what="RETRY")

    wait_until(lambda: isinstance(result.info, TransientError), timeout=WAIT, what="the reason")
    assert Job.objects.get(id=result.id).state == JobState.SCHEDULED
    result.revoke()
    assert result.state == "REVOKED"


def test_after_the_last_retry_the_exception_is_the_result(tasks, notes):
    result = tasks.manual.delay(fails=99)

    with pytest.raises(TransientError, match="attempt 3"):
        result.get(timeout=WAIT)
    assert len(notes(result.id)) == 4
    assert Job.objects.get(id=result.id).state == JobState.PARKED


def test_after_the_last_retry_without_an_exception_there_is_one_that_says_so(tasks):
    with pytest.raises(MaxRetriesExceededError):
        tasks.without_error.delay().get(timeout=WAIT)


def test_a_retry_that_is_not_thrown_replaces_what_the_body_returns(tasks):
    assert tasks.without_throw.delay().get(timeout=WAIT) == "of the second run"


def test_a_retry_with_other_arguments(tasks):
    assert tasks.other_arguments.delay(1).get(timeout=WAIT) == 3


def test_automatic_retry_for_named_exceptions_with_backoff_and_jitter(tasks, notes):
    result = tasks.automatic.delay(fails=2, error="transient")

    assert result.get(timeout=WAIT) == 2
    assert notes(result.id) == ["transient"] * 3


@pytest.mark.parametrize("error", ["permanent", "missing"])
def test_no_automatic_retry_for_others(tasks, notes, error):
    result = tasks.automatic.delay(fails=2, error=error)

    with pytest.raises((PermanentError, FileNotFoundError), match=error):
        result.get(timeout=WAIT)
    assert notes(result.id) == [error]
