"""What a body leaves behind, by how it ended; and who may run it."""

from __future__ import annotations

import errno

import pytest
from celery.app.trace import build_tracer
from celery.exceptions import Ignore
from django.contrib.auth.models import Group
from django.db import OperationalError

from myproject.errors import OutageError, RetryableError, UnknownOutcomeError
from myproject.jobs import controls, ledger
from myproject.jobs.controls import ControlAction, ControlKind, Hold, Holds
from myproject.jobs.errors import LeaseLost, Snooze
from myproject.jobs.local import request_of
from myproject.jobs.models import ConcurrencySlot, Job, JobEvent
from myproject.jobs.running import LookupResult, current_job
from myproject.jobs.states import JobState
from tests.jobs import job_tasks
from tests.jobs.job_tasks import (
    ANSWERS,
    DEADLOCK,
    ERRORS,
    RAN,
    app,
    asking,
    fail,
    leased,
    make_due,
    one_at_a_time,
    only_job,
    parking,
    run_again,
    run_open,
    write,
)

pytestmark = pytest.mark.django_db(transaction=True)

MODES = pytest.mark.parametrize("task", [fail, leased], ids=["transaction", "lease"])


def kinds() -> list[str]:
    return list(JobEvent.objects.order_by("id").values_list("kind", flat=True))


@MODES
def test_a_job_runs_once_however_often_its_message_comes(task):
    result = task.delay(1)
    run_open()
    run_again(result.id)
    run_again(result.id, delivery=3)

    assert RAN == [1]
    assert Group.objects.count() == 1
    assert (only_job().state, only_job().attempts) == (JobState.SUCCEEDED, 0)
    assert result.get(timeout=1) == "done 1"


@MODES
def test_messages_of_another_life_or_of_no_job_run_nothing(task):
    result = task.delay(1)
    row = ledger.read(result.id)
    assert row is not None
    for changed in ({"epoch": 1}, {"id": "unknown"}):
        request = request_of(app, row._replace(**changed))
        build_tracer(task.name, task, app=app)(request["id"], [1], {}, request)
    assert RAN == []
    assert only_job().state == JobState.QUEUED
    assert Job.objects.count() == 1


@MODES
def test_a_message_of_a_foreign_producer_becomes_a_job_and_runs_once(task):
    request = {"id": "from elsewhere", "task": task.name, "delivery_info": {"routing_key": "default"}}
    for _ in range(2):
        build_tracer(task.name, task, app=app)("from elsewhere", [1], {}, dict(request))
    assert RAN == [1]
    assert (only_job().id, only_job().state) == ("from elsewhere", JobState.SUCCEEDED)
    assert app.backend.delegate.get_task_meta("from elsewhere")["result"] == "done 1"  # where its sender looks


def test_effects_of_a_failed_transaction_are_undone_and_the_job_is_parked():
    ERRORS.append(ValueError("no such thing"))
    result = fail.delay(1)
    run_open()

    assert not Group.objects.exists()
    assert (only_job().state, only_job().error) == (JobState.PARKED, "ValueError: no such thing")
    assert result.state == "FAILURE"
    with pytest.raises(ValueError, match="no such thing"):
        result.get(timeout=1)
    assert "raise ERRORS.pop(0)" in result.traceback
    event = JobEvent.objects.get()
    assert event.kind in ("failed", "parked")
    assert event.traceback and event.fingerprint == only_job().fingerprint


@MODES
def test_what_may_pass_is_tried_again_later_by_its_class(task):
    ERRORS.extend([RetryableError("busy", retry_after=7.0), RetryableError("busy")])
    result = task.delay(1)
    run_open()
    assert (only_job().state, only_job().epoch) == (JobState.SCHEDULED, 1)
    assert result.state == "RETRY"
    make_due()
    run_open()
    assert only_job().epoch == 2
    make_due()
    run_open()
    assert RAN == [1, 1, 1]
    assert result.get(timeout=1) == "done 1"
    assert Group.objects.count() == (1 if task is fail else 3)


SCARCE = pytest.mark.parametrize(
    "error",
    [OSError(errno.EMFILE, "no files"), OSError(errno.ENOSPC, "no space"), RuntimeError("can't start new thread")],
    ids=["files", "disk", "threads"],
)


@SCARCE
@MODES
def test_a_machine_that_runs_short_is_no_fault_of_the_job(task, error):
    ERRORS.append(error)
    task.delay(1)
    run_open()
    assert only_job().state == JobState.SCHEDULED
    make_due()
    run_open()
    assert (RAN, only_job().state) == ([1, 1], JobState.SUCCEEDED)


@SCARCE
def test_what_cannot_be_asked_about_is_parked_by_a_machine_that_runs_short(error):
    ERRORS.append(error)
    parking.delay(1)
    run_open()
    assert (RAN, only_job().state) == ([1], JobState.PARKED)


@MODES
def test_another_error_of_the_system_is_the_jobs_own(task):
    ERRORS.append(FileNotFoundError(errno.ENOENT, "no such file"))
    task.delay(1)
    run_open()
    assert (RAN, only_job().state) == ([1], JobState.PARKED)


@MODES
def test_patience_ends(task):
    ERRORS.extend(RetryableError("busy") for _ in range(20))
    task.delay(1)
    for _ in range(20):
        run_open()
        make_due()
    assert len(RAN) == 11
    assert only_job().state == JobState.PARKED
    assert only_job().error == "RetryableError: busy"


@MODES
def test_a_snooze_and_an_outage_use_up_nothing(task):
    for _ in range(15):
        ERRORS.extend([Snooze(5.0), OutageError("away")])
    result = task.delay(1)
    for _ in range(31):
        run_open()
        make_due()
    assert len(RAN) == 31
    assert (only_job().epoch, only_job().attempts, only_job().state) == (0, 0, JobState.SUCCEEDED)
    assert result.get(timeout=1) == "done 1"


def test_a_deadlock_is_tried_again_at_once():
    ERRORS.extend([DEADLOCK, DEADLOCK])
    fail.delay(1)
    run_open()
    assert RAN == [1, 1, 1]
    assert (only_job().state, only_job().attempts, only_job().epoch) == (JobState.SUCCEEDED, 0, 0)
    assert Group.objects.count() == 1


def test_a_database_in_trouble_puts_the_job_back_and_uses_up_nothing():
    ERRORS.extend([DEADLOCK] * 3)
    result = fail.delay(1)
    run_open()
    assert (only_job().state, only_job().attempts, only_job().epoch) == (JobState.SCHEDULED, 0, 0)
    make_due()
    run_again(result.id, delivery=1)
    assert (only_job().state, only_job().attempts) == (JobState.SUCCEEDED, 1)  # the start that was counted


def test_an_error_of_the_database_that_stays_is_the_jobs_own():
    ERRORS.append(OperationalError(1054, "Unknown column"))
    fail.delay(1)
    run_open()
    assert only_job().state == JobState.PARKED


@pytest.mark.parametrize("error", [SystemExit(3), RecursionError(), MemoryError()], ids=["exit", "recursion", "memory"])
@MODES
def test_a_body_that_ends_like_a_process_uses_up_attempts_and_is_parked(task, error):
    ERRORS.extend([error] * 5)
    task.delay(1)
    for _ in range(5):
        run_open()
        make_due()
    assert len(RAN) == 3
    assert (only_job().state, only_job().attempts) == (JobState.PARKED, 3)
    assert (only_job().error or "").startswith("JobKilled: 3 processes died while they ran this job")
    assert kinds()[:3] == ["killed"] * 3


def test_a_counted_start_is_taken_back_by_an_orderly_end():
    ERRORS.extend([Snooze(1.0)])
    result = fail.delay(1)
    run_again(result.id, delivery=1)
    assert (only_job().state, only_job().attempts) == (JobState.SCHEDULED, 0)


def test_a_held_task_is_put_back_and_runs_when_it_is_released():
    result = write.delay("held")
    hold = Hold(ControlKind.TASK, "t.write", ControlAction.PAUSE)
    controls.assume(Holds(tasks={"t.write": hold}), seconds=60)
    try:
        run_again(result.id)
        assert RAN == []
        assert only_job().state == JobState.SCHEDULED
        assert write.delay("sent while held").id
        assert Job.objects.filter(state=JobState.SCHEDULED).count() == 2
    finally:
        controls.forget()
    make_due()
    run_open()
    assert sorted(RAN) == ["held", "sent while held"]


def test_a_lease_is_claimed_before_the_body_and_visible_meanwhile(monkeypatch):
    seen = []

    def body(value):
        found = Job.objects.get()
        seen.append((found.state, found.token, bool(found.holder), leased.AsyncResult(found.id).state))

    monkeypatch.setattr(job_tasks, "fail_once", body)
    leased.delay(1)
    run_open()
    assert seen == [(JobState.RUNNING, 1, True, "STARTED")]
    assert (only_job().state, only_job().holder) == (JobState.SUCCEEDED, None)


def test_who_lost_the_lease_writes_nothing(monkeypatch):
    def body(value):
        Job.objects.update(token=2)  # another process claimed it meanwhile
        with pytest.raises(LeaseLost):
            current_job().fence()
        return "late"

    monkeypatch.setattr(job_tasks, "fail_once", body)
    leased.delay(1)
    run_open()
    assert (only_job().state, only_job().token, only_job().meta) == (JobState.RUNNING, 2, None)


def expire() -> None:
    """Leave the row as a process that died in lease mode leaves it, once the relay has found it."""
    Job.objects.update(state=JobState.QUEUED, holder="somebody who died", token=1)


def test_an_unknown_outcome_is_looked_up_before_the_body_runs_again():
    result = asking.delay(1)
    expire()
    ANSWERS.append(LookupResult(done=True, result="it happened"))
    run_again(result.id, delivery=1)
    assert RAN == [("asked", 1)]
    assert result.get(timeout=1) == "it happened"


def test_what_did_not_happen_runs():
    result = asking.delay(1)
    expire()
    ANSWERS.append(LookupResult(done=False))
    run_again(result.id, delivery=1)
    assert RAN == [("asked", 1), 1]
    assert result.get(timeout=1) == "done 1"


def test_the_first_run_asks_nobody():
    asking.delay(1)
    run_open()
    assert RAN == [1]


def test_an_outcome_that_the_body_does_not_know_follows_the_policy():
    ERRORS.append(UnknownOutcomeError("timeout after sending"))
    result = asking.delay(1)
    run_open()
    assert only_job().state == JobState.SCHEDULED
    ANSWERS.append(LookupResult(done=True, result="it happened"))
    make_due()
    run_open()
    assert RAN == [1, ("asked", 1)]
    assert result.get(timeout=1) == "it happened"


@pytest.mark.parametrize("error", [UnknownOutcomeError("timeout after sending"), DEADLOCK], ids=["unknown", "database"])
def test_what_must_not_be_repeated_is_parked(error):
    ERRORS.append(error)
    parking.delay(1)
    run_open()
    make_due()
    run_open()
    assert RAN == [1]
    assert only_job().state == JobState.PARKED
    assert (only_job().error or "").startswith("OutcomeUnknown: ")


def test_one_job_of_a_concurrency_key_runs_at_a_time(monkeypatch):
    first, second, other = one_at_a_time.delay(1), one_at_a_time.delay(1), one_at_a_time.delay(2)

    def begin_the_others(*_: object) -> None:
        if first.id == current_job().id:  # type: ignore[union-attr]
            run_again(second.id)
            run_again(other.id)

    monkeypatch.setattr(one_at_a_time, "run", lambda customer: (begin_the_others(), RAN.append(customer)))
    run_again(first.id)
    assert RAN == [2, 1]
    assert Job.objects.get(id=second.id).state == JobState.SCHEDULED
    make_due()
    run_open()
    assert RAN == [2, 1, 1]
    assert not ConcurrencySlot.objects.exclude(job_id=None).exists()


def test_ignore_keeps_what_the_body_wrote():
    ERRORS.append(Ignore())
    fail.delay(1)
    run_open()
    assert only_job().state == JobState.IGNORED
    assert Group.objects.count() == 1


def test_there_is_no_current_job_outside_of_one():
    assert current_job() is None
