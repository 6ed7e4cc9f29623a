"""What is asked of a broker, and how soon one that is away is given up."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
from celery import Celery
from kombu import Queue

from myproject.celery import PlatformCelery
from myproject.jobs.models import Job
from myproject.jobs.relay.brokers import DOWN, CountingBroker, RedisBroker, broker_of
from myproject.jobs.relay.decisions import Waiting
from myproject.jobs.relay.rows import database_time
from myproject.jobs.states import JobState
from tests.jobs.relay.conftest import TASK, Eager

pytestmark = pytest.mark.django_db(transaction=True)

Add = Callable[..., list[str]]


@pytest.fixture
def cut_off() -> Celery:
    """An app whose broker is away."""
    app = Celery("nobody", set_as_current=False)
    app.conf.update(broker_read_url="redis://127.0.0.1:1/0", broker_write_url="redis://127.0.0.1:1/0")
    return app


def test_a_broker_that_is_away_is_given_up_at_once(cut_off: Celery) -> None:
    """By itself kombu tries for six seconds."""
    broker = broker_of(cut_off)
    assert isinstance(broker, RedisBroker)
    started = time.monotonic()
    with pytest.raises(DOWN):
        broker.check()
    assert time.monotonic() - started < 5


def test_the_courier_outlives_it_and_tells(cut_off: Celery) -> None:
    courier = Eager(cut_off)
    with pytest.raises(DOWN) as caught:
        courier.round()
    pauses = [courier._trouble(caught.value) for _ in range(8)]
    assert pauses == sorted(pauses)
    assert pauses[-1] == 1.0
    assert courier.report()["outage"] == caught.type.__name__


@pytest.fixture
def counted(request: pytest.FixtureRequest) -> Iterator[Celery]:
    """An app on a broker that only counts: kombu's in memory."""
    app = PlatformCelery("relayed", set_as_current=False)
    url = f"memory://{request.node.name}"
    app.conf.update(broker_read_url=url, broker_write_url=url, task_queues=[Queue("q"), Queue("empty")])

    @app.task(name=TASK, shared=False)
    def task() -> None:
        """Do nothing."""

    yield app
    with app.connection_for_write() as connection:
        for queue in app.amqp.queues.values():
            queue(connection.default_channel).purge()
    app.close()


def test_where_messages_are_only_counted_an_empty_queue_has_lost_its_own(counted: Celery, add: Add) -> None:
    broker = broker_of(counted)
    assert isinstance(broker, CountingBroker)
    courier = Eager(counted)
    ids = add(3)
    courier.rounds()
    assert broker.waiting({("q", 0), ("empty", 0), ("unknown", 0)}) == {
        ("q", 0): Waiting(3),
        ("empty", 0): Waiting(0),
        ("unknown", 0): Waiting(0),
    }
    more = add(2, prefix="more")
    courier.rounds()  # something waits: what is overdue by a little may be among it
    assert broker.waiting({("q", 0)})["q", 0] == Waiting(3)
    assert set(Job.objects.filter(id__in=more).values_list("deliveries", flat=True)) == {0}
    late = add(2, prefix="late", due=-100)
    courier.rounds()
    assert set(Job.objects.filter(id__in=late).values_list("deliveries", flat=True)) == {1}
    due = {job.due_at.timestamp() - database_time() for job in Job.objects.filter(id__in=ids)}
    assert min(due) == pytest.approx(60, abs=20)


def test_a_backlog_there_is_published_again_ever_more_rarely(counted: Celery, add: Add) -> None:
    courier = Eager(counted)
    [job_id] = add(1, deliveries=3)
    courier.rounds()
    job = Job.objects.get(id=job_id)
    assert (job.state, job.deliveries) == (JobState.QUEUED, 4)
    assert job.due_at.timestamp() - database_time() == pytest.approx(60 * 8, abs=20)
