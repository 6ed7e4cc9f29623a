"""Closed jobs go when their time is over, with what belongs to them; parked ones and what is open stay."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone

from myproject.jobs import chord_pruning, keys, ledger, prune
from myproject.jobs.models import Chord, ChordPart, ConcurrencySlot, Job, JobEvent, JobKey, SavedGroup, UniqueKey
from myproject.jobs.relay import rows
from myproject.jobs.statements import dialect
from myproject.jobs.states import CLOSED, JobState
from tests.orders.threads import in_threads

pytestmark = pytest.mark.django_db(transaction=True)


def add(name: str, *, state: JobState = JobState.SUCCEEDED, due: float = -1, **columns: Any) -> Job:
    now = timezone.now()
    values = {"app": "myproject", "task": "t", "queue": "q", "body": "[]", "created_at": now, **columns}
    return Job.objects.create(id=name, state=state, due_at=now + timedelta(seconds=due), **values)


def names() -> set[str]:
    return set(Job.objects.values_list("id", flat=True))


def test_what_is_over_goes_with_its_keys_and_its_history() -> None:
    for name in ("over", "kept"):
        job = add(name, due=-1 if name == "over" else 60)
        JobKey.objects.create(job_id=job.id, name="order", value="1")
        JobEvent.objects.create(job_id=job.id, at=timezone.now(), kind="failed", epoch=0, attempts=1)
        UniqueKey.objects.create(key=name, job_id=job.id)
    assert prune.prune() == 1
    assert names() == {"kept"}
    assert UniqueKey.objects.get().key == "kept"
    assert JobKey.objects.get().job_id == "kept"
    assert JobEvent.objects.get().job_id == "kept"


@pytest.mark.parametrize("state", list(JobState))
def test_only_states_that_nobody_waits_for_are_deleted(state: JobState) -> None:
    add("job", state=state, due=-1)
    goes = state in CLOSED and state not in (JobState.PARKED, JobState.REPLACED)
    assert prune.prune() == int(goes)
    Job.objects.update(due_at=timezone.now() - timedelta(days=40))
    prune.prune()
    assert names() == ({"job"} if state in (*JobState.values[:3], JobState.PARKED) else set())


def test_a_pass_goes_through_every_queue_in_batches() -> None:
    for queue in ("a", "b"):
        now = timezone.now()
        Job.objects.bulk_create(
            Job(
                id=f"{queue}{number}", app="myproject", task="t", queue=queue, priority=number % 2, body="[]",
                state=JobState.SUCCEEDED, due_at=now - timedelta(seconds=number), created_at=now,
            )
            for number in range(prune.BATCH + 50)
        )  # fmt: skip
    sizes = list(prune.batches())
    assert sum(sizes) == 2 * (prune.BATCH + 50)
    assert max(sizes) <= prune.BATCH
    assert names() == set()


def test_a_limit_ends_the_pass() -> None:
    for number in range(5):
        add(f"job{number}", queue=f"q{number}")
    assert prune.prune(limit=2) == 2
    assert len(names()) == 3


@pytest.mark.mariadb
def test_what_somebody_has_locked_is_passed_over() -> None:
    for name in ("locked", "free"):
        add(name)

    def hold() -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"SELECT id FROM {rows.by_key()} WHERE id='locked' FOR UPDATE")
            assert in_threads(prune.prune) == []

    assert in_threads(hold) == []
    assert names() == {"locked"}


def chord(name: str, *, age: float, fired: bool = True, parts: str = '["SUCCESS", 1]') -> None:
    body = {"order": [], "body": {"id": f"{name}-body", "task": "t"}}
    Chord.objects.create(id=name, size=3, returned=3, fired=fired, structure=json.dumps(body))
    Chord.objects.filter(id=name).update(created_at=timezone.now() - timedelta(seconds=age))
    ChordPart.objects.bulk_create(
        ChordPart(chord_id=name, task_id=f"{name}{number}", ordinal=number, value=parts) for number in range(3)
    )


def test_an_outcome_that_was_never_sent_goes_too() -> None:
    """The steps behind a failed one have rows without a queue."""
    add("never sent", state=JobState.CANCELLED, queue="")
    add("sent", queue="q")
    assert prune.prune() == 2
    assert names() == set()


def slot(name: str, *, age: float, job_id: str | None = None, until: float | None = None) -> None:
    now = timezone.now()
    end = None if until is None else now + timedelta(seconds=until)
    ConcurrencySlot.objects.create(key=name, job_id=job_id, until=end, created_at=now - timedelta(seconds=age))


def test_a_place_that_nobody_has_goes_after_a_day(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prune, "BATCH", 2)
    day = prune.SLOT_GRACE + 60
    for number in range(5):
        slot(f"free {number}", age=day)
    slot("of a job that died", age=3 * day, job_id="gone", until=-day)
    slot("young", age=60)
    slot("taken", age=day, job_id="runs", until=30)
    slot("just over", age=day, job_id="ran", until=-60)
    assert prune.prune() == 6
    assert set(ConcurrencySlot.objects.values_list("key", flat=True)) == {"young", "taken", "just over"}


def test_a_place_tells_its_age_by_itself() -> None:
    ledger.execute(f"{dialect().insert_new} jobs_concurrencyslot (`key`) VALUES (%s)", ["place"])
    with transaction.atomic():
        assert keys.enter("place", "job", seconds=0)
    age = timezone.now() - ConcurrencySlot.objects.get().created_at
    assert abs(age) < timedelta(hours=15)  # a server may keep another time than UTC
    assert prune.prune() == 0


@pytest.mark.mariadb
def test_a_place_that_is_being_taken_is_passed_over() -> None:
    for name in ("taken", "free"):
        slot(name, age=2 * prune.SLOT_GRACE)

    def hold() -> None:
        with transaction.atomic():
            assert keys.enter("taken", "job", seconds=0)
            assert in_threads(prune.prune) == []

    assert in_threads(hold) == []
    assert [found.key for found in ConcurrencySlot.objects.all()] == ["taken"]


def test_a_chord_goes_after_its_body(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chord_pruning, "CHORDS", 2)
    monkeypatch.setattr(chord_pruning, "PARTS", 2)
    old, ancient = chord_pruning.CHORD_GRACE + 60, chord_pruning.BROKEN_GRACE + 60
    chord("young", age=60)
    chord("open", age=old)
    add("open-body", state=JobState.QUEUED, due=60)
    chord("waiting", age=old, fired=False)
    chord("failed", age=old, parts='["FAILURE", {}]')
    chord("gone", age=old)
    chord("gone2", age=old)
    chord("given-up", age=ancient, parts='["FAILURE", {}]')
    chord("forgotten", age=ancient, fired=False)
    assert prune.prune() == 4
    left = {"young", "open", "waiting", "failed"}
    assert set(Chord.objects.values_list("id", flat=True)) == left
    assert set(ChordPart.objects.values_list("chord_id", flat=True)) == left


def test_saved_groups_go_after_a_week() -> None:
    for name, age in (("old", prune.SAVED_GRACE + 60), ("young", 60)):
        SavedGroup.objects.create(id=name, result="[]")
        SavedGroup.objects.filter(id=name).update(created_at=timezone.now() - timedelta(seconds=age))
    assert prune.prune() == 1
    assert SavedGroup.objects.get().id == "young"
