"""Redis priorities: 9 is the most urgent.

Stock Celery writes a message of priority N to the list `<queue>` (N = 0) or `<queue>:N` on Redis and its workers read
those lists from 0 up, so 0 runs first, while on RabbitMQ (and in this product's documents) 9 runs first. Only the
order of reading is changed here; keys and messages stay as stock writes them, so stock producers, `inspect`, `purge`
and `self.retry` agree with it. Source: kombu.transport.redis (Channel._brpop_start and Channel._get, kombu 5.7).
"""

from __future__ import annotations

from typing import Any

from kombu import transport as kombu_transports
from kombu.transport import redis as stock


class _MostUrgentFirst(list[int]):
    """The ten priorities, ascending for who computes a key and descending for who reads the lists.

    kombu looks a priority up by bisection and indexing, which needs the ascending order, and iterates over the same
    attribute whenever it visits the lists.
    """

    def __iter__(self) -> Any:
        return reversed(list(self[:]))


class _PriorityMixin:
    """Reads the lists from the most urgent down; everything else is kombu's."""

    priority_steps: list[int]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.priority_steps = _MostUrgentFirst(sorted(self.priority_steps))


class Channel(_PriorityMixin, stock.Channel):
    """kombu's Redis channel, reading priority 9 first."""


class SentinelChannel(_PriorityMixin, stock.SentinelChannel):
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
