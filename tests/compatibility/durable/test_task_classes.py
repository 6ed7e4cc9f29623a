"""Hooks of task classes, signals, time limits and eager mode of durable tasks."""

from __future__ import annotations

import uuid
from itertools import pairwise

import pytest
from celery import chain, signals
from django.db import transaction

from myproject.jobs.errors import JobKilled
from myproject.jobs.models import Job
from myproject.jobs.states import JobState
from tests.compatibility.tasks_for_tests import PermanentError
from tests.servers.processes import wait_until

WAIT = 60
IN_JOB = "body in the transaction, in the job"


def without_put_back(written: list[str]) -> list[str]:
    """Leave out the starts of a job that a busy database put back before its body had begun."""
    return [line for line, following in pairwise([*written, ""]) if (line, following) != ("before_start",) * 2]


@pytest.mark.parametrize(
    ("how", "hooks"),
    [
        ("succeeds", [IN_JOB, "on_success succeeds after the commit", "after_return SUCCESS"]),
        ("fails", [IN_JOB, "on_failure PermanentError after the commit", "after_return FAILURE"]),
        (
            "retries",
            [
                *(IN_JOB, "on_retry TransientError after the commit", "before_start", IN_JOB),
                *("on_success retries after the commit", "after_return SUCCESS"),
            ],
        ),
    ],
)
def test_hooks_of_a_task_class_run_once_and_after_the_commit(tasks, notes, how, hooks):
    """Stock Celery has no transaction; here the body's is over when `on_success` is called."""
    result = tasks.monitored.delay(how)
    wait_until(lambda: notes(result.id)[-1:] == hooks[-1:], timeout=WAIT, what=hooks[-1])
    written = without_put_back(notes(result.id))

    assert sorted(written) == sorted(["before_start", *hooks])
    assert written[:2] == ["before_start", IN_JOB]
    if how == "fails":
        with pytest.raises(PermanentError):
            result.get(timeout=WAIT)


@pytest.mark.parametrize(
    ("name", "args", "expected"),
    [
        ("add", (1, 1), ["task_received", "task_prerun", "task_success", "task_postrun"]),
        ("fail", ("broken",), ["task_received", "task_prerun", "task_failure", "task_postrun"]),
        (
            "other_arguments",
            (2,),
            [*["task_received", "task_prerun", "task_postrun"] * 2, "task_retry", "task_success"],
        ),
    ],
)
def test_signals_of_the_worker(tasks, notes, name, args, expected):
    result = getattr(tasks, name).delay(*args)
    result.get(timeout=WAIT, propagate=False)

    assert sorted(notes(f"signals:{result.id}", expect=len(expected))) == sorted(expected)


def test_the_signal_of_a_revoked_task(tasks, notes):
    result = tasks.add.apply_async(args=(1, 1), expires=-1)

    assert notes(f"signals:{result.id}", expect=1) == ["task_revoked"]


def test_the_signal_of_an_unknown_task_whose_job_waits_for_a_worker_that_knows_it(app, notes, running_worker):
    """Stock Celery says FAILURE, and who deploys the caller first loses the call."""
    result = app.send_task("tests.durable.of_a_later_version", queue="default")

    assert notes(f"signals:{result.id}", expect=1)[0] == "task_unknown tests.durable.of_a_later_version"
    wait_until(lambda: Job.objects.get(id=result.id).state == JobState.SCHEDULED, timeout=WAIT, what="put back")
    assert (result.state, running_worker.is_running()) == ("PENDING", True)
    result.revoke()


def test_signals_of_the_sender_are_sent_when_the_call_is_committed(tasks):
    seen: list[tuple[str, str]] = []

    def before(sender: str, headers: dict, **_: object) -> None:
        seen.append(("before", headers["id"]))

    def after(sender: str, headers: dict, **_: object) -> None:
        seen.append(("after", headers["id"]))

    signals.before_task_publish.connect(before)
    signals.after_task_publish.connect(after)
    try:
        with transaction.atomic():
            result = tasks.add.delay(1, 1)
            assert seen == []
        assert seen == [("before", result.id), ("after", result.id)]
    finally:
        signals.before_task_publish.disconnect(before)
        signals.after_task_publish.disconnect(after)
    assert result.get(timeout=WAIT) == 2


def test_the_soft_limit_raises_inside_the_task(tasks):
    assert tasks.bounded.delay(30).get(timeout=WAIT) == "stopped in time"
    assert tasks.bounded.delay(0).get(timeout=WAIT) == "finished"


def test_the_hard_limit_kills_the_process_and_counts_as_a_death(tasks):
    """Stock Celery says TimeLimitExceeded at the first; here it is one of `max_attempts` deaths, and that is said."""
    result = tasks.stubborn.delay()

    with pytest.raises(JobKilled, match="TimeLimitExceeded"):
        result.get(timeout=WAIT)
    assert tasks.add.delay(1, 1).get(timeout=WAIT) == 2


def test_options_of_the_decorator_are_attributes_of_the_task(tasks):
    assert (tasks.manual.max_retries, tasks.manual.default_retry_delay) == (3, 0.1)
    assert (tasks.bounded.soft_time_limit, tasks.bounded.time_limit) == (1, 60)
    assert (tasks.limited.rate_limit, tasks.forgotten.ignore_result) == ("100/s", True)
    assert (tasks.add.durable, tasks.add.mode, tasks.held.mode, tasks.best_effort.durable) == (
        True, "transaction", "lease", False,
    )  # fmt: skip
    assert (tasks.add.acks_late, tasks.add.track_started, tasks.add.serializer) == (True, True, "json")


@pytest.fixture
def eager(app, tasks):
    app.conf.update(task_always_eager=True, task_eager_propagates=True)
    yield tasks
    app.conf.update(task_always_eager=False, task_eager_propagates=False)


def test_eager_mode_runs_at_once_and_on_commit_inside_a_transaction(eager):
    assert eager.add.delay(4, 6).get() == 10
    assert chain(eager.add.s(2, 2), eager.add.s(4))().get() == 8
    with pytest.raises(PermanentError, match="no stock"):
        eager.fail.delay("no stock")
    with transaction.atomic():
        later = eager.add.delay(1, 1)
        assert later.state == "PENDING"
    assert (later.state, later.get()) == ("SUCCESS", 2)


def test_eager_mode_passes_what_json_makes_of_the_arguments(eager):
    seen = eager.context.delay((1, 2), {3: uuid.UUID(int=7)}).get()

    assert seen["args"] == [[1, 2], {"3": uuid.UUID(int=7)}]
