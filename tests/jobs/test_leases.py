"""Leases are renewed while a body runs, and the thread that renews them goes when it has nothing to do."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import OperationalError
from django.utils import timezone

from myproject.jobs import leases, ledger
from myproject.jobs.models import ConcurrencySlot, Job
from myproject.jobs.states import JobState
from tests.jobs.job_tasks import RAN, leased, make_due, parking, run_open


@pytest.fixture(autouse=True)
def keeper(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A keeper of this test's own, whose thread has ended when the test has."""
    monkeypatch.setattr(leases, "IDLE", 0.05)
    monkeypatch.setattr(leases, "_keeper", leases._Keeper())
    yield leases._keeper
    wait_for(lambda: leases._keeper.thread is None)


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


@pytest.fixture
def renewals(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    found: list[tuple[str, int]] = []
    monkeypatch.setattr(ledger, "extend", lambda task_id, *, token, lease: found.append((task_id, token)) or True)  # type: ignore[func-returns-value]
    return found


def test_every_lease_is_renewed_while_its_block_runs(renewals, keeper):
    with leases.kept("a", token=1, lease=0.03, key=None), leases.kept("b", token=7, lease=0.03, key=None):
        wait_for(lambda: renewals.count(("a", 1)) > 2 and renewals.count(("b", 7)) > 2)
    assert keeper.leases == {}


def test_a_lease_that_was_lost_is_not_asked_for_again(monkeypatch, keeper):
    asked = []
    monkeypatch.setattr(ledger, "extend", lambda task_id, **_: asked.append(task_id) is not None)
    with leases.kept("a", token=1, lease=0.03, key=None):
        wait_for(lambda: not keeper.leases)
    assert asked == ["a"]


def test_trouble_of_the_database_does_not_end_the_renewals(monkeypatch):
    asked = []

    def extend(task_id: str, **_: Any) -> bool:
        asked.append(task_id)
        if len(asked) < 3:
            raise OperationalError(2013, "Lost connection")
        return True

    monkeypatch.setattr(ledger, "extend", extend)
    with leases.kept("a", token=1, lease=0.03, key=None):
        wait_for(lambda: len(asked) > 4)


def no_thread(*_: Any) -> None:
    raise RuntimeError("can't start new thread")


@pytest.mark.parametrize("task", [leased, parking], ids=["resend", "park"])
@pytest.mark.django_db(transaction=True)
def test_a_job_whose_lease_no_thread_can_keep_does_not_begin_and_is_put_back(task, keeper):
    task.delay(1)
    with pytest.MonkeyPatch.context() as scarce:
        scarce.setattr(threading.Thread, "start", no_thread)
        run_open()

    job = Job.objects.get()
    assert (RAN, job.state, job.attempts, job.holder) == ([], JobState.SCHEDULED, 0, None)
    assert (keeper.leases, keeper.thread) == ({}, None)
    make_due()
    run_open()
    assert RAN == [1]
    assert Job.objects.get().state == JobState.SUCCEEDED


def test_a_thread_that_ended_by_accident_is_followed_by_another(renewals, keeper):
    keeper.thread = threading.Thread()  # as one that died: it will never run
    with leases.kept("a", token=1, lease=0.03, key=None):
        wait_for(lambda: ("a", 1) in renewals)


@pytest.mark.mariadb
@pytest.mark.django_db(transaction=True)
def test_a_lease_and_its_slot_outlive_their_first_end():
    task_id = leased.delay(1).id
    assert ledger.claim(task_id, epoch=0, holder="me", lease=0.3) == 1
    ConcurrencySlot.objects.create(key="k", job_id=task_id, until=timezone.now())
    first = Job.objects.get().due_at
    with leases.kept(task_id, token=1, lease=0.3, key="k"):
        wait_for(lambda: (Job.objects.get().due_at - first).total_seconds() > 0.5)
        slot = ConcurrencySlot.objects.get().until
        assert slot is not None
        assert slot > first
    assert Job.objects.get().state == JobState.RUNNING
