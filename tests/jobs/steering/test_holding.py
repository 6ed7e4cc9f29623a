"""What is held does not start, is not lost, and goes on when it is let go."""

from __future__ import annotations

import pytest
from celery.app.trace import build_tracer
from django.db import OperationalError

from myproject.errors import InvalidInput, NotFound
from myproject.jobs import controls
from myproject.jobs.actions import bulk
from myproject.jobs.actions import controls as actions
from myproject.jobs.actions.controls import hold, kill_task, let_go
from myproject.jobs.controls import ControlAction, ControlKind
from myproject.jobs.models import Control, Job, SteeringEvent
from myproject.jobs.states import JobState
from tests.jobs.job_tasks import RAN, app, best_effort, fail, leased, make_due, run_open

pytestmark = pytest.mark.django_db(transaction=True)

OPS = {"actor": "ops@example.com", "reason": "the bank is away"}
QUEUE, TASK = ControlKind.QUEUE, ControlKind.TASK


@pytest.fixture(autouse=True)
def own_app(monkeypatch):
    monkeypatch.setattr(bulk, "main_app", app)
    monkeypatch.setattr(actions, "current_app", app)
    controls.forget()
    yield
    controls.forget()


def states():
    return [JobState(state) for state in Job.objects.order_by("created_at", "id").values_list("state", flat=True)]


def test_a_paused_queue_keeps_what_is_called_meanwhile():
    before = fail.delay(1)
    hold(kind=QUEUE, name="default", **OPS)
    during = fail.delay(2)
    assert Job.objects.get(id=during.id).state == JobState.SCHEDULED, "it is promised and not published"
    run_open()  # a worker that had the first one's message already
    assert RAN == []
    assert states() == [JobState.SCHEDULED, JobState.SCHEDULED]
    let_go(kind=QUEUE, name="default", **OPS)
    make_due()
    run_open()
    assert sorted(RAN) == [1, 2]
    assert (before.state, during.state) == ("SUCCESS", "SUCCESS")
    assert set(Job.objects.values_list("attempts", flat=True)) == {0}, "waiting used nothing up"


def test_a_paused_task_leaves_the_others_alone():
    hold(kind=TASK, name="t.fail", **OPS)
    fail.delay(1)
    leased.delay(2)
    make_due()
    run_open()
    assert RAN == [2]


def test_a_kill_switch_ends_leased_jobs_that_run_and_holds_the_rest(monkeypatch):
    monkeypatch.setattr(app.control, "broadcast", lambda *args, **options: None)
    running, waiting = leased.delay(1), leased.delay(2)
    Job.objects.filter(id=running.id).update(state=JobState.RUNNING)
    assert kill_task(name="t.leased", **OPS) == 1
    make_due()
    run_open()
    assert RAN == []
    assert (running.state, waiting.state) == ("REVOKED", "PENDING")
    let_go(kind=TASK, name="t.leased", action=ControlAction.KILL, **OPS)
    make_due()
    run_open()
    assert RAN == [2]
    assert [row.action for row in SteeringEvent.objects.order_by("id")] == ["kill", "terminate", "release"]


def trace_best_effort(value):
    request = {"id": "no row", "args": [value], "kwargs": {}, "delivery_info": {"routing_key": "default"}}
    build_tracer(best_effort.name, best_effort, app=app)("no row", [value], {}, request)


def test_a_best_effort_task_is_dropped_by_its_kill_switch_alone():
    hold(kind=TASK, name="t.best", **OPS)
    trace_best_effort(1)
    kill_task(name="t.best", **OPS)
    trace_best_effort(2)
    let_go(kind=TASK, name="t.best", action=ControlAction.KILL, **OPS)
    trace_best_effort(3)
    assert RAN == [1, 3]


def test_a_best_effort_task_runs_while_the_database_is_away(monkeypatch):
    def refuse():
        raise OperationalError(2006, "gone away")

    monkeypatch.setattr(controls, "holds", refuse)
    assert controls.killed("t.best") is None


def test_a_hold_lasts_and_twice_is_once():
    first = hold(kind=QUEUE, name="orders", **OPS)
    again = hold(kind=QUEUE, name="orders", actor="ann", reason="still")
    assert first.pk == again.pk
    row = Control.objects.get()
    assert (row.actor, row.reason) == ("ann", "still")
    let_go(kind=QUEUE, name="orders", actor="ann")
    with pytest.raises(NotFound, match="is not paused"):
        let_go(kind=QUEUE, name="orders", actor="ann")
    assert [row.action for row in SteeringEvent.objects.order_by("id")] == ["pause", "pause", "resume"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"kind": QUEUE, "name": "nowhere"}, "There is no queue"),
        ({"kind": TASK, "name": "os.system"}, "There is no task"),
        ({"kind": QUEUE, "name": "orders", "action": ControlAction.KILL}, "a queue is paused"),
        ({"kind": QUEUE, "name": "orders", "actor": ""}, "needs an actor"),
    ],
)
def test_what_cannot_be_held_is_refused(given, said):
    with pytest.raises(InvalidInput, match=said):
        hold(**{**OPS, **given})
    assert Control.objects.count() == 0
