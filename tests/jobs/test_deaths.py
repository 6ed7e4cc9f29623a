"""Deaths are counted against the job that ran, and a job is parked on a death that somebody saw."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest
from billiard.process import current_process
from celery.app.task import Context
from celery.exceptions import WorkerLostError

from myproject.jobs import deaths, ledger, running
from myproject.jobs.holders import make_holder
from myproject.jobs.models import Job, JobEvent
from myproject.jobs.states import JobState
from tests.jobs.job_tasks import RAN, app, fail, leased, make_due, parking, run_again

pytestmark = pytest.mark.django_db(transaction=True)

#: A process of this machine that had our number and is gone.
DEAD = f"{make_holder().rpartition('/')[0]}/1"
LOST = WorkerLostError("Worker exited prematurely: signal 9 (SIGKILL)")


def request(task_id: str, *, delivery: int = 0, epoch: int = 0) -> Context:
    return Context(id=task_id, task=Job.objects.get().task, job_epoch=epoch, job_delivery=delivery, delivery_info={})


def job() -> Job:
    return Job.objects.get()


def test_a_death_that_was_seen_counts_and_the_job_comes_back():
    task_id = fail.delay(1).id
    deaths.count_seen(app, task_id, request(task_id), LOST)
    assert (job().state, job().attempts, job().epoch) == (JobState.SCHEDULED, 1, 0)
    event = JobEvent.objects.get()
    assert (event.kind, event.attempts) == ("killed", 1)
    assert event.error == "WorkerLostError: Worker exited prematurely: signal 9 (SIGKILL)"
    make_due()
    run_again(task_id)
    assert job().state == JobState.SUCCEEDED


def test_a_start_that_was_counted_is_not_counted_again_by_its_death():
    task_id = fail.delay(1).id
    assert ledger.count_start(task_id, epoch=0) == 1
    deaths.count_seen(app, task_id, request(task_id, delivery=1), LOST)
    assert job().attempts == 1


def test_the_last_death_parks_and_says_so():
    result = fail.delay(1)
    for _ in range(3):
        deaths.count_seen(app, result.id, request(result.id), LOST)
        make_due()
    assert (job().state, job().attempts) == (JobState.PARKED, 3)
    assert (job().error or "").startswith("JobKilled: 3 processes died while they ran this job; the last: WorkerLost")
    assert result.state == "FAILURE"


@pytest.mark.parametrize("state", [JobState.SUCCEEDED, JobState.CANCELLED, JobState.SCHEDULED])
def test_a_death_after_the_end_or_of_another_life_counts_nothing(state):
    task_id = fail.delay(1).id
    deaths.count_seen(app, task_id, request(task_id, epoch=4), LOST)
    Job.objects.update(state=state)
    deaths.count_seen(app, task_id, request(task_id), LOST)
    assert (job().attempts, job().state) == (0, state)
    assert not JobEvent.objects.exists()


def test_who_reached_a_receiver_without_a_key_is_parked_at_the_first_death():
    task_id = parking.delay(1).id
    ledger.claim(task_id, epoch=0, holder=DEAD, lease=10)
    deaths.count_seen(app, task_id, request(task_id), LOST)
    assert job().state == JobState.PARKED
    assert (job().error or "").startswith("OutcomeUnknown: The process died while the body ran")


def test_a_leased_job_comes_back_with_its_outcome_unknown():
    task_id = leased.delay(1).id
    ledger.claim(task_id, epoch=0, holder=DEAD, lease=10)
    deaths.count_seen(app, task_id, request(task_id), LOST)
    assert (job().state, job().holder, job().attempts) == (JobState.SCHEDULED, DEAD, 1)
    assert job().deliveries == 1  # so the next run knows that there was one before


def test_starts_alone_never_park():
    task_id = fail.delay(1).id
    for _ in range(20):
        assert ledger.count_start(task_id, epoch=0)
    assert (job().state, job().attempts) == (JobState.QUEUED, 20)


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Have a suspect's process end as RETURN says, without starting one."""
    commands: list[list[str]] = []

    def run(command: list[str], **_: Any) -> Any:
        commands.append(command)
        return SimpleNamespace(returncode=-9)

    monkeypatch.setattr(subprocess, "run", run)
    return commands


def test_a_suspect_runs_in_a_process_of_its_own_before_it_is_parked(processes):
    task_id = fail.delay(1).id
    Job.objects.update(attempts=3)
    run_again(task_id, delivery=4)
    assert RAN == []
    assert processes == [[sys.executable, "-m", "myproject.jobs.alone", "myproject", task_id, "0"]]
    assert (job().state, job().attempts) == (JobState.PARKED, 4)


def test_a_child_of_a_pool_is_alone_already(processes, monkeypatch):
    monkeypatch.setattr(current_process(), "_name", "ForkPoolWorker-1")
    assert running.is_alone()
    task_id = fail.delay(1).id
    Job.objects.update(attempts=3)
    run_again(task_id, delivery=4)
    assert processes == []
    assert job().state == JobState.SUCCEEDED


def test_a_suspect_that_ends_well_was_a_bystander(monkeypatch):
    task_id = fail.delay(1).id
    Job.objects.update(attempts=3)

    def run(command: list[str], **_: Any) -> Any:
        monkeypatch.setenv("JOBS_ALONE", "1")  # what the child would see
        run_again(task_id)
        return SimpleNamespace(returncode=0)

    monkeypatch.setattr(subprocess, "run", run)
    run_again(task_id, delivery=4)
    assert RAN == [1]
    assert job().state == JobState.SUCCEEDED
