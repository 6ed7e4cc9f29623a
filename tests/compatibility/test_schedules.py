"""Schedules: every spelling of crontab in the documents, rows made by ORM, and a real beat that fires one."""

from __future__ import annotations

import json
import subprocess
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from celery.schedules import crontab, schedule
from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask

from myproject.celery import app
from tests.servers import programs
from tests.servers.processes import ROOT, python

MONDAY = datetime(2026, 11, 23, 9, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    ("arguments", "due"),
    [
        ({}, "2026-11-23 09:11"),
        ({"minute": "*/15"}, "2026-11-23 09:15"),
        ({"minute": 30}, "2026-11-23 09:30"),
        ({"minute": 0}, "2026-11-23 10:00"),
        ({"hour": 0, "minute": 0}, "2026-11-24 00:00"),
        ({"hour": 7, "minute": 30}, "2026-11-24 07:30"),
        ({"hour": 17, "minute": 0, "day_of_week": "1-5"}, "2026-11-23 17:00"),
        ({"hour": 12, "minute": 0, "day_of_week": "mon,wed,fri"}, "2026-11-23 12:00"),
        ({"hour": 0, "minute": 0, "day_of_week": 1}, "2026-11-30 00:00"),
        ({"hour": 0, "minute": 0, "day_of_month": "1"}, "2026-12-01 00:00"),
        ({"hour": 0, "minute": 0, "day_of_month": "28-31"}, "2026-11-28 00:00"),
        ({"hour": 0, "minute": 0, "day_of_month": "1", "month_of_year": "*/3"}, "2027-01-01 00:00"),
    ],
    ids=str,
)
def test_crontab_is_due_when_the_documents_say(arguments, due):
    cron = crontab(**arguments, nowfun=lambda: MONDAY, app=app)

    assert (MONDAY + cron.remaining_estimate(MONDAY)).strftime("%Y-%m-%d %H:%M") == due


def test_a_number_is_an_interval_in_seconds():
    every = schedule(timedelta(seconds=300), nowfun=lambda: MONDAY, app=app)

    assert every.is_due(MONDAY - timedelta(seconds=299)).is_due is False
    assert every.is_due(MONDAY - timedelta(seconds=301)).is_due is True


def test_the_nightly_clean_up_is_at_two():
    entry = app.conf.beat_schedule["cleanup-sessions"]

    assert entry["task"] == "myproject.accounts.tasks.cleanup_sessions"
    assert entry["schedule"] == crontab(hour=2, minute=0)


def test_the_hourly_clean_up_is_at_the_full_hour():
    entry = app.conf.beat_schedule["cleanup-expired-sessions"]

    assert entry["task"] == "myproject.accounts.tasks.cleanup_sessions"
    assert entry["schedule"] == crontab(minute=0)


@pytest.mark.django_db
def test_schedules_can_be_made_by_orm():
    interval, _ = IntervalSchedule.objects.get_or_create(every=10, period=IntervalSchedule.SECONDS)
    cron, _ = CrontabSchedule.objects.get_or_create(
        minute="0", hour="*/4", day_of_week="*", day_of_month="*", month_of_year="*"
    )
    task = "myproject.accounts.tasks.cleanup_sessions"
    PeriodicTask.objects.create(interval=interval, name="every ten seconds", task=task, args=json.dumps([]))
    PeriodicTask.objects.create(crontab=cron, name="every four hours", task=task)

    found = {row.name: row.schedule for row in PeriodicTask.objects.filter(task=task)}
    assert found["every ten seconds"].run_every == timedelta(seconds=10)
    assert found["every four hours"].hour == {0, 4, 8, 12, 16, 20}


@pytest.mark.slow
def test_beat_fires_a_row_of_the_database(tasks, notes, worker_env, tmp_path):
    key = uuid.uuid4().hex
    env = worker_env  # beat does not know the task, so it writes a job's row: the worker must find it
    make = (
        "from django_celery_beat.models import IntervalSchedule as I, PeriodicTask as P;"
        "each = I.objects.create(every=1, period='seconds');"
        f"P.objects.create(interval=each, name='note', task='tests.compatibility.note', args='[\"fired\", \"{key}\"]')"
    )
    for arguments in (["migrate", "django_celery_beat", "-v0"], ["shell", "-v0", "-c", make]):
        subprocess.run(
            [python(), "manage.py", *arguments], env=env, cwd=ROOT, check=True, capture_output=True, timeout=90
        )

    with programs.start_beat(env=env, folder=tmp_path):
        assert notes(key, expect=2)[:2] == ["fired", "fired"]
