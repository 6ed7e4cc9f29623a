"""What waits in a broker, and whether it can be used: Redis shows its oldest message, others count."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any, Protocol

import redis
from celery import Celery
from kombu.exceptions import OperationalError

from myproject.jobs.ledger import LOST_AFTER
from myproject.jobs.publishing import breaker, publisher, waiting
from myproject.jobs.relay import marks
from myproject.jobs.relay.decisions import LOST_AGAIN, PATIENCE, Waiting

#: What a broker that cannot be used raises, by way of kombu or of its client library.
DOWN = (OperationalError, redis.RedisError, OSError)

Lists = Collection[tuple[str, int]]


class Broker(Protocol):
    """One app's broker. Every method may raise one of DOWN."""

    #: SQL: seconds until a message that is published for the first time, or once more, counts as lost.
    first: str
    again: str

    def check(self) -> float | None:
        """Make sure that it takes messages; return when it last lost its data, None when that is not known."""

    def waiting(self, lists: Lists) -> Mapping[tuple[str, int], Waiting]:
        """Return what waits for each queue and priority."""

    def close(self) -> None:
        """Let go of what is this object's own."""


class RedisBroker:
    """Redis and what speaks like it."""

    first, again = f"{LOST_AFTER:g}", f"{LOST_AGAIN:g}"

    def __init__(self, app: Celery) -> None:
        self.app = app

    def check(self) -> float | None:
        """Write the mark: a broker that refuses writes is as good as down."""
        lost_at = marks.check(self.app)
        breaker(self.app).succeed()
        return lost_at

    def waiting(self, lists: Lists) -> Mapping[tuple[str, int], Waiting]:
        """Ask for all lists in one round trip."""
        return {pair: Waiting(*found) for pair, found in waiting(self.app, list(lists)).items()} if lists else {}

    def close(self) -> None:
        """Nothing: the connection is the publisher's."""


class CountingBroker:
    """Any other broker of kombu: it says how many messages wait in a queue, not since when."""

    first = f"{LOST_AFTER:g}"
    #: 1, 2, 4 ... 64 minutes: a backlog that lasts is not made longer every minute.
    again = f"{PATIENCE:g} * (1 << CASE WHEN deliveries > 6 THEN 6 ELSE deliveries END)"

    def __init__(self, app: Celery) -> None:
        self.app = app
        self._connection: Any = None

    def _ask(self, question: Callable[[Any], Any]) -> Any:
        try:
            if self._connection is None:
                self._connection = self.app.connection_for_write(connect_timeout=1.0)
                self._connection.ensure_connection(max_retries=0, timeout=1.0)
            return question(self._connection)
        except BaseException:
            self.close()
            raise

    def check(self) -> float | None:
        """Connect when there is no connection. Nothing is known of losses: a durable queue survives a restart."""
        self._ask(lambda connection: None)
        breaker(self.app).succeed()
        return None

    def waiting(self, lists: Lists) -> Mapping[tuple[str, int], Waiting]:
        """Ask for the count of each queue; its priorities share it."""
        counts = {queue: self._ask(partial(_count, queue)) for queue in {queue for queue, _ in lists}}
        return {pair: Waiting(counts[pair[0]]) for pair in lists}

    def close(self) -> None:
        """Let the connection go."""
        if self._connection is not None:
            self._connection.release()
            self._connection = None


def _count(queue: str, connection: Any) -> int:
    """Return how many messages wait in a queue; one that nobody declared yet has none."""
    with connection.channel() as channel:  # RabbitMQ closes the channel of a refused declaration
        try:
            return int(channel.queue_declare(queue, passive=True).message_count)
        except connection.channel_errors:
            return 0


def broker_of(app: Celery) -> Broker:
    """Return the broker of an app."""
    return RedisBroker(app) if publisher(app).is_redis else CountingBroker(app)
