"""Noticing that a broker lost its data: it holds a mark and a counter, and the database remembers both.

A flushed or empty broker has another mark than the row, one that went back (a truncated file, a stale replica) a lower
count. Each relay compares them about once a second. The row is read first and the broker then, so the broker's count
is never behind for another reason, and every change of the row names what it read, so one relay notes a loss once.
"""

from __future__ import annotations

import uuid
from contextlib import suppress

import structlog
from celery import Celery
from django.db import IntegrityError, transaction

from myproject.jobs.ledger import execute, fetch, now_sql
from myproject.jobs.publishing import publisher
from myproject.jobs.relay.rows import seconds

logger = structlog.get_logger(__name__)

#: The key of the mark, with the app's key prefix before it.
KEY = "myproject-relay-mark"
#: Seconds between two looks. What a loss costs is at most this.
TICK = 1.0


def _read(app: str) -> tuple[str, int, float | None] | None:
    found = fetch("SELECT mark, count, lost_at FROM jobs_brokermark WHERE app=%s", [app])
    if not found:
        return None
    mark, count, lost_at = found[0]
    return mark, count, None if lost_at is None else seconds(lost_at)


def _broker_mark(app: Celery) -> tuple[str, int]:
    """Return the broker's mark and its raised count, in one round trip; a broker without a mark gets one.

    Raises redis.RedisError, also when the broker takes no writes: then nothing can be published either.
    """
    channel = publisher(app)
    key = channel.list_name(KEY, 0)
    commands = (
        ("HSETNX", key, "mark", uuid.uuid4().hex),
        ("HGET", key, "mark"),
        ("HINCRBY", key, "count", 1),
    )
    _, mark, count = channel.commands(*commands)
    return (mark or b"").decode() if isinstance(mark, bytes) else str(mark or ""), int(count)


def check(app: Celery) -> float | None:
    """Compare once; return when the broker last lost its data, by the database's clock. None: never as far as known."""
    known = _read(app.main)
    mark, count = _broker_mark(app)
    if known is None:
        with suppress(IntegrityError), transaction.atomic():  # another relay was first
            execute("INSERT INTO jobs_brokermark (app, mark, count) VALUES (%s,%s,%s)", [app.main, mark, count])
        return None
    known_mark, known_count, lost_at = known
    same = "WHERE app=%s AND mark=%s AND count=%s"
    names = [app.main, known_mark, known_count]
    if mark == known_mark and count > known_count:
        execute(f"UPDATE jobs_brokermark SET count=%s {same}", [count, *names])
        return lost_at
    changed = execute(
        f"UPDATE jobs_brokermark SET mark=%s, count=%s, lost_at={now_sql()} {same}", [mark, count, *names]
    )
    if changed:
        logger.warning("the broker lost its data: open jobs are published again", app=app.main)
    again = _read(app.main)
    return again[2] if again else None
