"""Workflows are read from their rows, go on after a retried step, and end when they are cancelled."""

from __future__ import annotations

import pytest
from celery import chain, chord, group

from myproject.errors import NotFound
from myproject.jobs.actions import bulk
from myproject.jobs.actions.cancel import cancel_job, cancel_workflow
from myproject.jobs.actions.retry import retry_job, retry_jobs
from myproject.jobs.models import Job, SteeringEvent
from myproject.jobs.queries.filters import JobFilter
from myproject.jobs.queries.workflow import read_workflow
from myproject.jobs.states import JobState
from tests.jobs.steering.rows import NOW, job

pytestmark = pytest.mark.django_db(transaction=True)

OPS = {"actor": "ops@example.com", "reason": "a mistake"}


@pytest.fixture
def app(app, monkeypatch):
    """The app of these workflows, as the one whose jobs operators steer."""
    monkeypatch.setattr(bulk, "main_app", app)
    return app


def mend(tasks, monkeypatch):
    """Have the failing task succeed from now on."""
    monkeypatch.setattr(tasks.fail, "run", lambda message="": 5)


def parked():
    return Job.objects.get(state=JobState.PARKED, task__endswith=".fail")


def test_a_chain_goes_on_after_its_parked_step_is_retried(tasks, shop, monkeypatch):
    result = chain(tasks.add.s(1, 1), tasks.fail.si(), tasks.add.s(10)).apply_async()
    shop.drain()
    assert shop.runs == ["add", "fail"]
    mend(tasks, monkeypatch)
    retry_job(task_id=parked().id, **OPS)
    shop.drain()
    assert result.get(timeout=5) == 15
    assert shop.runs == ["add", "fail", "fail", "add"]


def test_a_chord_fires_once_after_its_parked_part_is_retried(tasks, shop, monkeypatch):
    result = chord([tasks.add.s(1, 1), tasks.fail.s(), tasks.add.s(2, 2)], tasks.gather.s()).apply_async()
    shop.drain()
    assert tasks.notes == []
    mend(tasks, monkeypatch)
    retry_job(task_id=parked().id, **OPS)
    shop.drain()
    assert tasks.notes == [[2, 5, 4]]
    assert result.get(timeout=5) == [2, 5, 4]


def test_a_cancelled_part_fails_its_chord_and_mends_it_when_it_is_retried(tasks, shop):
    result = chord([tasks.add.s(1, 1), tasks.add.s(2, 2)], tasks.gather.s()).apply_async()
    part = result.parent.results[0]
    cancel_job(task_id=part.id, **OPS)
    shop.drain()
    assert (part.state, result.state, tasks.notes) == ("REVOKED", "FAILURE", [])
    retry_job(task_id=part.id, **OPS)
    shop.drain()
    assert tasks.notes == [[2, 4]]
    assert result.app.AsyncResult(result.id).get(timeout=5) == [2, 4]


def test_a_cancelled_workflow_sends_nothing_more_and_goes_on_when_it_is_retried(tasks, shop):
    chain(tasks.note.s("first"), group(tasks.note.si("a"), tasks.note.si("b")), tasks.note.si("last")).apply_async()
    first = Job.objects.get().id
    shop.run(first)
    assert tasks.notes == ["first"]
    done = cancel_workflow(task_id=Job.objects.filter(root_id=first)[0].id, **OPS)
    shop.drain()
    assert done.count == 2
    assert tasks.notes == ["first"]
    assert [row.action for row in SteeringEvent.objects.order_by("id")] == ["cancel_workflow", "cancel"]

    retry_jobs(wanted=JobFilter(roots=(first,), states=(JobState.CANCELLED,)), expected=2, **OPS)
    shop.drain()
    assert sorted(tasks.notes[1:3]) == ["a", "b"]
    assert tasks.notes[3:] == ["last"]


def test_a_step_that_runs_while_its_workflow_is_cancelled_is_the_last(tasks, shop, monkeypatch):
    chain(tasks.note.s("first"), tasks.note.si("second")).apply_async()
    first = Job.objects.get().id
    Job.objects.update(state=JobState.RUNNING)  # stands for a body that has begun
    assert cancel_workflow(task_id=first, **OPS).count == 0
    Job.objects.update(state=JobState.QUEUED)
    shop.drain()
    assert tasks.notes == ["first"]
    assert Job.objects.count() == 1


def test_the_graph_tells_who_sent_whom(tasks, shop):
    chord([tasks.add.s(number, 0) for number in range(30)], chain(tasks.total.s(), tasks.note.s())).apply_async()
    shop.drain()
    total = Job.objects.get(task="workflows.total")
    found = read_workflow(total.id, sisters=5)
    assert found.counts == {"succeeded": 32}
    assert [(chord.size, chord.returned, chord.fired) for chord in found.chords] == [(30, 30, True)]
    last = [(line.job.task, line.depth) for line in found.lines if line.job and line.job.task != "workflows.add"]
    assert last == [("workflows.total", 0), ("workflows.note", 0)]
    assert [line.folded for line in found.lines if line.folded] == [{"succeeded": 25}]
    assert found.complete


def test_a_cancelled_chord_is_cancelled_in_all_its_parts(tasks, shop):
    result = chord([tasks.add.s(number, 0) for number in range(6)], tasks.note.s()).apply_async()
    part = result.parent.results[2].id
    shop.run(result.parent.results[0].id)
    assert cancel_workflow(task_id=part, **OPS).count == 5
    shop.drain()
    assert (shop.runs, tasks.notes, result.state) == (["add"], [], "FAILURE")
    wanted = JobFilter(ids=tuple(row.id for row in result.parent.results), states=(JobState.CANCELLED,))
    retry_jobs(wanted=wanted, expected=5, **OPS)
    shop.drain()
    assert tasks.notes == [[0, 1, 2, 3, 4, 5]]


def test_a_chain_stays_in_one_column_and_sisters_are_folded():
    root = job(created_at=NOW)
    second = job(root_id=root.id, parent_id=root.id)
    sisters = [job(root_id=root.id, parent_id=second.id, state=JobState.SUCCEEDED) for _ in range(4)]
    bad = job(root_id=root.id, parent_id=second.id, state=JobState.PARKED)
    lost = job(root_id=root.id, parent_id="pruned")
    found = read_workflow(bad.id, sisters=2)
    assert [(line.job and line.job.id, line.depth, line.follows, line.folded) for line in found.lines] == [
        (root.id, 0, False, {}),
        (second.id, 0, True, {}),
        (bad.id, 1, False, {}),
        (sisters[0].id, 1, False, {}),
        (None, 1, False, {"succeeded": 3}),
        (lost.id, 0, False, {}),
    ]
    assert found.as_json()["jobs"][1] == {
        "parent": root.id, "depth": 0, "id": second.id, "task": second.task, "state": "queued", "group": None,
    }  # fmt: skip


def test_a_chain_of_thousands_is_told_without_end(monkeypatch):
    monkeypatch.setattr("myproject.jobs.queries.workflow.MOST_JOBS", 1_500)
    Job.objects.bulk_create(
        Job(id=f"step-{number:05}", app="myproject", task="t", queue="q", due_at=NOW, created_at=NOW, body="[]",
            root_id="step-00000" if number else None, parent_id=f"step-{number - 1:05}" if number else None)
        for number in range(2_000)
    )  # fmt: skip
    found = read_workflow("step-00007")
    assert (len(found.lines), found.complete, {line.depth for line in found.lines}) == (1_500, False, {0})


def test_a_workflow_that_is_not_there_is_said_so():
    with pytest.raises(NotFound):
        read_workflow("nowhere")
