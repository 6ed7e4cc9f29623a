"""Retries: by hand with backoff, automatic by exception class, sorted by what the exception means."""

from __future__ import annotations

import pytest

from tests.compatibility.tasks_for_tests import PermanentError, TransientError

WAIT = 60


def test_retry_by_hand_with_exponential_backoff(tasks, notes):
    result = tasks.manual.delay(fails=3)

    assert result.get(timeout=WAIT) == {"retries": 3}
    assert notes(result.id) == ["0.05", "0.10", "0.20"]


def test_retry_is_told_as_a_state(tasks):
    result = tasks.manual.delay(fails=1, base=1.5)
    states = set()
    while not result.ready():
        states.add(result.state)

    assert "RETRY" in states
    assert result.get(timeout=WAIT) == {"retries": 1}


def test_after_the_last_retry_the_exception_is_the_result(tasks, notes):
    result = tasks.manual.delay(fails=99)

    with pytest.raises(TransientError, match="attempt 3"):
        result.get(timeout=WAIT)
    assert len(notes(result.id)) == 4


def test_automatic_retry_for_named_exceptions(tasks, notes):
    result = tasks.automatic.delay(fails=2, error="transient")

    assert result.get(timeout=WAIT) == 2
    assert notes(result.id) == ["transient"] * 3


@pytest.mark.parametrize("error", ["permanent", "missing"])
def test_no_automatic_retry_for_others(tasks, notes, error):
    result = tasks.automatic.delay(fails=2, error=error)

    with pytest.raises((PermanentError, FileNotFoundError), match=error):
        result.get(timeout=WAIT)
    assert notes(result.id) == [error]


@pytest.mark.parametrize(
    ("what", "outcome"),
    [
        ("fine", {"status": "ok", "retries": 0}),
        ("transient", {"status": "ok", "retries": 2}),
        ("permanent", {"status": "failed", "error": "permanent"}),
    ],
)
def test_exceptions_sorted_by_what_they_mean(tasks, what, outcome):
    assert tasks.sorted_by_exception.delay(what).get(timeout=WAIT) == outcome


def test_an_unknown_exception_is_retried_a_limited_number_of_times(tasks, notes):
    result = tasks.sorted_by_exception.delay("unknown")

    with pytest.raises(RuntimeError, match="unknown"):
        result.get(timeout=WAIT)
    assert notes(result.id) == ["unknown", "unknown"]
