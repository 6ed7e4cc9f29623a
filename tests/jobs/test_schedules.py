"""The settings sow the schedule once; what operators change is theirs."""

from __future__ import annotations

import pytest
from celery.schedules import crontab
from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask

from myproject.celery import app
from myproject.jobs.schedules import SeedingDatabaseScheduler

# Beat drops its connection when it starts, which within the transaction of a test would end the test's own.
pytestmark = pytest.mark.django_db(transaction=True)

SEEDS = {
    "sweep": {
        "task": "orders.tasks.sweep_stuck_orders",
        "schedule": 60.0,
        "options": {"expire_seconds": 55},
    },
    "verify": {"task": "search.tasks.verify_index", "schedule": crontab(minute=40)},
}


@pytest.fixture
def start(monkeypatch):
    """Start a scheduler as beat does and return what it would run, by name."""

    def start(seeds):
        monkeypatch.setitem(app.conf, "beat_schedule", dict(seeds))
        scheduler = SeedingDatabaseScheduler(app=app, lazy=False)
        scheduler._finalize.cancel()  # nothing is written when the test ends
        return scheduler.schedule

    return start


def test_beat_uses_this_scheduler():
    assert app.conf.beat_scheduler == "myproject.jobs.schedules:SeedingDatabaseScheduler"


def test_the_first_start_makes_every_entry(start):
    entries = start(SEEDS)

    rows = PeriodicTask.objects.in_bulk(field_name="name")
    assert set(rows) == {"sweep", "verify", "celery.backend_cleanup"}
    assert (rows["sweep"].interval.every, rows["sweep"].expire_seconds) == (60, 55)
    assert rows["verify"].crontab.minute == "40"
    assert set(entries) >= {"sweep"}


def test_what_an_operator_changed_survives_the_next_start(start):
    start(SEEDS)
    hourly = IntervalSchedule.objects.create(every=1, period="hours")
    PeriodicTask.objects.filter(name="sweep").update(interval=hourly, expire_seconds=7, queue="reports", args="[1]")
    PeriodicTask.objects.filter(name="verify").update(enabled=False)

    entries = start(SEEDS)

    sweep = PeriodicTask.objects.get(name="sweep")
    assert (sweep.interval, sweep.expire_seconds, sweep.queue, sweep.args) == (hourly, 7, "reports", "[1]")
    assert entries["sweep"].schedule.run_every.total_seconds() == 3600
    assert not PeriodicTask.objects.get(name="verify").enabled
    assert "verify" not in entries


def test_an_entry_may_be_given_another_kind_of_schedule(start):
    start(SEEDS)
    nightly = CrontabSchedule.objects.create(minute="0", hour="2")
    PeriodicTask.objects.filter(name="sweep").update(interval=None, crontab=nightly)

    start(SEEDS)

    sweep = PeriodicTask.objects.get(name="sweep")
    assert (sweep.interval, sweep.crontab) == (None, nightly)


def test_celerys_own_clean_up_is_the_operators_too(start):
    start(SEEDS)
    PeriodicTask.objects.filter(name="celery.backend_cleanup").update(enabled=False, expire_seconds=1)
    start(SEEDS)
    row = PeriodicTask.objects.get(name="celery.backend_cleanup")
    assert (row.enabled, row.expire_seconds) == (False, 1)


def test_a_new_entry_of_the_settings_appears_and_one_that_left_them_stays(start):
    start(SEEDS)
    entries = start({"sweep": SEEDS["sweep"], "new": {"task": "catalog.tasks.verify_stock", "schedule": 300.0}})
    assert PeriodicTask.objects.get(name="new").interval.every == 300
    assert PeriodicTask.objects.filter(name="verify").exists()
    assert "new" in entries


def test_a_start_makes_no_rows_that_nobody_uses(start):
    start(SEEDS)
    PeriodicTask.objects.filter(name="sweep").update(interval=IntervalSchedule.objects.create(every=1, period="hours"))
    IntervalSchedule.objects.filter(every=60).delete()
    start(SEEDS)
    assert not IntervalSchedule.objects.filter(every=60).exists()
