"""Operators retry, discard and cancel: what was counted, nothing else, signed, and each job's life goes on rightly."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.contrib.auth.models import Group
from django.db import connection

from myproject.errors import InvalidInput, NotFound
from myproject.jobs.actions import bulk
from myproject.jobs.actions.bulk import CountChanged, NotApplicable
from myproject.jobs.actions.cancel import cancel_job, cancel_jobs
from myproject.jobs.actions.discard import discard_job, discard_jobs
from myproject.jobs.actions.retry import retry_job, retry_jobs
from myproject.jobs.models import Job, JobEvent, SteeringEvent, UniqueKey
from myproject.jobs.queries.failures import group_failures
from myproject.jobs.queries.filters import JobFilter
from myproject.jobs.states import JobState
from tests.jobs import job_tasks
from tests.jobs.job_tasks import ERRORS, RAN, fail, make_due, run_open, skip
from tests.jobs.steering.rows import NOW, TASK, job, parked

pytestmark = pytest.mark.django_db(transaction=True)

OPS = {"actor": "ops@example.com", "reason": "the provider is back"}
PARKED, QUEUED, SCHEDULED = JobState.PARKED, JobState.QUEUED, JobState.SCHEDULED


@pytest.fixture(autouse=True)
def own_app(monkeypatch):
    monkeypatch.setattr(bulk, "main_app", job_tasks.app)


def states():
    return {row.id: JobState(row.state) for row in Job.objects.all()}


def audit():
    return [(row.actor, row.action, row.filters, row.count, row.reason) for row in SteeringEvent.objects.order_by("id")]


def kinds(task_id):
    events = JobEvent.objects.filter(job_id=task_id).exclude(kind="failed")
    return list(events.order_by("id").values_list("kind", flat=True))


def test_a_parked_job_lives_again_and_runs():
    ERRORS.append(ValueError("no"))
    result = fail.delay(1)
    run_open()
    assert Job.objects.get().state == PARKED

    done = retry_job(task_id=result.id, **OPS)

    row = Job.objects.get()
    assert (done.count, row.state, row.epoch, row.attempts) == (1, SCHEDULED, 1, 0)
    assert (row.error, row.fingerprint, row.meta, row.finished_at) == (None, None, None, None)
    assert result.state == "PENDING"
    with connection.cursor() as cursor:
        now = "UTC_TIMESTAMP(6)" if connection.vendor == "mysql" else "strftime('%Y-%m-%d %H:%M:%f', 'now')"
        cursor.execute(f"SELECT COUNT(*) FROM jobs_job WHERE due_at <= {now}")
        assert cursor.fetchone()[0] == 1, "a relay publishes it at once"
    make_due()
    run_open()
    assert result.get(timeout=5) == "done 1"
    assert Group.objects.count() == 1
    assert kinds(result.id) == ["parked", "replayed"]
    filters = {"ids": [result.id], "states": ["parked", "cancelled", "discarded"]}
    assert audit() == [("ops@example.com", "retry", filters, 1, "the provider is back")]


def test_failures_of_one_cause_are_found_and_retried_together():
    ERRORS.extend([ValueError("no 1"), ValueError("no 2"), KeyError("x")])
    for value in range(3):
        fail.delay(value)
    run_open()
    found = group_failures()
    assert [(row.task, row.value) for row in found] == [("t.fail", 2), ("t.fail", 1)]
    wanted = JobFilter(fingerprint=found[0].fingerprint, states=(PARKED,))
    assert retry_jobs(wanted=wanted, expected=2, **OPS).count == 2
    assert sorted(states().values()) == [SCHEDULED, SCHEDULED, PARKED]


@pytest.mark.parametrize("state", [PARKED, JobState.CANCELLED, JobState.DISCARDED])
def test_what_was_given_up_can_be_retried(state):
    row = job(state=state)
    assert retry_job(task_id=row.id, **OPS).count == 1
    assert states() == {row.id: SCHEDULED}


@pytest.mark.parametrize("state", [QUEUED, SCHEDULED, JobState.RUNNING, JobState.SUCCEEDED, JobState.IGNORED])
def test_what_is_open_or_ended_well_is_not_retried(state):
    row = job(state=state)
    with pytest.raises(NotApplicable, match=f"is {state.label}"):
        retry_job(task_id=row.id, **OPS)
    assert states() == {row.id: state}
    assert audit() == []


def test_a_job_that_is_not_there_cannot_be_steered():
    for act in (retry_job, discard_job, cancel_job):
        with pytest.raises(NotFound):
            act(task_id="nowhere", **OPS)
    assert audit() == []


def test_retries_begin_anew_and_an_old_expiry_is_over():
    row = parked(headers=json.dumps({"retries": 10, "expires": "2026-05-01T12:00:00", "request_id": "r1"}))
    plain = parked(headers=json.dumps({"retries": 1}))
    assert retry_jobs(wanted=JobFilter(states=(PARKED,)), expected=2, **OPS).count == 2
    assert json.loads(Job.objects.get(id=row.id).headers) == {"request_id": "r1"}
    assert Job.objects.get(id=plain.id).headers is None


def test_all_that_match_are_retried_and_no_others():
    matching = [parked(priority=number % 3) for number in range(5)]
    others = [parked(fingerprint="f2"), parked(task="notifications.tasks.send"), job(), job(state=JobState.SUCCEEDED)]
    before = states()
    wanted = JobFilter(task="tasks.process_order", fingerprint="f1", states=(PARKED,))

    done = retry_jobs(wanted=wanted, expected=5, **OPS)

    assert (done.count, done.counted, done.left) == (5, 5, ())
    assert {states()[row.id] for row in matching} == {SCHEDULED}
    assert {row.id: states()[row.id] for row in others} == {row.id: before[row.id] for row in others}
    filters = {"states": ["parked"], "task": TASK, "fingerprint": "f1"}
    assert audit() == [("ops@example.com", "retry", filters, 5, "the provider is back")]


def test_another_count_than_was_confirmed_is_refused():
    rows = [parked() for _ in range(3)]
    for expected in (2, 4):
        with pytest.raises(CountChanged, match=f"{expected} jobs were confirmed, and now 3 match"):
            retry_jobs(wanted=JobFilter(states=(PARKED,)), expected=expected, **OPS)
    assert set(states().values()) == {PARKED}
    assert audit() == []
    assert retry_jobs(wanted=JobFilter(states=(PARKED,)), expected=2, slack=1, **OPS).count == len(rows)


def test_what_arrives_meanwhile_is_not_reached(monkeypatch):
    monkeypatch.setattr(bulk, "BATCH", 2)
    rows = [parked(due_at=NOW - timedelta(seconds=number)) for number in range(4)]
    late = []
    free = bulk.lock_free

    def arrives(ids):
        late.append(parked(due_at=NOW - timedelta(days=1)))  # behind the ones that were counted
        return free(ids)

    monkeypatch.setattr(bulk, "lock_free", arrives)
    assert discard_jobs(wanted=JobFilter(states=(PARKED,)), expected=4, **OPS).count == 4
    assert {states()[row.id] for row in rows} == {JobState.DISCARDED}
    assert {states()[row.id] for row in late} == {PARKED}
    assert [row.count for row in SteeringEvent.objects.all()] == [2, 2]


def test_what_moves_on_meanwhile_is_left_alone(monkeypatch):
    rows = [parked(), parked()]
    free = bulk.lock_free

    def moves_on(ids):
        Job.objects.filter(id=rows[0].id).update(state=JobState.DISCARDED)
        return free(ids)

    monkeypatch.setattr(bulk, "lock_free", moves_on)
    assert retry_jobs(wanted=JobFilter(states=(PARKED,)), expected=2, **OPS).count == 1
    assert states() == {rows[0].id: JobState.DISCARDED, rows[1].id: SCHEDULED}


def test_a_batch_that_fails_leaves_no_half_and_no_audit(monkeypatch):
    rows = [parked(), parked()]

    def refuse(*args, **kwargs):
        raise RuntimeError("the audit cannot be written")

    monkeypatch.setattr(bulk, "audit", refuse)
    with pytest.raises(RuntimeError):
        retry_jobs(wanted=JobFilter(states=(PARKED,)), expected=2, **OPS)
    assert states() == {row.id: PARKED for row in rows}
    assert JobEvent.objects.exclude(kind="failed").count() == 0


def test_an_action_needs_a_signature_and_states_that_it_applies_to():
    parked()
    with pytest.raises(InvalidInput, match="actor"):
        retry_jobs(wanted=JobFilter(), expected=1, actor=" ")
    with pytest.raises(InvalidInput, match="reason"):
        retry_jobs(wanted=JobFilter(), expected=1, actor="ops", reason="x" * 256)
    with pytest.raises(InvalidInput, match="not to parked ones"):
        cancel_jobs(wanted=JobFilter(states=(PARKED,)), expected=1, actor="ops")
    assert set(states().values()) == {PARKED}


def test_discarding_closes_for_good_until_it_is_retried():
    row = parked(due_at=NOW)
    discard_job(task_id=row.id, **OPS)
    row.refresh_from_db()
    assert (row.state, row.error) == (JobState.DISCARDED, "ValueError: no")
    assert row.due_at > NOW
    assert kinds(row.id) == ["discarded"]
    with pytest.raises(NotApplicable):
        discard_job(task_id=row.id, **OPS)


def test_a_cancelled_job_never_runs_and_its_users_see_it_revoked():
    result = fail.delay(1)
    later = fail.apply_async((2,), countdown=3_600)
    assert cancel_jobs(wanted=JobFilter(task="t.fail"), expected=2, **OPS).count == 2
    make_due()
    run_open()
    job_tasks.run_again(result.id)
    assert RAN == []
    assert (result.state, later.state) == ("REVOKED", "REVOKED")
    assert kinds(result.id) == ["cancelled"]
    assert "ops@example.com: the provider is back" in JobEvent.objects.filter(job_id=result.id).get().error
    retry_job(task_id=later.id, **OPS)
    make_due()
    run_open()
    assert RAN == [2]


@pytest.mark.parametrize("state", [JobState.RUNNING, JobState.SUCCEEDED, PARKED])
def test_what_has_begun_is_not_cancelled(state):
    row = job(state=state)
    with pytest.raises(NotApplicable):
        cancel_job(task_id=row.id, **OPS)
    assert cancel_jobs(wanted=JobFilter(), expected=0, **OPS).count == 0
    assert states() == {row.id: state}


def test_a_unique_job_gives_its_key_free_and_takes_it_again_only_while_it_is_free():
    first = skip.delay("k", "first")
    cancel_job(task_id=first.id, **OPS)
    assert UniqueKey.objects.count() == 0
    second = skip.delay("k", "second")
    assert second.id != first.id

    with pytest.raises(NotApplicable, match="another open job has its unique key"):
        retry_job(task_id=first.id, **OPS)
    cancel_job(task_id=second.id, **OPS)
    done = retry_jobs(wanted=JobFilter(task="t.skip"), expected=2, **OPS)
    assert (done.count, [why for _, why in done.left]) == (1, ["another open job has its unique key"])
    assert sorted(states().values()) == [SCHEDULED, JobState.CANCELLED]
    make_due()
    run_open()
    assert len(RAN) == 1
    assert UniqueKey.objects.count() == 0


@pytest.mark.mariadb
def test_a_job_that_a_body_holds_has_begun_and_is_left_alone():
    import threading

    from django.db import connections, transaction

    rows = [job(), job()]
    held, release = threading.Event(), threading.Event()

    def body():
        with transaction.atomic():
            Job.objects.select_for_update().get(id=rows[0].id)
            held.set()
            release.wait(60)
        connections.close_all()

    thread = threading.Thread(target=body)
    thread.start()
    try:
        assert held.wait(30)
        done = cancel_jobs(wanted=JobFilter(states=(QUEUED,)), expected=2, **OPS)
    finally:
        release.set()
        thread.join()
    assert (done.count, done.left) == (1, ((rows[0].id, "somebody works on it"),))
    assert states() == {rows[0].id: QUEUED, rows[1].id: JobState.CANCELLED}
