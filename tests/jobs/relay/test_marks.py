"""A broker that lost its data is noticed by its mark, and everything open goes out again, each job once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest
from celery import Celery
from django.utils import timezone

from myproject.jobs.models import BrokerMark, Job
from myproject.jobs.relay import decisions, marks, rows
from myproject.jobs.states import JobState
from tests.jobs.relay.conftest import Eager, Lists, count
from tests.orders.threads import in_threads

pytestmark = pytest.mark.django_db(transaction=True)

Add = Callable[..., list[str]]


def key(app: Celery, lists: Lists) -> str:
    return lists.name(marks.KEY)


def test_the_first_look_is_no_loss(celery_app: Celery) -> None:
    assert marks.check(celery_app) is None
    assert marks.check(celery_app) is None
    mark = BrokerMark.objects.get(app="relayed")
    assert (mark.count, mark.lost_at) == (2, None)
    assert len(mark.mark) == 32


def test_a_flush_is_a_loss_and_is_noticed_once(celery_app: Celery, lists: Lists) -> None:
    marks.check(celery_app)
    lists.flush()
    lost_at = marks.check(celery_app)
    assert lost_at == pytest.approx(rows.database_time(), abs=20)
    assert marks.check(celery_app) == lost_at
    assert marks.check(celery_app) == lost_at


def test_a_broker_that_went_back_in_time_is_a_loss(celery_app: Celery, lists: Lists) -> None:
    for _ in range(5):
        marks.check(celery_app)
    lists.client.hset(key(celery_app, lists), "count", 3)
    lost_at = marks.check(celery_app)
    assert lost_at is not None
    assert marks.check(celery_app) == lost_at


def test_another_brokers_mark_is_a_loss(celery_app: Celery, lists: Lists) -> None:
    marks.check(celery_app)
    lists.client.hset(key(celery_app, lists), "mark", "of another broker")
    lost_at = marks.check(celery_app)
    assert lost_at is not None
    assert BrokerMark.objects.get(app="relayed").mark == "of another broker"
    assert marks.check(celery_app) == lost_at


@pytest.mark.mariadb  # SQLite in memory refuses a second writer
def test_many_relays_agree(celery_app: Celery, lists: Lists) -> None:
    marks.check(celery_app)
    seen: set[float | None] = set()
    flushed = threading.Barrier(4)

    def look() -> None:
        for _ in range(20):
            seen.add(marks.check(celery_app))
        if flushed.wait(20) == 0:
            lists.flush()
        flushed.wait(20)
        for _ in range(20):
            seen.add(marks.check(celery_app))

    assert in_threads(look, look, look, look) == []
    assert len(seen - {None}) == 1


def test_after_a_flush_everything_open_goes_out_at_once(courier: Eager, add: Add, lists: Lists) -> None:
    """5,000 jobs of every age: published just now, some seconds ago, again by a relay; most are not due yet."""
    courier.window = 100_000
    courier.rounds()
    old = add(2_000, due=-20, prefix="a") + add(1_000, due=4.5, prefix="b")
    old += add(2_000, due=9, deliveries=1, prefix="c")
    closed = add(10, due=100, state=JobState.SUCCEEDED, prefix="d")
    lists.flush()
    courier.rounds()
    assert sorted(lists.ids()) == sorted(old)
    fresh = add(5, due=5, prefix="e")
    courier.rounds()
    assert lists.length() == 5_000
    assert count(id__in=closed, state=JobState.SUCCEEDED) == 10
    assert set(Job.objects.filter(id__in=fresh).values_list("deliveries", flat=True)) == {0}
    assert Job.objects.filter(id__in=old, due_at__lte=timezone.now()).count() == 0


def test_what_was_published_between_the_flush_and_its_discovery_is_not_lost(
    courier: Eager, add: Add, lists: Lists
) -> None:
    """But for what was being published at the moment of the oldest message: of that nobody can tell."""
    courier.rounds()
    lost = add(5, due=4, prefix="lost")
    lists.flush()
    for prefix in ("first", "second"):
        add(3, state=JobState.SCHEDULED, prefix=prefix)
        courier._next_check = float("inf")
        courier._next_look.clear()
        super(Eager, courier).round()  # publishes before it looks at the mark again
        time.sleep(0.02)  # another millisecond
    assert lists.length() == 6
    courier.rounds()
    assert set(lost) <= set(lists.ids()[6:])
    assert not any(name.startswith("second") for name in lists.ids()[6:])


def test_the_window_holds_after_a_flush_too(celery_app: Celery, add: Add, lists: Lists) -> None:
    courier = Eager(celery_app, window=100)
    courier.rounds()
    ids = add(500, due=4)
    lists.flush()
    seen: list[str] = []
    for _ in range(40):
        courier.rounds()
        assert lists.length() <= 100 + decisions.LOST_TRICKLE[0]
        seen += lists.ids()[:50]
        lists.take(50)
    assert sorted(seen) == sorted(ids)


def test_a_restart_that_lost_nothing_republishes_nothing(courier: Eager, add: Add, lists: Lists) -> None:
    """The mark and its count came back with the messages."""
    add(50, state=JobState.SCHEDULED)
    courier.rounds()
    dumped = lists.client.dump(lists.name("q")), lists.client.dump(lists.name(marks.KEY))
    lists.flush()
    lists.client.restore(lists.name("q"), 0, dumped[0])  # type: ignore[arg-type]
    lists.client.restore(lists.name(marks.KEY), 0, dumped[1])  # type: ignore[arg-type]
    courier.rounds()
    assert courier.republished == 0
    assert lists.length() == 50
