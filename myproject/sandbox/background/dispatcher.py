"""The threads that settle refunds and deliver webhooks inside the serving process.

Everything that is to happen is a row with a due time, so a restart loses nothing: what was being delivered when the
process died is delivered again, as the provider promises "at least once" and no more.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable

from django.db import DatabaseError, connection
from django.utils import timezone

from ..actions.refunds import settle_due_refunds
from ..actions.webhooks import finish_attempt
from ..configuration import configuration
from ..models import Webhook
from ..queries.waiting import get_next_settlement, list_next_webhooks
from .delivery import Postman
from .wakeup import await_bell, wake_background

logger = logging.getLogger(__name__)

LONGEST_SLEEP = 60.0  # seconds; only against a clock that was set back: due rows are otherwise slept for exactly
PAUSE = 0.02  # seconds between two looks at the database, so that one look serves a burst of requests
QUEUED_PER_THREAD = 4  # webhooks read ahead for each delivering thread
RECOVERY = 1.0  # seconds to wait after a database error, before looking again


class Dispatcher:
    """One thread that looks for what is due, and a few that deliver."""

    def __init__(self, *, threads: int) -> None:
        self._stopping = threading.Event()
        self._in_flight: set[int] = set()
        self._backlog = False
        self._queue: queue.SimpleQueue[Webhook | None] = queue.SimpleQueue()
        self._most_in_flight = threads * QUEUED_PER_THREAD
        self.threads = [self._make_thread("sandbox-due", self._look)]
        self.threads += [self._make_thread(f"sandbox-deliver-{number}", self._deliver) for number in range(threads)]

    def start(self) -> None:
        """Start all threads."""
        for thread in self.threads:
            thread.start()

    def stop(self, *, timeout: float) -> None:
        """Let each thread finish what it is doing, at most `timeout` seconds each."""
        self._stopping.set()
        wake_background()
        for _ in self.threads[1:]:
            self._queue.put(None)
        for thread in self.threads:
            thread.join(timeout)

    @staticmethod
    def _make_thread(name: str, target: Callable[[], None]) -> threading.Thread:
        return threading.Thread(target=target, name=name, daemon=True)

    def _look(self) -> None:
        while not self._stopping.is_set():
            try:
                wait = self._hand_out()
            except DatabaseError:
                logger.exception("looking for due work failed; trying again")
                wait = RECOVERY
            await_bell(timeout=wait)
            self._stopping.wait(PAUSE)
        connection.close()

    def _hand_out(self) -> float:
        """Settle and queue what is due; return how long nothing will be."""
        now = timezone.now()
        settlement = get_next_settlement()
        if settlement is not None and settlement <= now:
            settle_due_refunds(now=now)
            settlement = get_next_settlement()
        # Copied before reading: a delivery that ends between the two is then still left out, and not sent twice.
        in_flight = set(self._in_flight)
        room = self._most_in_flight - len(in_flight)
        times = [] if settlement is None else [settlement]
        webhooks = list_next_webhooks(limit=room, leave_out=in_flight) if room > 0 else []
        for webhook in webhooks:
            if webhook.due_at > now:
                times.append(webhook.due_at)
                break
            self._in_flight.add(webhook.pk)
            self._queue.put(webhook)
        else:
            # There was no room for what may still be due: the next delivery that ends rings the bell. One may have
            # ended before it could know that, so look once more if there is room by now.
            self._backlog = len(webhooks) >= room
            if self._backlog and len(self._in_flight) < self._most_in_flight:
                return 0.0
        wait = (min(times) - now).total_seconds() if times else LONGEST_SLEEP
        return min(LONGEST_SLEEP, max(0.0, wait))

    def _deliver(self) -> None:
        config = configuration()
        postman = Postman(
            url=config.webhook_url,
            user=config.webhook_user,
            password=config.webhook_password,
            timeout=config.webhook_timeout,
        )
        while (webhook := self._queue.get()) is not None and not self._stopping.is_set():
            delivered = False
            try:
                attempt = postman.post(webhook.payload)
                finish_attempt(webhook=webhook, answer=attempt.answer, delivered=attempt.delivered, now=timezone.now())
                delivered = attempt.delivered
            except DatabaseError:
                logger.exception("webhook %s: the attempt could not be written down; it is sent again", webhook)
                self._stopping.wait(RECOVERY)
            finally:
                self._in_flight.discard(webhook.pk)
                if self._backlog or not delivered:
                    wake_background()  # there is room again, or this one is due again
        postman.close()
        connection.close()


_dispatchers: list[Dispatcher] = []


def start_dispatcher() -> Dispatcher:
    """Start the background of this process."""
    dispatcher = Dispatcher(threads=configuration().webhook_threads)
    _dispatchers.append(dispatcher)
    dispatcher.start()
    return dispatcher


def count_living_threads() -> tuple[int, int]:
    """Return how many background threads live, and how many should (one at least, before any was started)."""
    threads = [thread for dispatcher in _dispatchers for thread in dispatcher.threads]
    return sum(thread.is_alive() for thread in threads), max(1, len(threads))
