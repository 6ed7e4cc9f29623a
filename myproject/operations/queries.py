"""What is asked about the running system."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog
from celery import Celery
from django.core.cache import cache
from django.db import DatabaseError, connection
from django_celery_beat.models import PeriodicTask
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from myproject.celery import abandon_cart_app, app
from myproject.settings.celery import QUEUES

logger = structlog.get_logger(__name__)

#: How long workers are waited for. They answer within a few milliseconds when they are not busy forking.
PING_TIMEOUT = 0.5


@dataclass(frozen=True, kw_only=True)
class QueueDepth:
    """How many messages wait in one queue over all priorities; None when the broker cannot be asked."""

    name: str
    purpose: str
    program: str
    waiting: int | None


def _app_named(name: str) -> Celery:
    return abandon_cart_app if name == "fast_queue" else app


def queue_depths() -> list[QueueDepth]:
    """Return the depth of every declared queue."""
    depths: list[QueueDepth] = []
    for app_name in ("myproject", "fast_queue"):
        queues = [queue for queue in QUEUES if queue.app == app_name]
        counts: dict[str, int] = {}
        try:
            with _app_named(app_name).connection_for_read() as link:
                link.ensure_connection(max_retries=1, timeout=2)
                channel = link.default_channel
                for queue in queues:
                    counts[queue.name] = channel.queue_declare(queue.name, passive=True).message_count
        except (OperationalError, RedisError, OSError, link.channel_errors, link.connection_errors) as error:
            logger.warning("queue depths are unknown", app=app_name, error=type(error).__name__)
        depths += [
            QueueDepth(name=q.name, purpose=q.purpose, program=q.program, waiting=counts.get(q.name)) for q in queues
        ]
    return depths


def worker_names() -> list[str]:
    """Return the names of the workers that answer within PING_TIMEOUT; none when a broker cannot be asked."""
    names: list[str] = []
    for celery_app in (app, abandon_cart_app):
        try:
            names += [name for reply in celery_app.control.ping(timeout=PING_TIMEOUT) for name in reply]
        except (OperationalError, RedisError, OSError) as error:
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
    except (OperationalError, RedisError, OSError) as error:
        checks["broker"] = type(error).__name__
    try:
        cache.set("health", 1, timeout=10)
        checks["cache"] = "ok"
    except RedisError as error:
        checks["cache"] = type(error).__name__
    failing = any(value != "ok" for value in checks.values())
    return {"status": "failing" if failing else "ok", "checks": checks, "at": now.isoformat()}
