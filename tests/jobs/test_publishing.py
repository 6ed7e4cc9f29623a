"""Messages as stock Celery writes them, a broker that fails, and who waits for it."""

from __future__ import annotations

import json
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from celery import Celery, signals
from django.db import transaction

from myproject.celery import PlatformCelery
from myproject.jobs import on_commit, publishing
from myproject.jobs.models import Job
from myproject.jobs.publishing import BrokerUnavailable, Hint, publish, publisher, waiting
from tests.servers.fixtures import RedisServer

pytestmark = pytest.mark.django_db(transaction=True)


def make_app(url: str) -> Celery:
    app = PlatformCelery("myproject", set_as_current=False, broker=url)
    app.conf.update(
        task_default_queue="shop", result_backend="cache+memory://",
        broker_transport_options={"priority_steps": list(range(10)), "socket_timeout": 5},
    )  # fmt: skip

    @app.task(shared=False, name="p.add", time_limit=30)
    def add(x: int, y: int) -> int:
        return x + y

    return app


def hint(number: int, **changes: Any) -> Hint:
    values = {"id": f"job-{number}", "task": "p.add", "queue": "shop", "priority": 5, "epoch": 2, "delivery": 1}
    return Hint(**{**values, "body": json.dumps([[number, 1], {}, {}]), **changes})


@pytest.fixture
def broker(redis_server: RedisServer) -> str:
    return redis_server.fresh_url()


def received(app: Celery, queue: str = "shop") -> Any:
    with app.connection_for_read() as connection, connection.channel() as channel:
        return app.amqp.queues[queue](channel).get(no_ack=True)


def test_a_message_is_what_kombu_reads_and_carries_the_life_of_its_job(broker):
    app = make_app(broker)
    publish(app, [hint(7, headers='{"retries": 3, "reason": "x"}', root_id="root", parent_id="parent", group_id="g")])

    message = received(app)
    assert message.decode() == [[7, 1], {}, {}]
    assert message.properties["correlation_id"] == "job-7"
    assert message.properties["priority"] == 5
    assert message.delivery_info["routing_key"] == "shop"
    headers = message.headers
    assert (headers["task"], headers["id"], headers["retries"], headers["reason"]) == ("p.add", "job-7", 3, "x")
    assert (headers["root_id"], headers["parent_id"], headers["group"]) == ("root", "parent", "g")
    assert (headers["job_epoch"], headers["job_delivery"], headers["timelimit"]) == (2, 1, [30, None])
    assert abs(headers["job_at"] / 1000 - time.time()) < 60


def test_many_messages_are_one_round_trip_and_keep_their_order(broker, monkeypatch):
    app = make_app(broker)
    publish(app, [hint(0)])
    trips = []
    real = publishing.Publisher._exchange
    monkeypatch.setattr(publishing.Publisher, "_exchange", lambda *args: trips.append(1) or real(*args))
    publish(app, [hint(number, queue="shop" if number % 2 else "desk") for number in range(1, 101)])

    assert trips == [1]
    assert waiting(app, [("shop", 5), ("desk", 5)])["desk", 5][0] == 50
    assert [received(app).headers["id"] for _ in range(3)] == ["job-0", "job-1", "job-3"]


def test_what_waits_tells_how_long_the_oldest_has_waited(broker):
    app = make_app(broker)
    assert waiting(app, [("shop", 5)]) == {("shop", 5): (0, None)}
    publish(app, [hint(1), hint(2)])
    count, oldest = waiting(app, [("shop", 5)])["shop", 5]
    assert count == 2
    assert oldest is not None
    assert abs(oldest - time.time()) < 60
    redis.Redis.from_url(broker).rpush(publisher(app).list_name("shop", 5), "not a message{")
    assert waiting(app, [("shop", 5)])["shop", 5] == (3, None)


def test_priorities_have_lists_of_their_own(broker):
    app = make_app(broker)
    publish(app, [hint(1, priority=9), hint(2, priority=0)])
    assert publisher(app).list_name("shop", 0) == "shop"
    assert waiting(app, [("shop", 9), ("shop", 0)])["shop", 9][0] == 1


def test_a_connection_that_went_stale_is_replaced(broker):
    app = make_app(broker)
    publish(app, [hint(1)])
    redis.Redis.from_url(broker).execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    publish(app, [hint(2)])
    assert waiting(app, [("shop", 5)])["shop", 5][0] == 2


def test_receivers_of_celerys_signals_are_called(broker):
    app = make_app(broker)
    seen = []

    def receiver(sender: Any = None, headers: Any = None, **_: Any) -> None:
        seen.append((sender, headers["id"]))

    signals.before_task_publish.connect(receiver)
    try:
        publish(app, [hint(1)])
    finally:
        signals.before_task_publish.disconnect(receiver)
    assert seen == [("p.add", "job-1")]
    assert received(app).headers["id"] == "job-1"


def test_options_of_publishing_are_kept(broker):
    app = make_app(broker)
    publish(app, [hint(1, options='{"compression": "zlib"}')])
    message = received(app)
    assert message.headers["compression"] == "application/x-gzip"
    assert message.decode() == [[1, 1], {}, {}]


# --- a broker that fails


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_dead_broker_reaches_no_caller_and_costs_one_try():
    app = make_app("redis://127.0.0.1:1/0")
    add = app.tasks["p.add"]
    results = [add.delay(1, number) for number in range(20)]
    assert Job.objects.count() == 20
    assert len({result.id for result in results}) == 20
    assert publisher(app).breaker.is_open
    assert publisher(app).breaker.failures < 20
    with pytest.raises(BrokerUnavailable, match="failed a moment ago"):
        publish(app, [hint(1)])


def test_the_breaker_closes_when_the_broker_answers(broker):
    app = make_app(broker)
    publisher(app).breaker.fail()
    with pytest.raises(BrokerUnavailable):
        publish(app, [hint(1)])
    publisher(app).breaker.closed_at = 0.0
    publish(app, [hint(1)])
    assert (publisher(app).breaker.failures, publisher(app).breaker.is_open) == (0, False)


def test_a_broker_that_never_answers_is_given_up(silent_port, monkeypatch):
    monkeypatch.setattr(publishing, "ANSWER_TIMEOUT", 0.2)
    app = make_app(f"redis://127.0.0.1:{silent_port}/0")
    app.conf.broker_transport_options = {"socket_timeout": 0.2, "socket_connect_timeout": 0.2}
    with pytest.raises(BrokerUnavailable):
        publish(app, [hint(1)])


# --- sending without waiting for the answer


def send(app: Celery, *numbers: int) -> None:
    for number in numbers:
        publish(app, [hint(number)], wait=False)


def wait_for_answer(app: Celery) -> None:
    """Wait until Redis has answered what this thread sent, without reading the answer."""
    select.select([publisher(app)._local.connection._sock], [], [], 30)


def test_messages_sent_without_waiting_arrive_in_order_and_beside_others(broker):
    app = make_app(broker)
    publish(app, [hint(1)])
    send(app, 2, 3)
    publish(app, [hint(4)])
    send(app, 5)
    assert waiting(app, [("shop", 5)])[("shop", 5)][0] == 5
    assert [received(app).headers["id"] for _ in range(5)] == [f"job-{number}" for number in range(1, 6)]


def test_a_connection_that_the_broker_closed_is_replaced_before_the_next_message_is_sent(broker):
    app = make_app(broker)
    send(app, 1)
    with redis.Redis.from_url(broker) as admin:
        admin.client_kill_filter(_id=publisher(app).commands(("CLIENT", "ID"))[0])
    wait_for_answer(app)  # the end of the connection
    send(app, 2)
    assert waiting(app, [("shop", 5)])[("shop", 5)][0] == 2
    assert publisher(app).breaker.failures == 0


def test_a_refusal_is_noticed_by_the_next_call_that_looks(broker):
    app = make_app(broker)
    send(app, 1)
    with redis.Redis.from_url(broker) as admin:
        admin.delete(publisher(app).list_name("shop", 5))
        admin.set(publisher(app).list_name("shop", 5), "not a list")
    publisher(app).commands(("PING",))
    send(app, 2)
    wait_for_answer(app)
    publisher(app)._local.since = time.monotonic()
    send(app, 3)  # at once: it does not look
    publisher(app)._local.since -= 2 * publishing.SETTLE
    with pytest.raises(BrokerUnavailable, match="ResponseError"):
        send(app, 4)
    assert publisher(app).breaker.is_open


def test_a_broker_that_hangs_delays_no_caller_and_is_given_up(silent_port, monkeypatch):
    app = make_app(f"redis://127.0.0.1:{silent_port}/0")
    monkeypatch.setattr(publishing.Publisher, "connect", lambda self: connect_without_greeting(silent_port))
    publisher(app)._lists["shop", 5] = "shop"
    send(app, 1, 2, 3)
    assert publisher(app)._local.owed == 3
    publisher(app)._local.since -= publishing.ANSWER_TIMEOUT + 1
    with pytest.raises(BrokerUnavailable, match="TimeoutError"):
        send(app, 4)
    assert publisher(app).breaker.is_open


def connect_without_greeting(port: int) -> redis.Connection:
    """Return a connection to what takes connections and says nothing, as a Redis that hangs later would."""
    connection = redis.Connection(host="127.0.0.1", port=port, socket_timeout=5)
    connection.on_connect_check_health = lambda *_, **__: connection._parser.on_connect(connection)  # type: ignore[method-assign]
    connection.on_connect = connection.on_connect_check_health  # type: ignore[method-assign]
    return connection


# --- on commit


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What is published together, instead of publishing."""
    found: list[list[str]] = []
    monkeypatch.setattr(on_commit, "publish", lambda app, hints, **_: found.append([hint.id for hint in hints]))
    return found


class Rollback(Exception):
    """Ends a block."""


def test_the_jobs_of_a_transaction_are_published_together_and_those_of_a_savepoint_apart(published):
    add = make_app("memory://").tasks["p.add"]
    with transaction.atomic():
        first, second = add.delay(1, 1), add.delay(1, 2)
        with pytest.raises(Rollback), transaction.atomic():
            add.delay(1, 3)
            raise Rollback
        with transaction.atomic():
            third = add.delay(1, 4)
        assert published == []
    assert [job for batch in published for job in batch] == [first.id, second.id, third.id]
    assert published[0] == [first.id, second.id]


def test_a_broken_publisher_reaches_no_caller(monkeypatch):
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("a mistake")

    monkeypatch.setattr(on_commit, "publish", fail)
    make_app("memory://").tasks["p.add"].delay(1, 1)
    assert Job.objects.count() == 1


@pytest.fixture
def in_thread(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    monkeypatch.setattr(on_commit, "_in_thread", True)
    monkeypatch.setattr(on_commit, "_thread", None)
    return on_commit.flush


def test_a_thread_publishes_and_is_flushed(published, in_thread):
    add = make_app("memory://").tasks["p.add"]
    results = [add.delay(1, number) for number in range(50)]
    in_thread()
    assert [job for batch in published for job in batch] == [result.id for result in results]


def test_a_full_buffer_is_left_to_the_relay_and_delays_nobody(monkeypatch, in_thread):
    gate = threading.Event()
    monkeypatch.setattr(on_commit, "BUFFER", 2)
    monkeypatch.setattr(on_commit, "publish", lambda *_, **__: gate.wait(60))
    add = make_app("memory://").tasks["p.add"]
    for number in range(20):
        add.delay(1, number)
    gate.set()
    assert Job.objects.count() == 20
