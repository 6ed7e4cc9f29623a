"""A lease that ended, and a holder that is dead: the task's policy decides, and the old holder writes nothing."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest
from django.db import connection, transaction

from myproject.jobs import ledger
from myproject.jobs.holders import make_holder
from myproject.jobs.models import Job, JobEvent
from myproject.jobs.relay.leases import PAGE, expire
from myproject.jobs.states import JobState
from tests.jobs import job_tasks
from tests.jobs.relay.conftest import count
from tests.orders.threads import in_threads

pytestmark = pytest.mark.django_db(transaction=True)

Add = Callable[..., list[str]]
APPS = {"myproject": job_tasks.app}
ELSEWHERE = "another-host:1/another-boot/1/1"


@pytest.fixture
def dead() -> str:
    """The holder of a process that ended."""
    code = "from myproject.jobs.holders import make_holder; print(make_holder())"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def running(add: Add) -> Add:
    def insert(count: int = 1, *, due: float = -0.1, task: str = "t.leased", **columns: object) -> list[str]:
        columns = {"holder": ELSEWHERE, "token": 3, "app": "myproject", **columns}
        return add(count, due=due, task=task, state=JobState.RUNNING, **columns)

    return insert


def test_a_job_whose_lease_ended_is_due_now_and_knows_of_its_earlier_run(running: Add) -> None:
    [over] = running(epoch=2)
    [kept] = running(due=60, prefix="kept")
    assert expire(APPS) == 1
    job = Job.objects.get(id=over)
    assert (job.state, job.deliveries, job.holder, job.token, job.epoch) == (JobState.SCHEDULED, 1, ELSEWHERE, 3, 2)
    assert Job.objects.get(id=kept).state == JobState.RUNNING
    event = JobEvent.objects.get()
    assert (event.job_id, event.kind, event.epoch, event.worker) == (over, "expired_lease", 2, ELSEWHERE)
    assert expire(APPS) == 0


def test_the_old_holder_can_neither_close_nor_renew(running: Add) -> None:
    [over] = running()
    expire(APPS)
    assert ledger.release(over, token=3, retention=60) is False
    assert ledger.extend(over, token=3, lease=60) is False


def test_a_task_without_a_key_at_the_receiver_is_parked(running: Add) -> None:
    [over] = running(task="t.parking")
    assert expire(APPS) == 1
    job = Job.objects.get(id=over)
    assert job.state == JobState.PARKED
    assert job.error is not None
    assert "OutcomeUnknown" in job.error
    assert job_tasks.app.AsyncResult(over).state == "FAILURE"
    assert "expired_lease" in JobEvent.objects.values_list("kind", flat=True)


def test_a_job_of_a_dead_process_need_not_wait_for_its_lease(running: Add, dead: str) -> None:
    ids = running(3, due=60, holder=dead)
    alive = running(1, due=60, prefix="alive", holder=make_holder())
    assert expire(APPS) == 3
    assert count(id__in=ids, state=JobState.SCHEDULED) == 3
    assert count(id__in=alive, state=JobState.RUNNING) == 1


def test_a_dead_child_is_left_to_its_pool_for_a_while(running: Add, dead: str) -> None:
    """The main process counts the death; when it does not, the job comes back some seconds after its lease."""
    namespace_and_boot = "/".join(make_holder().split("/")[2:4])
    of_a_pool = f"{dead}/{namespace_and_boot}"
    running(1, due=-1, holder=of_a_pool)
    long_ago = running(1, due=-60, holder=of_a_pool, prefix="long")
    assert expire(APPS) == 1
    assert count(id__in=long_ago, state=JobState.SCHEDULED) == 1


def test_a_task_that_the_relay_does_not_know_is_not_decided_about(running: Add) -> None:
    unknown = running(task="another.release")
    known = running(prefix="known")
    assert expire(APPS) == 1
    assert count(id__in=known, state=JobState.SCHEDULED) == 1
    assert count(id__in=unknown, state=JobState.RUNNING) == 1
    assert JobEvent.objects.get().job_id == known[0]


def test_many_running_jobs_are_read_page_by_page(running: Add, dead: str) -> None:
    running(PAGE + 20, due=60)
    running(5, due=61, holder=dead, prefix="z")
    assert expire(APPS) == 5


@pytest.mark.mariadb
def test_a_job_that_is_being_closed_is_left_alone(running: Add) -> None:
    [over] = running()

    def close() -> None:
        with transaction.atomic():
            assert ledger.release(over, token=3, retention=60)
            assert in_threads(lambda: done.append(expire(APPS))) == []

    done: list[int] = []
    assert in_threads(close) == []
    assert done == [0]
    assert Job.objects.get(id=over).state == JobState.SUCCEEDED
    assert connection.vendor == "mysql"
