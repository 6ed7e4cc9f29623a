"""What a caller learns of a durable task: from its row, in any process, also after Redis was emptied."""

from __future__ import annotations

import uuid

import pytest
from celery import chain, group
from celery.exceptions import TimeoutError as ResultTimeoutError
from celery.result import AsyncResult, GroupResult, ResultSet, result_from_tuple
from django.db import transaction

from myproject.jobs.models import Job, SavedGroup
from myproject.jobs.states import JobState
from myproject.jobs.storage import ResultTooLarge
from myproject.jobs.waiting import WaitsForItself
from tests.compatibility.tasks_for_tests import PermanentError
from tests.servers.processes import wait_until

WAIT = 60


def test_a_result_is_found_by_its_id(tasks, app):
    task_id = tasks.add.delay(4, 6).id
    result = AsyncResult(task_id, app=app)

    assert result.get(timeout=WAIT) == 10
    assert (result.state, result.status, result.result, result.info) == ("SUCCESS", "SUCCESS", 10, 10)
    assert (result.ready(), result.successful(), result.failed()) == (True, True, False)
    assert (tasks.add.AsyncResult(task_id).result, app.AsyncResult(task_id).result) == (10, 10)
    assert result.date_done is not None


def test_another_process_reads_it(tasks, world):
    task_id = tasks.add.delay(4, 6).id
    tasks.add.AsyncResult(task_id).get(timeout=WAIT)

    code = f"from celery.result import AsyncResult as R; r = R('{task_id}'); print(r.state, r.get(timeout=60))"
    assert world.manage("shell", "-v0", "-c", code).split() == ["SUCCESS", "10"]
    assert AsyncResult(task_id, app=world.new_client()).get(timeout=WAIT) == 10


def test_an_unknown_id_is_pending(app):
    result = AsyncResult(uuid.uuid4().hex, app=app)

    assert (result.state, result.ready(), result.result) == ("PENDING", False, None)


def test_results_outlive_the_broker(tasks, world):
    fine, failed = tasks.add.delay(4, 6), tasks.fail.delay("card refused")
    fine.get(timeout=WAIT)
    failed.get(timeout=WAIT, propagate=False)
    world.empty_broker()

    assert AsyncResult(fine.id, app=world.new_client()).get(timeout=WAIT) == 10
    assert isinstance(AsyncResult(failed.id, app=world.new_client()).result, PermanentError)


def test_started_and_progress_are_told_while_it_runs(tasks, world, notes):
    go = uuid.uuid4().hex
    started, moving = tasks.held.delay(go), tasks.progress.delay(go)
    wait_until(lambda: started.state == "STARTED", timeout=WAIT, what="STARTED")
    wait_until(lambda: moving.state == "PROGRESS", timeout=WAIT, what="PROGRESS")

    assert moving.info == {"current": 30, "total": 100}
    assert not moving.ready()
    world.let_go(go, times=2)
    assert (started.get(timeout=WAIT), moving.get(timeout=WAIT)) == ("let go", {"status": "complete"})


def test_progress_is_told_after_the_broker_was_emptied(tasks, world):
    go = uuid.uuid4().hex
    result = tasks.progress.delay(go)
    wait_until(lambda: result.state == "PROGRESS", timeout=WAIT, what="PROGRESS")
    world.empty_broker()

    assert (result.state, result.info) == ("PROGRESS", {"current": 30, "total": 100})
    world.let_go(go)
    assert result.get(timeout=WAIT) == {"status": "complete"}


def test_waiting_has_a_limit(tasks):
    result = tasks.add.apply_async(args=(1, 1), countdown=3600)

    with pytest.raises(ResultTimeoutError):
        result.get(timeout=0.1)
    result.revoke()


def test_waiting_for_an_own_uncommitted_job_is_refused_instead_of_never_ending(tasks):
    with transaction.atomic():
        result = tasks.add.delay(1, 1)
        assert result.state == "PENDING"
        with pytest.raises(WaitsForItself, match=r"call \.get\(\) after the transaction"):
            result.get(timeout=WAIT)

    assert result.get(timeout=WAIT) == 2


def test_a_failure_raises_here_with_its_traceback_kept(tasks):
    result = tasks.fail.delay("card refused")

    with pytest.raises(PermanentError, match="card refused"):
        result.get(timeout=WAIT)
    assert (result.state, result.failed(), result.successful()) == ("FAILURE", True, False)
    assert isinstance(result.result, PermanentError)
    assert isinstance(result.info, PermanentError)
    assert result.traceback.rstrip().endswith("PermanentError: card refused")


def test_a_failure_can_be_read_without_raising(tasks):
    assert isinstance(tasks.fail.delay("card refused").get(timeout=WAIT, propagate=False), PermanentError)


def test_a_callback_is_called_with_the_result(tasks):
    seen = []
    result = tasks.add.delay(1, 2)

    assert result.get(timeout=WAIT, callback=lambda task_id, value: seen.append((task_id, value))) == 3
    assert seen == [(result.id, 3)]


def test_forget_removes_the_result_and_nothing_else(tasks, app):
    result = tasks.add.delay(1, 1)
    result.get(timeout=WAIT)
    result.forget()

    assert tasks.add.AsyncResult(result.id).state == "PENDING"
    assert Job.objects.filter(id=result.id).exists()


def test_children_can_be_collected(tasks):
    result = tasks.fans_out.delay(3)

    assert result.get(timeout=WAIT) == [0, 1, 2]
    assert len(result.children) == 3
    values = [value for _, value in result.collect(timeout=WAIT)]
    assert values[0] == [0, 1, 2]
    assert sorted(values[1:]) == [0, 2, 4]
    assert result.get_leaf() in (0, 2, 4)
    assert len(list(result.iterdeps())) == 4
    assert len(result.graph) == 4


def test_a_chain_knows_its_parents(tasks):
    result = chain(tasks.add.s(1, 1), tasks.add.s(2)).delay()

    assert result.get(timeout=WAIT) == 4
    assert result.as_list() == [result.id, result.parent.id]
    assert result.parent.children[0].id == result.id


def test_sets_of_results_are_joined_and_iterated(tasks, app):
    results = [tasks.add.delay(number, 0) for number in range(4)]
    found = ResultSet(results, app=app)

    assert found.join(timeout=WAIT) == found.join_native(timeout=WAIT) == found.get(timeout=WAIT) == [0, 1, 2, 3]
    assert sorted(meta["result"] for _, meta in found.iter_native(timeout=WAIT)) == [0, 1, 2, 3]
    assert (found.ready(), found.successful(), found.waiting(), found.completed_count()) == (True, True, False, 4)
    assert [result.get() for result in found] == [0, 1, 2, 3]


def test_then_calls_back_when_all_are_there(tasks):
    seen = []
    result = group(tasks.add.s(number, 0) for number in range(3)).delay()
    result.then(lambda whole: seen.append(whole.id))

    assert result.get(timeout=WAIT) == [0, 1, 2]
    assert seen == [result.id]


def test_a_group_is_saved_restored_by_another_process_and_deleted(tasks, app, world):
    result = group(tasks.add.s(number, 0) for number in range(3)).delay()
    result.save()
    world.empty_broker()

    other = world.new_client()
    restored = GroupResult.restore(result.id, app=other)
    assert restored.get(timeout=WAIT) == [0, 1, 2]
    restored.delete()
    assert GroupResult.restore(result.id, app=app) is None
    assert not SavedGroup.objects.filter(id=result.id).exists()


def test_a_group_can_be_forgotten_and_revoked(tasks):
    done = group(tasks.add.s(number, 0) for number in range(2)).delay()
    done.get(timeout=WAIT)
    done.forget()
    waiting = group(tasks.add.s(number, 0) for number in range(2)).apply_async(countdown=3600)
    waiting.revoke()

    assert [tasks.add.AsyncResult(result.id).state for result in done.results] == ["PENDING", "PENDING"]
    assert [result.state for result in waiting.results] == ["REVOKED", "REVOKED"]


def test_a_result_can_be_written_down_and_read_again(tasks, app):
    result = chain(tasks.add.s(1, 1), tasks.add.s(2)).delay()
    again = result_from_tuple(result.as_tuple(), app=app)

    assert (again.get(timeout=WAIT), again.parent.get(timeout=WAIT)) == (4, 2)


def test_ignore_ends_a_task_without_a_result(tasks):
    result = tasks.ignores.delay()

    wait_until(lambda: result.state == "IGNORED", timeout=WAIT, what="IGNORED")
    assert Job.objects.get(id=result.id).state == JobState.IGNORED


def test_a_rejected_message_ends_the_job_or_puts_it_back(tasks, notes):
    """The relay publishes a message that is gone, so `Reject` has to mean the job."""
    over, again = tasks.rejects.delay(requeue=False), tasks.rejects.delay(requeue=True)

    assert again.get(timeout=WAIT) == "wanted"
    wait_until(lambda: over.state == "IGNORED", timeout=WAIT, what="IGNORED")
    assert (len(notes(again.id)), len(notes(over.id))) == (2, 1)


def test_a_large_result_is_refused_with_advice(tasks):
    result = tasks.repeats.delay("x", 300_000)

    with pytest.raises(ResultTooLarge, match="store it"):
        result.get(timeout=WAIT)
    assert Job.objects.get(id=result.id).state == JobState.PARKED


def test_arguments_are_not_kept_with_the_result(tasks, app):
    result = tasks.add.delay(1, 1)
    result.get(timeout=WAIT)

    assert not {"args", "kwargs"} & set(app.backend.get_task_meta(result.id))


def test_results_are_kept_as_long_as_the_task_declares(tasks):
    result = tasks.add.delay(1, 1)
    result.get(timeout=WAIT)
    job = Job.objects.get(id=result.id)

    assert tasks.add.retention == 86_400
    assert abs((job.due_at - job.finished_at).total_seconds() - tasks.add.retention) < 1
