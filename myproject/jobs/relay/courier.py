"""Publishing for one Celery app, round by round: what is due, and what seems lost.

A round serves every lane (app, queue, priority) that has something to publish with one small batch, so a queue of a
million rows holds up no other. The rows' new times are committed before their messages are sent: a crash in between
costs a few seconds and no job. Nothing that a database or a broker does ends the thread.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Mapping
from typing import Any

import structlog
from celery import Celery
from django.db import DEFAULT_DB_ALIAS, connections, transaction

from myproject.jobs.aliases import resolve
from myproject.jobs.controls import Holds, holds
from myproject.jobs.failpoints import hit
from myproject.jobs.ledger import LOST_AFTER, Row
from myproject.jobs.publishing import hint_of, publish
from myproject.jobs.relay import rows
from myproject.jobs.relay.brokers import DOWN, broker_of
from myproject.jobs.relay.decisions import (
    LOST_AGAIN,
    LOST_TRICKLE,
    SCHEDULED_TRICKLE,
    WINDOW,
    Tap,
    Waiting,
    flushed_until,
    lost_until,
)
from myproject.jobs.relay.marks import TICK
from myproject.jobs.relay.rows import Due, Head, Lane
from myproject.jobs.states import JobState

logger = structlog.get_logger(__name__)

#: Rows of one transaction. 100 messages already give the whole gain of one LPUSH, but each transaction waits for the
#: disk: 500 gave 1.3 to 2.2 times the rows a second of 200, and lock their rows for some 20 ms.
BATCH = 500
#: Bytes of bodies in one transaction, about: a batch of large jobs has fewer rows, by what the lane had before.
BATCH_BYTES = 16_000_000
#: How many batches that others have locked are passed over in one round: bodies that run lock their rows.
PAGES = 5
#: Seconds between two looks at the table's heads. Rows that become due are what people wait for.
LOOK_SCHEDULED = 0.2
LOOK_QUEUED = 0.5
#: Seconds that a lane is left alone in which nothing could be published: its first rows are locked or held.
COOL = 0.5
#: Seconds until the next round: when something is scheduled, when nothing is, and the shortest.
POLL, IDLE, SHORTEST = 0.2, 0.5, 0.01
#: Seconds after trouble, doubling up to the last.
BACK_OFF = (0.1, 0.2, 0.4, 0.8, 1.0)
#: Bytes of bodies in one pipeline, so that 200 of the largest are not all encoded at a time.
PIPELINE = 4_000_000


class Courier:
    """Publishes the rows of one app. `run` is the body of a thread; `round` is one pass, for tests and benchmarks."""

    def __init__(self, app: Celery, *, window: int = WINDOW, batch: int = BATCH) -> None:
        self.app, self.window, self.batch = app, window, batch
        self.wake = threading.Event()
        self.stopping = False
        self.published = self.republished = self.unsendable = 0
        self.lag = 0.0
        self.outage: str | None = None
        self.lost_at: float | None = None
        self._broker = broker_of(app)
        self._ahead = 0.0  # seconds by which this host's clock is ahead of the database's
        self._failures = 0
        self._next_check = 0.0
        self._heads: dict[JobState, list[Head]] = {}
        self._next_look: dict[JobState, float] = {}
        self._cool: dict[tuple[JobState, Lane], float] = {}
        self._taps: dict[tuple[JobState, Lane], Tap] = {}
        self._body: dict[Lane, float] = {}  # bytes of a body there, on average

    # --- the thread

    def run(self) -> None:
        """Work until `stop`."""
        while not self.stopping:
            try:
                pause = self.round()
            except Exception as error:
                pause = self._trouble(error)
            if pause:
                self.wake.wait(pause)
                self.wake.clear()
        self._broker.close()
        connections.close_all()

    def stop(self) -> None:
        """End after the present round."""
        self.stopping = True
        self.wake.set()

    def report(self) -> dict[str, Any]:
        """Return what this courier did and how it is."""
        return {
            "published": self.published,
            "republished": self.republished,
            "unsendable": self.unsendable,
            "lag": round(self.lag, 3),
            "outage": self.outage,
            "lost_at": None if self.lost_at is None else rows.stamp(self.lost_at),
        }

    def _trouble(self, error: Exception) -> float:
        """Note an error, let broken connections go, and return how long to wait."""
        name = type(error).__name__
        if self.outage != name:
            logger.warning("the relay cannot publish for now", app=self.app.main, error=name, exc_info=True)
        self.outage = name
        self._next_check = 0.0
        connection = connections[DEFAULT_DB_ALIAS]
        if not isinstance(error, DOWN) and not connection.in_atomic_block:
            connection.close()
        pause = BACK_OFF[min(self._failures, len(BACK_OFF) - 1)]
        self._failures += 1
        return pause

    # --- one round

    def round(self) -> float:
        """Serve every lane once; return how many seconds nothing is to be done. Raises what servers raise."""
        clock = time.monotonic()
        if clock >= self._next_check:
            lost_at = self._broker.check()
            if lost_at != self.lost_at:  # what was left alone for a while may be lost now
                self._cool.clear()
                self._next_look.clear()
            self.lost_at = lost_at
            self._next_check = clock + TICK
        now = rows.database_time()
        self._ahead = time.time() - now
        held = holds()
        work = [
            (state, head)
            for state in (JobState.SCHEDULED, JobState.QUEUED)
            for head in self._look(state, clock=clock)
            if self._has_work(state, head, now=now, clock=clock, held=held)
        ]
        self.lag = self._lateness(now=now, held=held)
        busy = self._serve(work, now=now, held=held) if work else False
        self._recover()
        if busy:
            return 0.0
        return self._pause(now=now)

    def _recover(self) -> None:
        if self.outage:
            logger.info("the relay publishes again", app=self.app.main)
        self.outage, self._failures = None, 0

    def _look(self, state: JobState, *, clock: float) -> list[Head]:
        if clock >= self._next_look.get(state, 0.0):
            self._heads[state] = [head for head in rows.heads(state) if self._is_mine(head)]
            self._next_look[state] = clock + (LOOK_SCHEDULED if state == JobState.SCHEDULED else LOOK_QUEUED)
        return self._heads[state]

    def _is_mine(self, head: Head) -> bool:
        """Tell whether rows of this app may stand in that range; its first row may be another app's."""
        return head.app == self.app.main or head.queue in self.app.amqp.queues

    def _has_work(self, state: JobState, head: Head, *, now: float, clock: float, held: Holds) -> bool:
        if head.queue in held.queues or self._cool.get((state, self._lane(head)), 0.0) > clock:
            return False
        recently_lost = self.lost_at is not None and state == JobState.QUEUED
        return head.due_at <= now or (recently_lost and head.due_at <= (self.lost_at or 0.0) + LOST_AGAIN)

    def _lane(self, head: Head) -> Lane:
        return Lane(self.app.main, head.queue, head.priority)

    def _serve(self, work: list[tuple[JobState, Head]], *, now: float, held: Holds) -> bool:
        """Publish one batch of each lane; tell whether there may be more at once."""
        waiting = self._waiting(work)
        without = [name for name in self.app.tasks if resolve(name) in held.tasks] if held.tasks else []
        without += [name for name in held.tasks if name not in without]
        busy = False
        random.shuffle(work)  # two relays begin with different lanes, and none is always the last
        for state, head in work:
            if self.stopping:
                return False
            lane, pair = self._lane(head), (head.queue, head.priority)
            due = self._due(state, now=now, waiting=waiting[pair], without=without)
            if head.due_at > due.latest:  # a backlog, not a loss
                self._cool[state, lane] = time.monotonic() + COOL
                continue
            limit = min(self._allowance(state, lane, waiting[pair]), self._batch_of(lane))
            count = self._publish_lane(lane, state, due, limit=limit) if limit else 0
            if not count:
                self._cool[state, lane] = time.monotonic() + (COOL if limit else POLL)
            busy = busy or (count > 0 and count == limit)
            if count:
                length, oldest = waiting[pair]
                waiting[pair] = Waiting(length + count, oldest if length else now)
        if not busy:  # otherwise the lanes are as full as before
            self._next_look[JobState.SCHEDULED] = 0.0
        return busy

    def _waiting(self, work: list[tuple[JobState, Head]]) -> dict[tuple[str, int], Waiting]:
        """Ask the broker; messages carry this kind of host's time, rows the database's."""
        found = self._broker.waiting({(head.queue, head.priority) for _, head in work})
        return {
            pair: Waiting(length, None if oldest is None else oldest - self._ahead)
            for pair, (length, oldest) in found.items()
        }

    def _lateness(self, *, now: float, held: Holds) -> float:
        """Return for how long the first row that is due and not held has been waiting."""
        if held.tasks:  # the first may be theirs
            return 0.0
        due = [head.due_at for head in self._heads[JobState.SCHEDULED] if head.queue not in held.queues]
        return max(0.0, now - min(due, default=now))

    def _due(self, state: JobState, *, now: float, waiting: Waiting, without: list[str]) -> Due:
        if state == JobState.SCHEDULED:
            return Due(until=now, without=without)
        return Due(
            until=lost_until(now=now, waiting=waiting),
            flushed=flushed_until(now=now, lost_at=self.lost_at, waiting=waiting, tick=TICK),
            first=LOST_AFTER,
            again=LOST_AGAIN,
            without=without,
        )

    def _allowance(self, state: JobState, lane: Lane, waiting: Waiting) -> int:
        tap = self._taps.get((state, lane))
        if tap is None:
            shape = SCHEDULED_TRICKLE if state == JobState.SCHEDULED else LOST_TRICKLE
            tap = self._taps[state, lane] = Tap(*shape)
        return tap.allowance(length=waiting.length, window=self.window, clock=time.monotonic())

    def _batch_of(self, lane: Lane) -> int:
        return max(1, min(self.batch, int(BATCH_BYTES / self._body.get(lane, 1.0))))

    def _pause(self, *, now: float) -> float:
        """Return how long nothing is to be done: until the next row is due or the next lane may be tried again."""
        clock = time.monotonic()
        self._cool = {key: until for key, until in self._cool.items() if until > clock}
        waits = [IDLE, *(until - clock for until in self._cool.values())]
        for head in self._heads.get(JobState.SCHEDULED, []):
            cool = self._cool.get((JobState.SCHEDULED, self._lane(head)), 0.0)
            waits.append(min(POLL, max(head.due_at - now, cool - clock)))
        return max(SHORTEST, min(waits))

    # --- one lane

    def _publish_lane(self, lane: Lane, state: JobState, due: Due, *, limit: int) -> int:
        """Publish up to `limit` rows of a lane; return how many. Rows that are locked are passed over."""
        last: str | None = None
        for _ in range(PAGES):
            picked = rows.pick(lane, state, due, limit=limit, after=last)
            if not picked:
                return 0
            found = self._mark(picked, state, due)
            if found:
                self._body[lane] = max(1.0, sum(len(row.body) for row in found) / len(found))
                self._publish(found, state)
                return len(found)
            if len(picked) < limit:
                return 0
            last = picked[-1]
        return 0

    def _mark(self, picked: list[str], state: JobState, due: Due) -> list[Row]:
        with transaction.atomic():
            found = rows.lock(picked, state, due)
            hit("relay.selected")
            if found:
                rows.mark([row.id for row in found], state=state, first=self._broker.first, again=self._broker.again)
        hit("relay.marked")
        return found

    def _publish(self, found: list[Row], state: JobState) -> None:
        once_more = int(state == JobState.QUEUED)
        sent = 0
        try:
            while sent < len(found):
                size, end = 0, sent
                while end < len(found) and (size < PIPELINE or end == sent):
                    size += len(found[end].body)
                    end += 1
                self._send(found[sent:end], once_more=once_more)
                sent = end
        except DOWN:
            rows.take_back([row.id for row in found[sent:]])
            raise
        hit("relay.published")
        if once_more:
            self.republished += len(found)
        else:
            self.published += len(found)

    def _send(self, part: list[Row], *, once_more: int) -> None:
        """Publish rows together; when one of them cannot be made a message of, the others alone."""
        try:
            publish(self.app, [hint_of(row, epoch=row.epoch, delivery=row.deliveries + once_more) for row in part])
        except DOWN:
            raise
        except Exception as error:
            if len(part) > 1:
                for row in part:
                    self._send([row], once_more=once_more)
                return
            row, self.unsendable = part[0], self.unsendable + 1
            logger.exception("a job cannot be sent", task=row.task, task_id=row.id, error=type(error).__name__)


def totals(couriers: Mapping[str, Courier]) -> dict[str, Any]:
    """Return the reports of all couriers by the name of their app."""
    return {name: courier.report() for name, courier in couriers.items()}
