"""Redis: 9 is the most urgent priority, and a broker that goes away costs a worker no places and not its life.

Stock Celery writes a message of priority N to the list `<queue>` (N = 0) or `<queue>:N` on Redis and its workers read
those lists from 0 up, so 0 runs first, while on RabbitMQ (and in this product's documents) 9 runs first. Only the
order of reading is changed here; keys and messages stay as stock writes them, so stock producers, `inspect`, `purge`
and `self.retry` agree with it. Source: kombu.transport.redis (Channel._brpop_start and Channel._get, kombu 5.7).

A worker takes as many messages as it has places, and a place is free again when its message is acknowledged. Stock
frees it only when the broker has said so: each answer that is lost while the connections stay (a broker that is silent
for longer than `socket_timeout`) takes a place away for good, and with the last one the worker runs nothing while it
says that it is ready. And a worker that has lost its connection tries to hand messages back by that connection, and to
acknowledge by it what ran meanwhile: the AttributeError of a closed channel ends the worker. Source: QoS.ack,
Channel.close and Channel.conn_or_acquire.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kombu import transport as kombu_transports
from kombu.transport import redis as stock
from kombu.transport.virtual import QoS as QoSInMemory


class _MostUrgentFirst(list[int]):
    """The ten priorities, ascending for who computes a key and descending for who reads the lists.

    kombu looks a priority up by bisection and indexing, which needs the ascending order, and iterates over the same
    attribute whenever it visits the lists.
    """

    def __iter__(self) -> Any:
        return reversed(list(self[:]))


#: The types that are about for kombu know less of it than there is.
_StockQoS: Any = stock.QoS


class HeldMessages(_StockQoS):
    """kombu's record of the messages that a worker holds, which frees a place also when the broker does not hear of it.

    What the broker was not told of stays with it, and is delivered again when VISIBILITY_TIMEOUT is over, as are the
    messages of a worker that died: a durable job's copy then finds its row closed.
    """

    def ack(self, delivery_tag: Any) -> None:
        """Acknowledge a message. Raises what the connection raises; the place is free."""
        with self._freeing(delivery_tag):
            super().ack(delivery_tag)

    def reject(self, delivery_tag: Any, requeue: bool = False) -> None:
        """Reject a message. Raises what the connection raises; the place is free."""
        with self._freeing(delivery_tag):
            super().reject(delivery_tag, requeue=requeue)

    @contextmanager
    def _freeing(self, delivery_tag: Any) -> Iterator[None]:
        try:
            if self._is_given_up():
                raise ConnectionError("The connection that brought the message is closed.")
            yield
        except self.channel.connection_errors:
            QoSInMemory.ack(self, delivery_tag)
            raise

    def restore_unacked(self, client: Any = None) -> None:
        """Hand back what is held, unless the connection was given up: then nobody knows where to."""
        if self._is_given_up():
            self._delivered.clear()
        else:
            super().restore_unacked(client)

    def _is_given_up(self) -> bool:
        return self.channel.connection is None or self.channel.connection.client is None


class _PlatformMixin:
    """Reads the lists from the most urgent down, and frees places as above; everything else is kombu's."""

    QoS: Any = HeldMessages
    priority_steps: list[int]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.priority_steps = _MostUrgentFirst(sorted(self.priority_steps))


class Channel(_PlatformMixin, stock.Channel):
    """kombu's Redis channel, reading priority 9 first."""


class SentinelChannel(_PlatformMixin, stock.SentinelChannel):
    """kombu's Sentinel channel, reading priority 9 first."""


class Transport(stock.Transport):
    """kombu's Redis transport with the channel above."""

    Channel = Channel


class SentinelTransport(stock.SentinelTransport):
    """kombu's Sentinel transport with the channel above."""

    Channel = SentinelChannel


def install() -> None:
    """Make `redis://`, `rediss://` and `sentinel://` broker URLs use the transports of this module, in this process.

    The names stand in kombu's own alias table, so that TLS, failover lists and Sentinel keep their meaning.
    """
    kombu_transports.TRANSPORT_ALIASES.update(
        redis=f"{__name__}:Transport", rediss=f"{__name__}:Transport", sentinel=f"{__name__}:SentinelTransport"
    )
