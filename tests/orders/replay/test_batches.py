"""One process at a time works on a batch; a dead one is told from a live one."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest

from orders.models import ImportBatch
from orders.replay import batches
from orders.replay.batches import (
    SILENCE_SECONDS,
    BatchBusy,
    BatchLost,
    Heartbeat,
    claim_batch,
    finish_batch,
    release_batch,
)
from orders.states import BatchStatus

pytestmark = pytest.mark.django_db

HASH = "ab" * 32
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


class Clock:
    """A clock that moves only while somebody sleeps; ``when_slept`` is what the world does meanwhile."""

    def __init__(self) -> None:
        self.now = NOON
        self.when_slept = lambda: None

    def __call__(self) -> datetime:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
        self.when_slept()


def claim(clock: Clock) -> ImportBatch:
    return claim_batch(content_hash=HASH, filename="file.csv", clock=clock, sleep=clock.sleep)


def test_a_new_file_becomes_a_running_batch() -> None:
    batch = claim(Clock())

    assert (batch.content_hash, batch.source, batch.status) == (
        HASH,
        "retail-abababababababababab",
        BatchStatus.RUNNING,
    )
    assert (batch.started_at, batch.heartbeat_at) == (NOON, NOON)


def test_a_batch_that_another_process_works_on_is_refused() -> None:
    clock = Clock()
    held = claim(clock)

    def beat() -> None:
        ImportBatch.objects.filter(pk=held.pk).update(heartbeat_at=clock.now)

    clock.when_slept = beat

    with pytest.raises(BatchBusy, match=r"file\.csv is being replayed by another process"):
        claim(clock)


def test_a_batch_whose_process_was_killed_is_taken_over_after_its_silence() -> None:
    clock = Clock()
    held = claim(clock)

    taken = claim(clock)

    assert taken.pk == held.pk
    assert clock.now - NOON >= timedelta(seconds=SILENCE_SECONDS)
    assert taken.heartbeat_at == clock.now


def test_an_interrupted_batch_is_taken_up_at_once() -> None:
    clock = Clock()
    release_batch(batch=claim(clock))

    taken = claim(clock)

    assert clock.now == NOON
    assert taken.heartbeat_at == NOON
    assert ImportBatch.objects.count() == 1


def test_a_batch_that_did_not_reconcile_runs_again() -> None:
    clock = Clock()
    finish_batch(batch=claim(clock), reconciled=False, report={"difference": "1.00"}, now=NOON)

    assert claim(clock).status == BatchStatus.RUNNING


def test_the_outcome_is_stored_and_the_claim_ends() -> None:
    batch = claim(Clock())

    finish_batch(batch=batch, reconciled=True, report={"difference": "0.00"}, now=NOON)

    batch.refresh_from_db()
    assert (batch.status, batch.report, batch.heartbeat_at) == (BatchStatus.RECONCILED, {"difference": "0.00"}, None)
    assert batch.finished_at == NOON


def test_a_heartbeat_notices_that_the_batch_was_taken_over() -> None:
    clock = Clock()
    batch = claim(clock)
    heartbeat = Heartbeat(batch=batch, clock=clock)
    clock.now += timedelta(seconds=2)

    heartbeat._beat()
    heartbeat.check()
    batch.refresh_from_db()
    assert batch.heartbeat_at == clock.now

    ImportBatch.objects.filter(pk=batch.pk).update(heartbeat_at=clock.now + timedelta(seconds=1))
    heartbeat._beat()
    with pytest.raises(BatchLost):
        heartbeat.check()


def test_a_heartbeat_ends_with_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "HEARTBEAT_SECONDS", 120)
    heartbeat = Heartbeat(batch=claim(Clock()), clock=Clock())

    with heartbeat:
        started = time.monotonic()

    assert time.monotonic() - started < 60
    assert not heartbeat._thread.is_alive()
