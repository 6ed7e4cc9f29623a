"""What a failed step means to those that wait for it: steps after it, chords, callbacks; and what it does not undo."""

from __future__ import annotations

import pytest
from celery import chain, chord, group, states
from celery.exceptions import ChordError, TaskRevokedError
from celery.result import AsyncResult

from myproject.jobs import failpoints
from myproject.jobs.models import ChordPart, Job, JobEvent
from myproject.jobs.states import JobState
from tests.jobs.workflow_tasks import PREFIX, Refused

pytestmark = pytest.mark.django_db


@pytest.fixture
def disarm():
    yield
    failpoints.arm("")


def test_a_failed_job_is_parked_with_its_error_and_traceback(tasks, shop):
    result = tasks.fail.delay("card 4711 refused")
    shop.drain()

    with pytest.raises(Refused, match="card 4711 refused"):
        result.get(timeout=5)
    row = Job.objects.get(id=result.id)
    event = JobEvent.objects.get(job_id=result.id)
    assert (row.state, row.error, event.kind) == (JobState.PARKED, "Refused: card 4711 refused", "parked")
    assert row.fingerprint == event.fingerprint != ""
    assert event.traceback.rstrip().endswith("Refused: card 4711 refused")
    assert result.traceback == event.traceback


def test_errors_of_one_cause_have_one_fingerprint(tasks, shop):
    first, second = tasks.fail.delay("order 1"), tasks.fail.delay("order 2")
    shop.drain()

    found = {Job.objects.get(id=result.id).fingerprint for result in (first, second)}
    assert len(found) == 1


def test_an_ignored_result_does_not_hide_a_failure(tasks, shop):
    result = tasks.fail.apply_async(ignore_result=True)
    shop.drain()

    assert Job.objects.get(id=result.id).state == JobState.PARKED
    assert isinstance(AsyncResult(result.id, app=tasks.fail.app).result, Refused)


def test_a_failed_step_fails_the_rest_of_the_chain_without_running_it(tasks, shop):
    result = chain(tasks.add.s(1, 1), tasks.fail.si("declined"), tasks.note.s(), tasks.gather.s())()
    shop.drain()

    with pytest.raises(Refused, match="declined"):
        result.get(timeout=5)
    last = Job.objects.get(id=result.id)
    assert (result.state, last.state, last.body) == (states.FAILURE, JobState.CANCELLED, "")
    assert AsyncResult(result.parent.id, app=tasks.add.app).state == states.FAILURE
    assert tasks.notes == []
    assert shop.runs == ["add", "fail"]


def test_a_part_that_fails_fails_the_chord_once_all_parts_returned(tasks, shop):
    body = tasks.gather.s().on_error(tasks.on_error.s(key="chord"))
    result = chord([tasks.add.s(1, 1), tasks.fail.s("part lost"), tasks.add.s(2, 2)])(body)
    shop.drain(twice=True)

    assert (result.state, type(result.result)) == (states.FAILURE, ChordError)
    assert isinstance(result.result, ChordError)
    assert "part lost" in str(result.result)
    assert tasks.notes == [("new", result.id, "ChordError", "chord")]
    assert shop.count("gather") == 0


def test_a_failed_part_fails_what_follows_the_chord(tasks, shop):
    workflow = chain(chord([tasks.add.s(1, 1), tasks.fail.s()], tasks.total.s()), tasks.add.s(1), tasks.note.s())
    result = workflow.delay()
    shop.drain()

    assert result.state == states.FAILURE
    assert tasks.notes == []


def test_a_failed_inner_chord_fails_the_outer_one(tasks, shop):
    inner = chord([tasks.add.s(1, 1), tasks.fail.s("deep")], tasks.total.s())
    result = chord([inner, tasks.add.s(2, 2)], tasks.gather.s()).delay()
    shop.drain(shuffled=True)

    assert (result.state, type(result.result)) == (states.FAILURE, ChordError)
    assert tasks.notes == []


def test_a_body_that_is_a_group_fails_member_by_member(tasks, shop):
    members = group(tasks.note.s(), tasks.gather.s())
    result = chord([tasks.fail.s("no header")], members).delay()
    shop.drain()

    assert [member.state for member in result.results] == [states.FAILURE, states.FAILURE]
    assert tasks.notes == []


def test_callbacks_of_both_styles_are_called_once(tasks, shop):
    errbacks = [tasks.on_error.s(key="order 7"), tasks.on_error_by_id.s()]
    result = tasks.fail.apply_async(("declined",), link_error=errbacks)
    shop.drain(twice=True)

    assert tasks.notes == [("new", result.id, "Refused", "order 7"), ("old", result.id)]


@pytest.mark.parametrize("broken", ["raises", "cannot be sent"])
def test_a_broken_callback_undoes_neither_the_failure_nor_the_others(tasks, shop, monkeypatch, broken):
    first = tasks.on_error_that_fails.s() if broken == "raises" else tasks.on_error_by_id.s().set(queue="broken")
    if broken == "cannot be sent":
        original = type(tasks.note.app.amqp).send_task_message

        def send(self, producer, name, message, **options):
            if getattr(options.get("queue"), "name", options.get("queue")) == "broken":
                raise RuntimeError("no way out")
            return original(self, producer, name, message, **options)

        monkeypatch.setattr(type(tasks.note.app.amqp), "send_task_message", send)
    result = tasks.fail.apply_async(("declined",), link_error=[first, tasks.on_error.s(key="second")])
    shop.drain()

    assert result.state == states.FAILURE
    assert tasks.notes == [("new", result.id, "Refused", "second")]


def test_a_body_that_cannot_be_sent_fails_the_chord_and_not_its_last_part(tasks, shop):
    result = chord([tasks.add.s(1, 1)], tasks.gather.s({1: "x"}).set(serializer="yaml"))
    result = result.delay()
    shop.drain()

    (part,) = Job.objects.filter(task=PREFIX + "add")
    assert part.state == JobState.SUCCEEDED
    assert (result.state, type(result.result)) == (states.FAILURE, ChordError)
    assert "Callback error" in str(result.result)


def test_a_link_that_cannot_be_sent_fails_its_step_with_everything_that_it_wrote(tasks, shop):
    result = tasks.note.apply_async(("kept",), link=tasks.gather.s().set(serializer="yaml"))
    shop.drain()

    assert result.state == states.FAILURE
    assert "serializer" in str(result.result)


@pytest.mark.parametrize("place", ["body.after", "finish.before_commit", "chord.counted", "chord.fired"])
def test_nothing_of_a_step_is_left_when_it_fails_before_its_commit(tasks, shop, disarm, place):
    result = chord([tasks.add.s(1, 1)], tasks.gather.s()).delay()
    failpoints.arm(f"{place}:raise")
    shop.run(shop.open_ids()[0])
    failpoints.arm("")

    part = Job.objects.get(task=PREFIX + "add")
    assert part.state == JobState.PARKED
    assert ChordPart.objects.get().value.startswith('["FAILURE"')
    assert result.state == states.FAILURE
    assert tasks.notes == []


def test_a_parked_part_that_is_retried_lets_the_chord_go_on(tasks, shop, app):
    from myproject.jobs.actions.retry import retry_job

    result = chord([tasks.add.s(1, 1), tasks.switched.s(5)], tasks.gather.s()).delay()
    shop.drain()
    assert result.state == states.FAILURE

    tasks.switch["fails"] = False
    parked = Job.objects.get(task=PREFIX + "switched")
    retry_job(task_id=parked.id, actor="tester")
    shop.drain(twice=True)

    assert AsyncResult(result.id, app=app).get(timeout=5) == [2, 5]
    assert tasks.notes == [[2, 5]]


def test_a_parked_step_that_is_retried_lets_the_chain_go_on(tasks, shop, app):
    from myproject.jobs.actions.retry import retry_job

    result = chain(tasks.add.s(1, 1), tasks.switched.s(), tasks.add.s(10), tasks.gather.s()).delay()
    shop.drain()
    assert result.state == states.FAILURE

    tasks.switch["fails"] = False
    retry_job(task_id=Job.objects.get(task=PREFIX + "switched").id, actor="tester")
    shop.drain(twice=True)

    assert AsyncResult(result.id, app=app).get(timeout=5) == 12
    assert tasks.notes == [12]


def test_a_revoked_part_fails_its_chord(tasks, shop, app):
    result = chord([tasks.add.s(1, 1), tasks.add.s(2, 2)], tasks.gather.s()).delay()
    first = shop.open_ids()[0]
    app.backend.mark_as_revoked(first, "not wanted any more")
    shop.drain()

    cancelled = AsyncResult(first, app=app)
    assert (cancelled.state, type(cancelled.result)) == (states.REVOKED, TaskRevokedError)
    assert Job.objects.get(id=first).state == JobState.CANCELLED
    assert result.state == states.FAILURE
    assert tasks.notes == []


def test_a_revoked_step_fails_what_follows_it_and_the_chord_around_it(tasks, shop, app):
    part = chain(tasks.add.s(1, 1), tasks.add.s(2), tasks.add.s(3))
    result = chord([part, tasks.add.s(2, 2)], tasks.gather.s()).delay()
    first = Job.objects.get(body__startswith="[[1,1]")
    app.backend.mark_as_revoked(first.id, "not wanted any more")
    shop.drain()

    assert shop.runs == ["add"]
    assert Job.objects.filter(body="", state=JobState.CANCELLED).count() == 3  # two steps and the body
    assert (result.state, tasks.notes) == (states.FAILURE, [])


def test_a_step_of_a_cancelled_workflow_sends_nothing_more(tasks, shop, app):
    from myproject.jobs.actions.cancel import cancel_workflow

    result = chain(tasks.add.s(1, 1), tasks.note.s(), tasks.gather.s()).delay()
    shop.run(shop.open_ids()[0])
    cancel_workflow(task_id=shop.open_ids()[0], actor="tester", reason="changed their mind")
    shop.drain()

    assert shop.runs == ["add"]
    assert tasks.notes == []
    assert AsyncResult(result.parent.id, app=app).state == states.REVOKED
