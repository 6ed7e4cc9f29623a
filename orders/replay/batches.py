"""One file is one batch, and one process at a time works on it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.db import IntegrityError, OperationalError, connection, transaction

from myproject.states import transition
from orders.models import ImportBatch
from orders.states import BATCH, BatchStatus

logger = structlog.get_logger(__name__)

HEARTBEAT_SECONDS = 2.0
"""One UPDATE of one row: nothing beside the hundreds of statements a second that a replay makes."""

SILENCE_SECONDS = 12.0
"""A holder that renews nothing for this long is dead; it is six beats, because a writer may wait for SQLite's lock."""


class BatchBusy(Exception):
    """Another process works on this batch; read by the person at the command line."""


class BatchLost(Exception):
    """Another process took the batch over, because this one was silent for too long."""


def source_of(content_hash: str) -> str:
    """The source that everything of a file carries: two files with the same invoice numbers stay apart."""
    return f"retail-{content_hash[:20]}"


def find_batch(*, content_hash: str) -> ImportBatch | None:
    """Return the batch of a file that was replayed before, finished or not."""
    return ImportBatch.objects.filter(content_hash=content_hash).first()


def claim_batch(
    *, content_hash: str, filename: str, clock: Callable[[], datetime], sleep: Callable[[float], None] = time.sleep
) -> ImportBatch:
    """Make the batch ours: new, or left behind by a run that ended early. Of two claims one wins. Raises BatchBusy."""
    batch = find_batch(content_hash=content_hash)
    if batch is not None:
        return _take_over(batch, clock=clock, sleep=sleep)
    now = clock()
    try:
        with transaction.atomic():
            return ImportBatch.objects.create(
                content_hash=content_hash,
                source=source_of(content_hash),
                filename=filename[:191],
                started_at=now,
                heartbeat_at=now,
            )
    except IntegrityError as error:
        raise BatchBusy(f"{filename} has just been taken up by another process.") from error


def _take_over(batch: ImportBatch, *, clock: Callable[[], datetime], sleep: Callable[[float], None]) -> ImportBatch:
    """Take a batch whose holder let go of it or died.

    A heartbeat was left by a live process or by a killed one, and only time tells them apart: it is watched until it
    moves or has been silent for SILENCE_SECONDS.
    """
    seen = batch.heartbeat_at
    while seen is not None and clock() < seen + timedelta(seconds=SILENCE_SECONDS):
        sleep(HEARTBEAT_SECONDS / 2)
        batch.refresh_from_db(fields=["heartbeat_at"])
        if batch.heartbeat_at is not None and batch.heartbeat_at != seen:
            raise BatchBusy(f"{batch.filename} is being replayed by another process at this moment.")
        seen = batch.heartbeat_at
    now = clock()
    if not ImportBatch.objects.filter(pk=batch.pk, heartbeat_at=seen).update(heartbeat_at=now):
        raise BatchBusy(f"{batch.filename} has just been taken up by another process.")
    batch.refresh_from_db()
    if batch.status == BatchStatus.DIFFERENT:
        with transaction.atomic():
            transition(batch, BatchStatus.RUNNING, table=BATCH, now=now)
    return batch


def finish_batch(*, batch: ImportBatch, reconciled: bool, report: dict[str, Any], now: datetime) -> None:
    """Store the outcome and let go of the batch."""
    target = BatchStatus.RECONCILED if reconciled else BatchStatus.DIFFERENT
    with transaction.atomic():
        transition(batch, target, table=BATCH, now=now, report=report, finished_at=now, heartbeat_at=None)


def release_batch(*, batch: ImportBatch) -> None:
    """Let go of an unfinished batch, so that the next run goes on without waiting."""
    ImportBatch.objects.filter(pk=batch.pk).update(heartbeat_at=None)


class Heartbeat:
    """Renews the claim from a thread of its own while a run works; `check` raises BatchLost when the claim is gone."""

    def __init__(self, *, batch: ImportBatch, clock: Callable[[], datetime]) -> None:
        self._batch_id = batch.pk
        self._last = batch.heartbeat_at
        self._clock = clock
        self._stopped = threading.Event()
        self._lost = threading.Event()
        self._thread = threading.Thread(target=self._run, name="replay-heartbeat", daemon=True)

    def __enter__(self) -> Heartbeat:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join(timeout=30)

    def check(self) -> None:
        """Raise BatchLost when another process holds the batch by now."""
        if self._lost.is_set():
            raise BatchLost("Another process took this batch over; this run stops here.")

    def _run(self) -> None:
        try:
            while not self._stopped.wait(HEARTBEAT_SECONDS):
                self._beat()
                if self._lost.is_set():
                    return
        finally:
            connection.close()

    def _beat(self) -> None:
        now = self._clock()
        try:
            renewed = ImportBatch.objects.filter(pk=self._batch_id, heartbeat_at=self._last).update(heartbeat_at=now)
        except OperationalError as error:  # a lock that was waited for in vain: the next beat tries again
            connection.close()
            logger.warning("heartbeat was late", error=type(error).__name__)
            return
        if renewed:
            self._last = now
        else:
            self._lost.set()
