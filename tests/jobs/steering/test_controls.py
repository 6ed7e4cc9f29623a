"""What is held is known in every process within two seconds, for one query."""

from __future__ import annotations

import os

import pytest
from django.utils import timezone

from myproject.jobs import controls
from myproject.jobs.controls import ControlAction, ControlKind, Hold, held
from myproject.jobs.models import Control

pytestmark = pytest.mark.django_db

TASK, QUEUE = "orders.tasks.process_order", "orders"


@pytest.fixture(autouse=True)
def forgotten():
    controls.forget()
    yield
    controls.forget()


def hold(kind, name, action="pause", reason=""):
    Control.objects.create(kind=kind, name=name, action=action, reason=reason, actor="ops", since=timezone.now())


def test_nothing_is_held_and_a_thousand_questions_cost_one_query(django_assert_num_queries, monkeypatch):
    monkeypatch.setattr(controls, "REFRESH", 3_600.0)
    with django_assert_num_queries(1):
        assert [held(None, TASK, QUEUE) for _ in range(1_000)] == [None] * 1_000


def test_a_paused_queue_holds_its_jobs_and_no_others():
    hold("queue", QUEUE, reason="the provider is down")
    assert held(None, TASK, QUEUE) == Hold(ControlKind.QUEUE, QUEUE, ControlAction.PAUSE, "the provider is down")
    assert held(None, TASK, "default") is None


def test_a_task_is_held_under_its_old_names_too():
    hold("task", TASK)
    assert held(None, "tasks.process_order", QUEUE).name == TASK
    assert held(None, "orders.tasks.validate_order", QUEUE) is None


def test_the_kill_switch_wins_over_a_pause_and_the_task_over_the_queue():
    hold("queue", QUEUE)
    hold("task", TASK, "kill")
    hold("task", TASK)
    assert held(None, TASK, QUEUE).action is ControlAction.KILL


def test_a_hold_is_seen_when_the_time_is_over_and_not_before(monkeypatch):
    now = 100.0
    monkeypatch.setattr(controls.time, "monotonic", lambda: now)
    assert held(None, TASK, QUEUE) is None
    hold("queue", QUEUE)
    now += controls.REFRESH - 0.01
    assert held(None, TASK, QUEUE) is None
    now += 0.01
    assert held(None, TASK, QUEUE) is not None


def test_a_question_that_could_not_be_answered_is_asked_again(monkeypatch):
    hold("queue", QUEUE)

    def refuse(*names):
        raise ConnectionError

    with monkeypatch.context() as broken:
        broken.setattr(Control.objects, "values_list", refuse)
        with pytest.raises(ConnectionError):
            held(None, TASK, QUEUE)
    assert held(None, TASK, QUEUE) is not None


def test_what_is_assumed_is_not_asked(django_assert_num_queries):
    hold("queue", QUEUE)
    controls.assume(controls.Holds(), seconds=3_600)
    with django_assert_num_queries(0):
        assert held(None, TASK, QUEUE) is None


def test_a_forked_process_asks_for_itself():
    assert held(None, TASK, QUEUE) is None
    pid = os.fork()
    if pid == 0:
        os._exit(0 if controls._cache.until == controls.NEVER else 1)
    assert os.waitpid(pid, 0)[1] == 0
    assert controls._cache.until > 0


def test_a_hold_says_why():
    assert str(Hold(ControlKind.QUEUE, QUEUE, ControlAction.PAUSE)) == "The queue orders is paused."
    text = str(Hold(ControlKind.TASK, TASK, ControlAction.KILL, "it charges twice"))
    assert text == f"The task {TASK} is stopped by the kill switch: it charges twice"
