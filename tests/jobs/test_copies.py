"""A copy of a message that comes while the job runs: it gives its place in the pool back, and the job runs once."""

from __future__ import annotations

import threading
import time

import pytest
from django.db import connections

from myproject.jobs.models import Job
from myproject.jobs.states import JobState
from tests.jobs import job_tasks
from tests.jobs.job_tasks import RAN, fail, run_again

pytestmark = [pytest.mark.mariadb, pytest.mark.django_db(transaction=True)]

#: Seconds: less than the lock wait of a session (10 s) on a slow machine, more than that of a copy (1 s).
SOON = 8.0


@pytest.mark.parametrize("delivery", [0, 1], ids=["first message", "sent again"])
def test_a_copy_waits_a_moment_and_not_for_the_end_of_the_body(monkeypatch, delivery):
    begun, let_go = threading.Event(), threading.Event()

    def body(value: str) -> None:
        RAN.append(value)
        begun.set()
        assert let_go.wait(60)

    def first() -> None:
        try:
            run_again(task_id)
        finally:
            connections.close_all()

    monkeypatch.setattr(job_tasks, "fail_once", body)
    task_id = fail.delay("once").id
    running = threading.Thread(target=first)
    running.start()
    try:
        assert begun.wait(60)
        since = time.monotonic()
        run_again(task_id, delivery=delivery)
        assert time.monotonic() - since < SOON
        assert Job.objects.get().state == JobState.QUEUED
    finally:
        let_go.set()
        running.join()
    assert RAN == ["once"]
    assert Job.objects.get().state == JobState.SUCCEEDED
