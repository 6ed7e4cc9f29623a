"""A broker that goes away while a worker has messages in its hands costs that worker neither places nor its life."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from kombu import Connection, Consumer, Exchange, Producer, Queue

from myproject.jobs.transport import install
from tests.servers.processes import Process, frozen
from tests.servers.redis import start_redis

QUEUE = Queue("held", Exchange("held"), "held")
#: Seconds after which a client gives up on a silent broker.
PATIENCE = 0.3

pytestmark = pytest.mark.server


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Process]:
    """A server of the test's own, to freeze and to kill; `url` is added to it."""
    process, url = start_redis(tmp_path / "redis")
    process.url = url  # type: ignore[attr-defined]
    yield process
    process.kill()


@pytest.fixture
def connection(redis: Any) -> Iterator[Connection]:
    """A worker's connection, by the platform's transport."""
    install()
    connection = Connection(redis.url, transport_options={"socket_timeout": PATIENCE, "socket_connect_timeout": 5})
    yield connection
    with suppress(*connection.connection_errors, *connection.channel_errors):
        connection.release()


def take(connection: Connection, *, messages: int) -> list[Any]:
    """Publish so many messages and take them, as many as a worker with so many processes holds at once."""
    channel: Any = connection.default_channel
    channel.basic_qos(0, messages, False)
    taken: list[Any] = []
    consumer = Consumer(channel, [QUEUE], on_message=taken.append)
    producer = Producer(channel)
    for number in range(messages):
        producer.publish({"number": number}, exchange=QUEUE.exchange, routing_key="held", declare=[QUEUE])
    consumer.consume()
    while len(taken) < messages:
        connection.drain_events(timeout=30)
    assert not channel.qos.can_consume()
    return taken


@pytest.mark.parametrize("answer", ["ack", "reject", "requeue"])
def test_an_answer_that_does_not_arrive_gives_its_place_back(
    redis: Process, connection: Connection, answer: str
) -> None:
    # Given a worker that holds as many messages as it may
    taken = take(connection, messages=2)
    channel: Any = connection.default_channel
    # When the broker is silent while it acknowledges them, and its connections stay open
    with frozen(redis.pid):
        for message in taken:
            with pytest.raises(connection.connection_errors):
                getattr(message, answer)()
    # Then it may take others: nothing else would ever tell it to
    assert channel.qos.can_consume()
    assert channel.qos.can_consume_max_estimate() == 2


@pytest.mark.parametrize("answer", ["ack", "reject", "requeue"])
def test_an_answer_after_its_connection_was_closed_is_an_error_of_the_connection(
    connection: Connection, answer: str
) -> None:
    # Given a body that ran while the worker got a new connection
    [message] = take(connection, messages=1)
    connection.close()
    # Then its answer fails as Celery expects it to, which is in the log; any other error would end the worker
    with pytest.raises(connection.connection_errors, match="closed"):
        getattr(message, answer)()


def test_a_message_whose_answer_was_lost_stays_with_the_broker(redis: Process, connection: Connection) -> None:
    [message] = take(connection, messages=1)
    with frozen(redis.pid), pytest.raises(connection.connection_errors):
        message.reject(requeue=True)
    # Then the broker gives it to somebody else when its time is over, as that of a worker that died
    channel: Any = connection.default_channel
    assert channel.client.hlen("unacked") == 1


def test_a_worker_outlives_a_broker_that_dies_while_it_holds_messages(redis: Process, connection: Connection) -> None:
    # Given what a worker has: a message in its hands, a place for another, and a queue of its own for remote control
    take(connection, messages=1)
    channel: Any = connection.default_channel
    control: Any = connection.channel()
    channel.basic_qos(0, 2, False)
    own = Queue("worker.pidbox", Exchange("pidbox", type="fanout"), auto_delete=True)
    Consumer(control, [own], on_message=print).consume()
    while not (channel._in_poll and control._in_listen):  # it asks for the next message, and listens
        with suppress(TimeoutError):
            connection.drain_events(timeout=0.1)
    # When the broker is gone, Celery lets go of the connection in two steps, and expects errors of the broker only
    redis.kill()
    expected = (*connection.connection_errors, *connection.channel_errors)
    with suppress(*expected):
        connection.collect(socket_timeout=1)
    # Then neither ends the worker
    with suppress(*expected):
        connection.close()
    assert channel.closed
