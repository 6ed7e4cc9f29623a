"""What a courier publishes, and what it leaves alone, on a real Redis."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial

import pytest
from celery import Celery
from django.db import connection, transaction
from django.utils import timezone

from myproject.jobs import controls
from myproject.jobs.controls import Hold, Holds
from myproject.jobs.models import Job
from myproject.jobs.relay import courier as couriers
from myproject.jobs.relay import decisions, rows
from myproject.jobs.relay.courier import Courier
from myproject.jobs.statements import marks
from myproject.jobs.states import JobState
from tests.jobs.relay.conftest import TASK, Eager, Lists, count
from tests.orders.threads import in_threads

pytestmark = pytest.mark.django_db(transaction=True)

Add = Callable[..., list[str]]


def test_a_row_that_is_due_is_published_once_with_its_life(courier: Eager, add: Add, lists: Lists) -> None:
    ids = add(3, state=JobState.SCHEDULED, epoch=4)
    later = add(1, state=JobState.SCHEDULED, due=60, prefix="later")
    courier.rounds()
    courier.rounds()
    assert lists.ids() == ids
    assert {(found["job_epoch"], found["job_delivery"]) for found in lists.messages()} == {(4, 0)}
    assert set(Job.objects.filter(id__in=ids).values_list("state", "deliveries")) == {(JobState.QUEUED, 0)}
    assert Job.objects.get(id=later[0]).state == JobState.SCHEDULED
    assert (courier.published, courier.republished) == (3, 0)


def test_a_row_whose_message_is_lost_is_published_again(courier: Eager, add: Add, lists: Lists) -> None:
    ids = add(2)
    fresh = add(1, due=4, prefix="fresh")
    courier.rounds()
    assert lists.ids() == ids
    assert {found["job_delivery"] for found in lists.messages()} == {1}
    now = rows.database_time()
    for job in Job.objects.filter(id__in=ids):
        assert (job.state, job.deliveries) == (JobState.QUEUED, 1)
        assert job.due_at.timestamp() == pytest.approx(now + decisions.LOST_AGAIN, abs=2)
    assert Job.objects.get(id=fresh[0]).deliveries == 0
    assert (courier.published, courier.republished) == (0, 2)


def test_a_backlog_is_not_published_again(courier: Eager, add: Add, lists: Lists) -> None:
    """The messages of 300 jobs wait for long; then the first half is taken, and a job in front of the rest is lost."""
    add(300, state=JobState.SCHEDULED)
    courier.rounds()
    assert lists.length() == 300
    make_old(lists, seconds=600)
    Job.objects.update(due_at=datetime.fromtimestamp(time.time() - 595, UTC))
    courier.rounds()
    assert lists.length() == 300
    assert courier.republished == 0
    lost = add(1, due=-601, prefix="lost")
    courier.rounds()
    assert lists.ids()[300:] == lost
    assert courier.republished == 1


def test_a_host_whose_clock_is_ahead_does_not_take_its_backlog_for_lost(
    courier: Eager, add: Add, lists: Lists, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Messages carry the host's time, here an hour ahead of the database's."""
    add(20, state=JobState.SCHEDULED)
    courier.rounds()
    make_old(lists, seconds=10 - 3600)
    Job.objects.update(due_at=datetime.fromtimestamp(time.time() - 5, UTC))
    monkeypatch.setattr(couriers, "time", Ahead(3600))
    courier.rounds()
    assert courier.republished == 0
    assert lists.length() == 20


class Ahead:
    """A clock that is ahead."""

    monotonic = staticmethod(time.monotonic)

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def time(self) -> float:
        return time.time() + self.seconds


def test_lateness_is_that_of_the_first_row_that_may_run(courier: Eager, add: Add) -> None:
    add(3, state=JobState.SCHEDULED, due=-100, queue="paused", prefix="p")
    add(3, state=JobState.SCHEDULED, due=-40)
    queue = Hold(controls.ControlKind.QUEUE, "paused", controls.ControlAction.PAUSE)
    controls.assume(Holds(queues={"paused": queue}), seconds=60)
    courier.round()
    assert courier.report()["lag"] == pytest.approx(40, abs=20)
    courier.round()
    assert courier.report()["lag"] == 0


def make_old(lists: Lists, *, seconds: float, queue: str = "q") -> None:
    """Have the messages of a list look as if they had been published that long ago."""
    name = lists.name(queue)
    messages = lists.client.lrange(name, 0, -1)
    lists.client.delete(name)
    for message in reversed(messages):
        found = json.loads(message)
        found["headers"]["job_at"] -= int(seconds * 1000)
        lists.client.lpush(name, json.dumps(found))


def test_no_list_is_filled_beyond_the_window(celery_app: Celery, add: Add, lists: Lists) -> None:
    courier = Eager(celery_app, window=300)
    add(1_000, due=-30)
    courier.rounds()
    # Up to the window, and once a trickle beyond it.
    assert 300 <= lists.length() <= 300 + decisions.LOST_TRICKLE[0]
    before = lists.length()
    lists.take(200)
    courier.rounds()
    assert 300 <= lists.length() <= before + decisions.LOST_TRICKLE[0]
    assert count(deliveries=0) + count(deliveries=1) == 1_000


def test_rows_that_are_due_get_their_share_of_a_full_list(celery_app: Celery, add: Add, lists: Lists) -> None:
    courier = Eager(celery_app, window=100)
    add(300, due=-30)
    courier.rounds()
    full = lists.length()
    ids = add(20, state=JobState.SCHEDULED, prefix="due")
    courier.rounds()
    assert [name for name in lists.ids()[full:] if name in ids] == ids


def test_a_huge_queue_does_not_hold_up_another(courier: Eager, add: Add, lists: Lists) -> None:
    add(2_000, due=-60)
    add(5, queue="small", prefix="s")
    add(5, queue="q", priority=3, prefix="urgent")
    courier.round()
    assert (lists.length("small"), lists.length("q", 3), lists.length()) == (5, 5, courier.batch)


def test_what_is_held_stays_where_it_is(courier: Eager, add: Add, lists: Lists, celery_app: Celery) -> None:
    add(5, queue="paused", prefix="p")
    add(5, queue="paused", state=JobState.SCHEDULED, prefix="ps")
    add(300, task="held.task", due=-5, prefix="h")
    add(300, task="held.task", due=-5, state=JobState.SCHEDULED, prefix="hs")
    ids = add(3, state=JobState.SCHEDULED)
    queue = Hold(controls.ControlKind.QUEUE, "paused", controls.ControlAction.PAUSE)
    task = Hold(controls.ControlKind.TASK, "held.task", controls.ControlAction.KILL)
    controls.assume(Holds(queues={"paused": queue}, tasks={"held.task": task}), seconds=60)
    courier.rounds()
    assert lists.ids() == ids
    assert lists.length("paused") == 0
    controls.assume(Holds(), seconds=60)
    courier.rounds()
    assert lists.length("paused") == 10
    assert lists.length() == 603


@pytest.mark.mariadb  # SQLite in memory refuses a second writer; two processes do the same in test_process.py
def test_two_relays_publish_each_row_once(celery_app: Celery, add: Add, lists: Lists) -> None:
    couriers = [Eager(celery_app), Eager(celery_app)]
    ids = add(1_000, due=-30) + add(500, state=JobState.SCHEDULED, prefix="s")

    def work(courier: Eager) -> None:
        deadline = time.monotonic() + 60
        while count(due_at__lte=timezone.now()) and time.monotonic() < deadline:
            courier.round()

    assert in_threads(*(partial(work, courier) for courier in couriers)) == []
    assert sorted(lists.ids()) == sorted(ids)
    assert set(Job.objects.filter(state=JobState.QUEUED, id__startswith="j").values_list("deliveries", flat=True)) == {
        1
    }


@pytest.mark.mariadb
def test_rows_that_bodies_have_locked_are_passed_over(courier: Eager, add: Add, lists: Lists) -> None:
    busy = add(courier.batch + 10, due=-60, prefix="busy")
    ids = add(2, due=-30)
    done: list[str] = []

    def hold_and_work() -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"SELECT id FROM {rows.by_key()} WHERE id IN ({marks(busy)}) FOR UPDATE", busy)
            assert in_threads(courier.rounds) == []
            assert in_threads(lambda: done.extend(lists.ids())) == []

    assert in_threads(hold_and_work) == []
    assert done == ids
    courier.rounds()
    assert sorted(lists.ids()) == sorted(ids + busy)


def test_rows_of_another_app_are_left_to_its_courier(courier: Eager, add: Add, lists: Lists) -> None:
    add(1, app="another", due=-9, prefix="a")
    ids = add(1)
    courier.app.amqp.queues.add("q")  # type: ignore[arg-type]
    courier.rounds()
    assert lists.ids() == ids


def test_the_next_round_waits_for_what_is_due_next(courier: Courier, add: Add) -> None:
    assert courier.round() == pytest.approx(0.5)
    add(1, state=JobState.SCHEDULED, due=600, prefix="far")
    assert courier.round() == pytest.approx(0.2)
    add(1, state=JobState.SCHEDULED, due=0.1, prefix="near")
    assert 0 < courier.round() < 0.11


def test_large_bodies_go_in_several_pipelines(courier: Eager, add: Add, lists: Lists) -> None:
    """And a batch of them has fewer rows than others."""
    ids = add(80, body='[["' + "x" * 250_000 + '"],{},{}]', state=JobState.SCHEDULED)
    courier.batch = 10
    courier.round()
    courier.batch = 500
    courier.round()
    assert lists.length() == 10 + 63
    courier.rounds()
    assert lists.ids() == ids
    assert lists.messages()[0]["task"] == TASK


def test_a_full_list_is_not_asked_about_all_the_time(celery_app: Celery, add: Add, lists: Lists) -> None:
    courier = Courier(celery_app, window=100)
    add(500, state=JobState.SCHEDULED, due=-30)
    while not (pause := courier.round()):
        assert lists.length() <= 500
    assert pause > 0.05
    assert lists.length() < 500
    Job.objects.all().delete()
    time.sleep(0.3)  # every lane may be tried again, and there is none
    courier.round()
    assert courier.round() > 0.05


def test_a_row_that_cannot_be_sent_holds_up_no_other(courier: Eager, add: Add, lists: Lists) -> None:
    add(1, state=JobState.SCHEDULED, due=-9, prefix="broken", headers="no JSON")
    ids = add(3, state=JobState.SCHEDULED)
    courier.rounds()
    assert lists.ids() == ids
    assert courier.report()["unsendable"] == 1
    assert courier.outage is None
