"""A chord stays as long as any job may need it, however long that takes, and then it goes."""

from __future__ import annotations

from datetime import timedelta

import pytest
from celery import chain, chord, group
from django.db.models import F

from myproject.jobs import chord_pruning, chords, prune
from myproject.jobs.actions.retry import retry_job
from myproject.jobs.models import Chord, ChordPart, Job, JobEvent
from myproject.jobs.states import CLOSED, JobState
from tests.jobs.workflow_tasks import PREFIX

pytestmark = pytest.mark.django_db(transaction=True)

#: Days after which everything goes that nobody needs.
LONG = chord_pruning.BROKEN_GRACE / 86_400 + 10


def days_pass(days: float = LONG) -> None:
    """Let everything become older, but for the times at which open jobs are due, and prune."""
    ago = timedelta(days=days)
    Job.objects.filter(state__in=CLOSED).update(due_at=F("due_at") - ago)
    Chord.objects.update(created_at=F("created_at") - ago)
    prune.prune()


def run_where(shop, **wanted):
    for task_id in Job.objects.filter(**wanted).values_list("id", flat=True):
        shop.run(task_id)


def assert_nothing_is_left() -> None:
    days_pass()
    assert not Job.objects.exists()
    assert not Chord.objects.exists()
    assert not ChordPart.objects.exists()
    assert not JobEvent.objects.exists()


def test_a_body_that_is_a_group_finds_its_results_after_months(tasks, shop, monkeypatch):
    monkeypatch.setattr(chords, "CARRIED_RESULTS", 10)
    body = group(tasks.gather.s(), tasks.gather.s(), tasks.gather.s())
    chord([tasks.add.s(1, 1), tasks.add.s(2, 2)], body).delay()
    run_where(shop, task=PREFIX + "add")
    first, *others = shop.open_ids()
    assert len(others) == 2

    days_pass()
    shop.run(first)
    days_pass()
    shop.drain()

    assert tasks.notes == [[2, 4]] * 3
    assert_nothing_is_left()


def test_a_body_that_is_a_chain_finds_its_results_after_months(tasks, shop, monkeypatch):
    monkeypatch.setattr(chords, "CARRIED_RESULTS", 10)
    chord([tasks.add.s(1, 1), tasks.add.s(2, 2)], chain(tasks.total.s(), tasks.note.s())).delay()
    run_where(shop, task=PREFIX + "add")

    days_pass()
    shop.drain()

    assert tasks.notes == [6]
    assert_nothing_is_left()


@pytest.mark.parametrize("form", [list, iter], ids=["list", "generator"])
@pytest.mark.parametrize("where", ["outside", "in a job"])
def test_a_chord_waits_for_a_part_whose_first_steps_are_long_gone(tasks, shop, app, where, form):
    steps = chain(tasks.add.s(1, 1), tasks.add.s(10), tasks.add.s(100))

    @app.task(name=PREFIX + "calls", shared=False)
    def calls():
        chord(form([steps, tasks.add.s(2, 2)]), tasks.gather.s()).delay()

    if where == "in a job":
        shop.run(calls.delay().id)
    else:
        calls.run()
    first = Job.objects.get(body__startswith="[[1,1]")
    run_where(shop, body__startswith="[[2,2]")
    shop.run(first.id)
    days_pass()
    assert not Job.objects.filter(id=first.id).exists()
    [second] = shop.open_ids()
    shop.run(second)
    days_pass()
    shop.drain()

    assert tasks.notes == [[112, 4]]
    assert_nothing_is_left()


def test_a_step_that_is_retried_after_months_still_sends_the_body(tasks, shop, app):
    steps = chain(tasks.add.s(1, 1), tasks.switched.s(), tasks.add.s(10))
    result = chord([steps, tasks.add.s(2, 2)], tasks.gather.s()).delay()
    shop.drain()
    assert result.state == "FAILURE"
    days_pass()
    parked = Job.objects.get()  # nothing else is left
    assert parked.state == JobState.PARKED

    tasks.switch["fails"] = False
    retry_job(task_id=parked.id, actor="tester")
    days_pass()
    shop.drain()

    assert tasks.notes == [[12, 4]]
    assert_nothing_is_left()


def test_a_workflow_that_never_ends_leaves_its_old_chords_behind(tasks, shop, app):
    @app.task(name=PREFIX + "tick", shared=False)
    def tick():
        chord([tasks.add.s(1, 1)], tasks.gather.s()).delay()
        tick.apply_async(countdown=86_400)

    shop.run(tick.delay().id)
    run_where(shop, task=PREFIX + "add")
    run_where(shop, task=PREFIX + "gather")
    days_pass(3)
    assert Job.objects.get().task == PREFIX + "tick"
    assert not Chord.objects.exists()
    assert not ChordPart.objects.exists()
