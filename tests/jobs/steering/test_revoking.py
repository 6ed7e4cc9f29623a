"""What Celery's users revoke stays revoked: in the rows, whoever is told, and whatever restarts."""

from __future__ import annotations

import pytest
from celery import group
from django.contrib.auth.models import Group
from django.db import transaction
from kombu.exceptions import OperationalError

from myproject.jobs import revoking
from myproject.jobs.actions import bulk, terminate
from myproject.jobs.actions.bulk import NotApplicable
from myproject.jobs.actions.terminate import terminate_job
from myproject.jobs.models import ConcurrencySlot, Job, JobEvent, SteeringEvent
from myproject.jobs.states import JobState
from tests.jobs import job_tasks
from tests.jobs.job_tasks import RAN, app, best_effort, fail, leased, make_due, run_again, run_open

pytestmark = pytest.mark.django_db(transaction=True)

OPS = {"actor": "ops@example.com", "reason": "it hangs"}


@pytest.fixture(autouse=True)
def told(monkeypatch):
    """What the workers are told, and on a rollback are not."""
    said = []
    monkeypatch.setattr(bulk, "main_app", app)
    monkeypatch.setattr(
        revoking.StockControl, "broadcast", lambda self, command, *args, **options: said.append((command, options))
    )
    return said


def state(result):
    return JobState(Job.objects.values_list("state", flat=True).get(id=result.id))


def test_a_revoked_job_never_runs(told):
    result, later = fail.delay(1), fail.apply_async((2,), countdown=60)
    result.revoke()
    app.control.revoke([later.id])
    assert (state(result), state(later)) == (JobState.CANCELLED, JobState.CANCELLED)
    make_due()
    run_open()
    run_again(result.id)
    assert RAN == []
    assert result.state == "REVOKED"
    assert [command for command, _ in told] == ["revoke", "revoke"]
    assert told[0][1]["arguments"]["task_id"] == result.id


def test_a_group_is_revoked_in_all_its_parts():
    result = group(fail.s(number) for number in range(3)).apply_async()
    result.revoke()
    run_open()
    assert RAN == []
    assert {state(part) for part in result.results} == {JobState.CANCELLED}


def test_a_revoke_belongs_to_its_transaction(told):
    result = fail.delay(1)
    with transaction.atomic():
        result.revoke()
        assert told == []
        transaction.set_rollback(True)
    assert state(result) == JobState.QUEUED
    with transaction.atomic():
        result.revoke()
    assert state(result) == JobState.CANCELLED
    assert [command for command, _ in told] == ["revoke"]


def test_a_job_that_runs_or_is_over_is_left_as_it_is(told):
    done = fail.delay(1)
    run_open()
    running = leased.delay(2)
    Job.objects.filter(id=running.id).update(state=JobState.RUNNING)
    app.control.revoke([done.id, running.id, "unknown"])
    assert (state(done), state(running)) == (JobState.SUCCEEDED, JobState.RUNNING)
    app.control.terminate([done.id, running.id])
    assert (state(done), state(running)) == (JobState.SUCCEEDED, JobState.CANCELLED)
    assert [options["arguments"]["terminate"] for _, options in told] == [False, True]


def test_a_best_effort_task_is_revoked_by_the_workers_alone(told):
    with transaction.atomic():
        app.control.revoke("no row")
        transaction.on_commit(lambda: told.append("committed"))
    assert [entry if entry == "committed" else entry[0] for entry in told] == ["revoke", "committed"]
    assert best_effort.durable is False
    assert Job.objects.count() == 0


def test_other_commands_are_celerys_own(told, django_assert_num_queries):
    with django_assert_num_queries(0):
        app.control.broadcast("pool_grow", arguments={"n": 1})
    assert told == [("pool_grow", {"arguments": {"n": 1}})]


def test_a_broker_that_is_away_matters_only_when_somebody_must_be_told(monkeypatch):
    def refuse(self, command, *args, **options):
        raise OperationalError("no broker")

    monkeypatch.setattr(revoking.StockControl, "broadcast", refuse)
    result, running = fail.delay(1), leased.delay(2)
    result.revoke()
    assert state(result) == JobState.CANCELLED
    with pytest.raises(OperationalError):
        app.control.revoke("no row")
    with pytest.raises(OperationalError):
        running.revoke(terminate=True)
    assert state(running) == JobState.CANCELLED


def test_a_leased_job_is_cancelled_while_it_runs_and_its_outcome_is_not_written(told):
    job_tasks.ERRORS.clear()
    result = leased.delay("x")
    ConcurrencySlot.objects.create(key="k", job_id=result.id)
    ended = []

    def while_it_runs(name):
        if name == "x":
            ended.append(terminate_job(task_id=result.id, **OPS))

    real = job_tasks.fail_once
    job_tasks.fail_once = lambda value: (while_it_runs(value), real(value))[1]
    try:
        run_open()
    finally:
        job_tasks.fail_once = real
    assert [(found.cancelled, found.told, found.state) for found in ended] == [(True, True, "cancelled")]
    assert (state(result), result.state) == (JobState.CANCELLED, "REVOKED")
    assert ConcurrencySlot.objects.get().job_id is None
    assert list(JobEvent.objects.order_by("id").values_list("kind", flat=True)) == ["terminated", "cancelled"]
    event = SteeringEvent.objects.get()
    assert (event.actor, event.action, event.count, event.reason) == ("ops@example.com", "terminate", 1, "it hangs")
    assert told[0][1]["arguments"]["terminate"] is True


def test_a_job_that_is_over_is_not_terminated(told):
    result = fail.delay(1)
    run_open()
    with pytest.raises(NotApplicable, match="succeeded already"):
        terminate_job(task_id=result.id, **OPS)
    assert told == []
    assert SteeringEvent.objects.count() == 0


def test_a_termination_that_nobody_hears_says_so(monkeypatch):
    def refuse(self, command, *args, **options):
        raise OperationalError("no broker")

    monkeypatch.setattr(revoking.StockControl, "broadcast", refuse)
    for module in (terminate, revoking):
        monkeypatch.setattr(module, "lock_free", lambda ids: [])  # its body holds the row
    result = fail.delay(1)
    found = terminate_job(task_id=result.id, **OPS)
    assert (found.cancelled, found.told, found.state) == (False, False, "queued")
    assert SteeringEvent.objects.get().count == 0
    assert Group.objects.count() == 0
