"""What is asked about the running system."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from threading import Thread
from time import monotonic
from typing import Any

import structlog
from celery import Celery
from django.core.cache import cache
from django.db import Error, connection
from django_celery_beat.models import PeriodicTask
from kombu import Connection
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from myproject.celery import abandon_cart_app, app
from myproject.jobs.relay.health import RelayState, relays, verdict
from myproject.settings.celery import QUEUES

logger = structlog.get_logger(__name__)

#: How long workers are waited for. They answer within a few milliseconds when they are not busy forking.
PING_TIMEOUT = 0.5

#: How long the page waits for the brokers, all together; healthy ones take little more than PING_TIMEOUT.
BROKER_DEADLINE = 2.5

#: What a broker that cannot be reached raises, by way of kombu or of its client library.
BROKER_DOWN = (OperationalError, RedisError, OSError)


@dataclass(frozen=True, kw_only=True)
class QueueDepth:
    """How many messages wait in one queue over all priorities; None when the broker cannot be asked."""

    name: str
    purpose: str
    program: str
    waiting: int | None


def _waiting(link: Connection, queue_name: str) -> int:
    """Return how many messages wait in a queue; one that nobody declared yet, or that is empty on Redis, has none."""
    channel: Any
    with link.channel() as channel:  # RabbitMQ closes the channel of a refused declaration
        try:
            return int(channel.queue_declare(queue_name, passive=True).message_count)
        except link.channel_errors:
            return 0


@dataclass(frozen=True, kw_only=True)
class BrokerAnswer:
    """What one broker told: how many messages wait in each queue, and which workers answered."""

    waiting: dict[str, int]
    workers: list[str]


@dataclass(frozen=True, kw_only=True)
class Running:
    """Queues, workers, and the Celery apps whose broker did not answer in time."""

    queues: list[QueueDepth]
    workers: list[str]
    unreachable: list[str]


def _ask_broker(celery_app: Celery) -> BrokerAnswer:
    with celery_app.connection_for_read() as link:
        link.ensure_connection(max_retries=0)
        waiting = {queue.name: _waiting(link, queue.name) for queue in QUEUES if queue.app == celery_app.main}
        replies = celery_app.control.ping(timeout=PING_TIMEOUT, connection=link) or ()
        return BrokerAnswer(waiting=waiting, workers=[name for reply in replies for name in reply])


def running_state() -> Running:
    """Return the depth of every declared queue and the workers that answer; takes BROKER_DEADLINE at most.

    Each broker is asked in a thread of its own: one that accepts a connection and then says nothing holds up its
    client for much longer than a page may take. Such a thread ends by the client's own time limits.
    """
    answers: dict[str, BrokerAnswer] = {}

    def ask(celery_app: Celery) -> None:
        try:
            answers[celery_app.main] = _ask_broker(celery_app)
        except BROKER_DOWN as error:
            logger.warning("broker cannot be asked", app=celery_app.main, error=type(error).__name__)

    end = monotonic() + BROKER_DEADLINE
    threads = [Thread(target=ask, args=(celery_app,), daemon=True) for celery_app in (app, abandon_cart_app)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, end - monotonic()))
    told = dict(answers)
    return Running(
        queues=[
            QueueDepth(
                name=queue.name,
                purpose=queue.purpose,
                program=queue.program,
                waiting=told[queue.app].waiting.get(queue.name) if queue.app in told else None,
            )
            for queue in QUEUES
        ],
        workers=sorted(name for answer in told.values() for name in answer.workers),
        unreachable=[name for name in (app.main, abandon_cart_app.main) if name not in told],
    )


def schedules() -> list[PeriodicTask] | None:
    """Return the enabled schedules with their last fire; None when the database cannot be asked."""
    try:
        rows = PeriodicTask.objects.filter(enabled=True).exclude(name="celery.backend_cleanup")
        return list(rows.order_by("name"))
    except Error as error:
        logger.warning("schedules are unknown", error=type(error).__name__)
        return None


def relay_states() -> list[RelayState] | None:
    """Return the relays that reported lately; None when the database cannot be asked."""
    try:
        return relays()
    except Error as error:
        logger.warning("relays are unknown", error=type(error).__name__)
        return None


def health(*, now: datetime) -> dict[str, Any]:
    """Return what the server needs and whether it is there: {"status": ..., "checks": {...}, "at": ...}.

    The status is "failing" when the server lacks something itself, and "degraded" when jobs are late: they are promised
    all the same, and a site that stopped taking orders for that would be no better off.
    """
    checks: dict[str, str] = {}
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        checks["database"] = "ok"
    except Error as error:
        checks["database"] = type(error).__name__
    try:
        with app.connection_for_write() as link:
            link.ensure_connection(max_retries=1, timeout=2)
        checks["broker"] = "ok"
    except BROKER_DOWN as error:
        checks["broker"] = type(error).__name__
    try:
        cache.set("health", 1, timeout=10)
        checks["cache"] = "ok"
    except RedisError as error:
        checks["cache"] = type(error).__name__
    failing = any(value != "ok" for value in checks.values())
    states = relay_states() if checks["database"] == "ok" else None
    checks["relay"] = "unknown" if states is None else verdict(states)
    status = "failing" if failing else "ok" if checks["relay"] == "ok" else "degraded"
    return {"status": status, "checks": checks, "at": now.isoformat()}
