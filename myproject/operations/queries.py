"""What is asked about the running system."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog
from django.core.cache import cache
from django.db import DatabaseError, connection
from django_celery_beat.models import PeriodicTask
from kombu import Connection
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from myproject.celery import abandon_cart_app, app
from myproject.settings.celery import QUEUES

logger = structlog.get_logger(__name__)

#: How long workers are waited for. They answer within a few milliseconds when they are not busy forking.
PING_TIMEOUT = 0.5

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


def queue_depths() -> list[QueueDepth]:
    """Return the depth of every declared queue."""
    depths: list[QueueDepth] = []
    for celery_app in (app, abandon_cart_app):
        queues = [queue for queue in QUEUES if queue.app == celery_app.main]
        counts: dict[str, int] = {}
        try:
            with celery_app.connection_for_read() as link:
                link.ensure_connection(max_retries=1, timeout=2)
                counts = {queue.name: _waiting(link, queue.name) for queue in queues}
        except BROKER_DOWN as error:
            logger.warning("queue depths are unknown", app=celery_app.main, error=type(error).__name__)
        depths += [
            QueueDepth(name=queue.name, purpose=queue.purpose, program=queue.program, waiting=counts.get(queue.name))
            for queue in queues
        ]
    return depths


def worker_names() -> list[str]:
    """Return the names of the workers that answer within PING_TIMEOUT; none when a broker cannot be asked."""
    names: list[str] = []
    for celery_app in (app, abandon_cart_app):
        try:
            names += [name for reply in celery_app.control.ping(timeout=PING_TIMEOUT) or () for name in reply]
        except BROKER_DOWN as error:
            logger.warning("workers cannot be asked", app=celery_app.main, error=type(error).__name__)
    return sorted(names)


def schedules() -> list[PeriodicTask]:
    """Return the enabled schedules with their last fire."""
    return list(PeriodicTask.objects.filter(enabled=True).exclude(name="celery.backend_cleanup").order_by("name"))


def health(*, now: datetime) -> dict[str, Any]:
    """Return what the server needs and whether it is there: {"status": "ok"|"failing", "checks": {...}, "at": ...}."""
    checks: dict[str, str] = {}
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        checks["database"] = "ok"
    except DatabaseError as error:
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
    return {"status": "failing" if failing else "ok", "checks": checks, "at": now.isoformat()}
