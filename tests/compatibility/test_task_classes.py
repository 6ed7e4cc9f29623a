"""Task options, the task's own context, hooks of task classes, time limits, signals, a killed worker process."""

from __future__ import annotations

import uuid

import pytest
from celery.exceptions import TimeLimitExceeded

from tests.compatibility.tasks_for_tests import PermanentError

WAIT = 60


def test_a_bound_task_knows_its_request(tasks):
    result = tasks.context.delay(1, y=2)
    seen = result.get(timeout=WAIT)

    assert seen["id"] == result.id
    assert seen["name"] == "tests.compatibility.context"
    assert (seen["args"], seen["kwargs"], seen["retries"]) == ([1], {"y": 2}, 0)
    assert (seen["queue"], seen["priority"]) == ("default", 5)


def test_options_of_the_decorator_are_attributes_of_the_task(registered):
    assert registered.manual.max_retries == 3
    assert registered.manual.default_retry_delay == 1
    assert registered.limited.rate_limit == "100/s"
    assert registered.forgotten.ignore_result is True
    assert registered.length.compression == "gzip"
    assert (registered.bounded.soft_time_limit, registered.bounded.time_limit) == (1, 60)
    assert registered.dies_once.acks_late is True


def test_options_that_are_not_given_come_from_the_settings(registered):
    assert registered.add.acks_late is True
    assert registered.add.track_started is True
    assert registered.add.serializer == "json"


@pytest.mark.parametrize(
    ("how", "hooks"),
    [
        ("succeeds", ["on_success succeeds", "after_return SUCCESS"]),
        ("fails", ["on_failure PermanentError", "after_return FAILURE"]),
        ("retries", ["on_retry TransientError", "on_success retries", "after_return SUCCESS"]),
    ],
)
def test_hooks_of_a_task_class(tasks, notes, how, hooks):
    result = tasks.monitored.delay(how)

    written = notes(result.id, expect=len(hooks))
    assert sorted(written) == sorted(hooks)
    if how == "fails":
        with pytest.raises(PermanentError):
            result.get(timeout=WAIT)


@pytest.mark.parametrize(
    ("name", "args", "signals"),
    [
        ("add", (1, 1), ["task_received", "task_prerun", "task_postrun"]),
        ("fail", ("broken",), ["task_received", "task_prerun", "task_failure", "task_postrun"]),
    ],
)
def test_signals_of_the_worker(tasks, notes, name, args, signals):
    result = getattr(tasks, name).delay(*args)
    result.get(timeout=WAIT, propagate=False)

    assert sorted(notes(f"signals:{result.id}", expect=len(signals))) == sorted(signals)


def test_the_retry_signal(tasks, notes):
    result = tasks.manual.delay(fails=1)
    result.get(timeout=WAIT)

    assert notes(f"signals:{result.id}", expect=6).count("task_retry") == 1


def test_the_soft_limit_raises_inside_the_task(tasks):
    assert tasks.bounded.delay(10).get(timeout=WAIT) == "stopped in time"
    assert tasks.bounded.delay(0).get(timeout=WAIT) == "finished"


def test_the_hard_limit_kills_the_task_and_the_worker_goes_on(tasks):
    result = tasks.stubborn.delay()

    with pytest.raises(TimeLimitExceeded):
        result.get(timeout=WAIT)
    assert tasks.add.delay(1, 1).get(timeout=WAIT) == 2


def test_a_task_whose_process_is_killed_runs_again(tasks, notes):
    key = uuid.uuid4().hex

    assert tasks.dies_once.delay(key).get(timeout=WAIT) == "ran again"
    assert notes(key) == ["started", "started"]
