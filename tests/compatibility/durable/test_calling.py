"""Calling durable tasks: `.delay`, every option of `apply_async`, callbacks, names, and what is refused."""

from __future__ import annotations

import time
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from celery import group
from celery.exceptions import TaskRevokedError
from celery.result import AsyncResult
from django.contrib.auth.models import Group
from django.db import transaction

from myproject.jobs.models import Job
from myproject.jobs.payload import PayloadRefused
from myproject.jobs.states import JobState

WAIT = 60  # seconds until a call counts as lost; a healthy one takes milliseconds


def test_delay_returns_a_result_at_once_and_the_worker_runs_it(tasks):
    result = tasks.add.delay(4, 6)

    assert isinstance(result, AsyncResult)
    assert result.get(timeout=WAIT) == 10
    assert Job.objects.get(id=result.id).state == JobState.SUCCEEDED


def test_a_call_belongs_to_its_transaction(tasks, notes):
    kept, undone = uuid.uuid4().hex, uuid.uuid4().hex
    with transaction.atomic():
        result = tasks.note.delay("kept", kept)
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            gone = tasks.note.delay("undone", undone)
            raise ZeroDivisionError
        assert result.state == "PENDING"

    assert result.get(timeout=WAIT) == "kept"
    assert not Job.objects.filter(id=gone.id).exists()
    assert notes(undone) == []


def test_calling_a_task_directly_runs_it_here(tasks):
    before = Job.objects.count()

    assert tasks.add(4, 6) == 10
    assert Job.objects.count() == before


def test_apply_runs_it_here_too(tasks):
    assert tasks.add.apply(args=(4, 6)).get() == 10


def test_a_bound_task_knows_its_request(tasks):
    result = tasks.context.apply_async(args=(4, 6), kwargs={"extra": "data"})
    seen = result.get(timeout=WAIT)

    assert (seen["id"], seen["root_id"], seen["parent_id"], seen["group"]) == (result.id, result.id, None, None)
    assert (seen["args"], seen["kwargs"]) == ([4, 6], {"extra": "data"})
    assert (seen["name"], seen["retries"]) == ("tests.durable.context", 0)
    assert seen["timelimit"] == [120, 60]


def test_countdown_and_eta_delay_the_start(tasks):
    began = time.time()
    by_countdown = tasks.add.apply_async(args=(1, 1), countdown=1)
    by_eta = tasks.add.apply_async(args=(2, 2), eta=datetime.now(UTC) + timedelta(seconds=1))

    assert (by_countdown.get(timeout=WAIT), by_eta.get(timeout=WAIT)) == (2, 4)
    assert time.time() - began >= 0.9


def test_a_delayed_call_is_pending(tasks):
    by_countdown = tasks.add.apply_async(args=(1, 1), countdown=3600)
    by_eta = tasks.add.apply_async(args=(2, 2), eta=datetime.now(UTC) + timedelta(hours=1))

    assert (by_countdown.state, by_eta.state) == ("PENDING", "PENDING")
    by_countdown.revoke()
    by_eta.revoke()


def test_a_delay_of_any_length_waits_in_the_database_and_not_in_a_worker(tasks, app):
    result = tasks.add.apply_async(args=(1, 1), countdown=400 * 86_400)

    assert Job.objects.get(id=result.id).state == JobState.SCHEDULED
    answers = app.control.inspect(destination=["durable@localhost"], timeout=60, limit=1).scheduled()
    assert answers == {"durable@localhost": []}
    result.revoke()
    assert result.state == "REVOKED"


def test_an_eta_that_is_over_runs_at_once(tasks):
    assert tasks.add.apply_async(args=(1, 1), eta=datetime(2020, 1, 1, tzinfo=UTC)).get(timeout=WAIT) == 2


@pytest.mark.parametrize("expires", [-1, datetime(2020, 1, 1, tzinfo=UTC)], ids=["seconds", "time"])
def test_what_has_expired_is_not_run(tasks, notes, expires):
    key = uuid.uuid4().hex
    result = tasks.note.apply_async(args=("late", key), expires=expires)

    with pytest.raises(TaskRevokedError):
        result.get(timeout=WAIT)
    assert result.state == "REVOKED"
    assert notes(key) == []


def test_what_has_not_expired_is_run(tasks):
    assert tasks.add.apply_async(args=(1, 1), expires=600).get(timeout=WAIT) == 2


def test_queue_wins_over_the_table(tasks):
    assert tasks.context.delay().get(timeout=WAIT)["delivery_info"]["routing_key"] == "default"
    other = tasks.context.apply_async(queue="durable_other").get(timeout=WAIT)
    assert other["delivery_info"]["routing_key"] == "durable_other"


def test_exchange_and_routing_key_reach_the_queue_bound_to_them(tasks):
    seen = tasks.context.apply_async(
        queue="durable.math", exchange="durable.math", routing_key="durable.math"
    ).get(timeout=WAIT)  # fmt: skip

    assert seen["delivery_info"]["routing_key"] == "durable.math"


@pytest.mark.parametrize("priority", [0, 5, 9])
def test_priority_travels_with_the_message(tasks, priority):
    assert tasks.context.apply_async(priority=priority).get(timeout=WAIT)["delivery_info"]["priority"] == priority


def test_json_is_the_one_serializer_of_durable_tasks(tasks):
    assert tasks.add.apply_async(args=(1, 1), serializer="json").get(timeout=WAIT) == 2
    before = Job.objects.count()
    with pytest.raises(PayloadRefused, match="'pickle' is for best-effort tasks"):
        tasks.add.apply_async(args=(1, 1), serializer="pickle")
    assert Job.objects.count() == before


def test_a_compressed_message_is_read_by_the_worker(tasks):
    assert tasks.total.apply_async(args=([1] * 20_000,), compression="gzip").get(timeout=WAIT) == 20_000


def test_retry_and_retry_policy_of_the_publisher_are_taken(tasks):
    policy = {"max_retries": 3, "interval_start": 0, "interval_step": 0.2, "interval_max": 0.2}

    assert tasks.add.apply_async(args=(4, 6), retry=True, retry_policy=policy).get(timeout=WAIT) == 10


def test_headers_shadow_and_limits_reach_the_task(tasks):
    seen = tasks.context.apply_async(
        headers={"order_number": "536365"}, shadow="orders.shadow", time_limit=50, soft_time_limit=40
    ).get(timeout=WAIT)

    assert seen["headers"]["order_number"] == "536365"
    assert seen["shadow"] == "orders.shadow"
    assert seen["timelimit"] == [50, 40]


def test_arguments_are_not_repeated_in_the_headers(tasks):
    assert tasks.context.delay("4111 1111").get(timeout=WAIT)["argsrepr"] == "[redacted]"


def test_stamps_reach_the_task(tasks):
    signature = tasks.context.s()
    signature.stamp(order="536365")
    seen = signature.apply_async().get(timeout=WAIT)

    assert seen["stamped_headers"] == ["order"]
    assert seen["stamps"] == {"order": "536365"}


def test_ids_of_a_workflow_may_be_given(tasks):
    root, parent, own = (uuid.uuid4().hex for _ in range(3))
    seen = tasks.context.apply_async(task_id=own, root_id=root, parent_id=parent).get(timeout=WAIT)

    assert (seen["id"], seen["root_id"], seen["parent_id"]) == (own, root, parent)


def test_any_text_is_a_task_id_and_the_first_promise_of_it_stands(tasks, notes):
    key = uuid.uuid4().hex
    first = tasks.note.apply_async(args=("first", key), task_id=f"Bestellung №{key} / 1")
    second = tasks.note.apply_async(args=("second", key), task_id=f"Bestellung №{key} / 1")

    assert first.get(timeout=WAIT) == second.get(timeout=WAIT) == "first"
    assert notes(key) == ["first"]
    with pytest.raises(PayloadRefused, match="1 to 191 characters"):
        tasks.add.apply_async(args=(1, 1), task_id="x" * 192)


def test_ignore_result_of_the_call_keeps_no_result(tasks, notes):
    key = uuid.uuid4().hex
    asked = tasks.note.apply_async(args=("said", key), ignore_result=True)
    declared = tasks.forgotten.delay(key)

    assert sorted(notes(key, expect=2)) == ["ran", "said"]
    assert declared.get() is None
    assert asked.get() is None
    states = {Job.objects.get(id=result.id).meta for result in (asked, declared)}
    assert states == {None}


def test_what_a_task_calls_is_its_child_and_part_of_its_transaction(tasks, notes):
    key = uuid.uuid4().hex
    result = tasks.calls_another.delay(key)
    child_id = result.get(timeout=WAIT)

    assert notes(key, expect=1) == ["promised inside"]
    assert [child.id for child in result.children] == [child_id]
    child = Job.objects.get(id=child_id)
    assert (child.parent_id, child.root_id) == (result.id, result.id)


def test_link_is_called_with_the_result_and_several_are_all_called(tasks, notes):
    key = uuid.uuid4().hex
    tasks.add.apply_async(args=(4, 6), link=[tasks.note.s(key), tasks.note.si("and this", key)])

    assert sorted(notes(key, expect=2)) == ["10", "and this"]


def test_link_error_is_called_in_the_new_and_in_the_old_style(tasks, notes):
    new, old = uuid.uuid4().hex, uuid.uuid4().hex
    result = tasks.fail.apply_async(
        args=("no stock",), link_error=[tasks.on_error.s(key=new), tasks.old_on_error.s(key=old)]
    )

    assert notes(new, expect=1) == [f"{result.id} no stock"]
    assert notes(old, expect=1) == [result.id]


def test_link_error_is_not_called_on_success(tasks, notes):
    key = uuid.uuid4().hex
    tasks.add.apply_async(args=(1, 1), link_error=tasks.on_error.s(key=key)).get(timeout=WAIT)

    assert notes(key) == []


def test_send_task_reaches_a_task_by_its_name(app, world):
    assert app.send_task("tests.durable.add", args=(2, 3)).get(timeout=WAIT) == 5
    assert world.new_client().send_task("tests.durable.add", args=(3, 3)).get(timeout=WAIT) == 6


def test_an_old_name_runs_the_task_of_today(app):
    result = app.send_task("accounts.tasks.cleanup_expired_sessions")

    result.get(timeout=WAIT)
    job = Job.objects.get(id=result.id)
    assert (job.queue, job.state) == ("default", JobState.SUCCEEDED)


def test_an_old_name_of_a_planned_task_is_answered(app):
    result = app.send_task("tasks.syncDgraphProduct", args=([12345, 67890],), queue="default")

    with pytest.raises(Exception, match="not available in this version"):
        result.get(timeout=WAIT)
    assert (result.state, Job.objects.get(id=result.id).state) == ("FAILURE", JobState.PARKED)


def test_what_is_no_json_is_refused_at_the_call(tasks):
    before = Job.objects.count()
    with pytest.raises(PayloadRefused, match="argument 1 is not JSON"):
        tasks.context.delay(object())
    with pytest.raises(PayloadRefused, match="pass its primary key"):
        tasks.context.delay(Group(name="staff"))
    with pytest.raises(PayloadRefused, match="store the data"):
        tasks.context.delay("x" * 300_000)
    with pytest.raises(TypeError, match="missing 1 required positional argument"):
        tasks.add.delay(1)
    assert Job.objects.count() == before


def test_a_best_effort_task_beside_them_is_plain_celery(tasks):
    result = tasks.best_effort.delay(7)

    assert result.get(timeout=WAIT) == 7
    assert not Job.objects.filter(id=result.id).exists()


def test_many_calls_of_one_transaction_are_all_or_none(tasks):
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        undone = group(tasks.add.s(number, 1) for number in range(5)).apply_async()
        raise ZeroDivisionError
    with transaction.atomic():
        kept = [tasks.add.delay(number, 1) for number in range(20)]

    assert [result.get(timeout=WAIT) for result in kept] == list(range(1, 21))
    assert not Job.objects.filter(id__in=[result.id for result in undone.results]).exists()
