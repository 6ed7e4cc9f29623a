"""What a caller learns of a task: states, values, failures, progress, expiry."""

from __future__ import annotations

import uuid

import pytest
from celery.exceptions import TimeoutError as ResultTimeoutError
from celery.result import AsyncResult

from tests.compatibility.tasks_for_tests import PermanentError
from tests.servers.processes import wait_until

WAIT = 60


def test_a_result_is_found_again_by_its_id(tasks, client):
    task_id = tasks.add.delay(4, 6).id
    result = AsyncResult(task_id, app=client)

    assert result.get(timeout=WAIT) == 10
    assert (result.state, result.status, result.result, result.info) == ("SUCCESS", "SUCCESS", 10, 10)
    assert (result.ready(), result.successful(), result.failed()) == (True, True, False)
    assert tasks.add.AsyncResult(task_id).result == 10


def test_an_unknown_id_is_pending(tasks, client):
    result = AsyncResult(uuid.uuid4().hex, app=client)

    assert (result.state, result.ready(), result.result) == ("PENDING", False, None)


def test_started_is_told(tasks):
    result = tasks.sleep.delay(3)  # long enough to be seen while it runs, on a busy machine too
    wait_until(lambda: result.state == "STARTED", timeout=WAIT, what="STARTED")

    assert result.info["hostname"] == "compatibility@localhost"
    assert result.get(timeout=WAIT) == "slept"


def test_waiting_has_a_limit(tasks):
    result = tasks.add.apply_async(args=(1, 1), countdown=30)

    with pytest.raises(ResultTimeoutError):
        result.get(timeout=0.2)
    result.revoke()


def test_a_failure_raises_here_with_its_traceback_kept(tasks):
    result = tasks.fail.delay("card refused")

    with pytest.raises(PermanentError, match="card refused"):
        result.get(timeout=WAIT)
    assert (result.state, result.failed(), result.successful()) == ("FAILURE", True, False)
    assert isinstance(result.result, PermanentError)
    assert result.traceback.rstrip().endswith("PermanentError: card refused")


def test_a_failure_can_be_read_without_raising(tasks):
    assert isinstance(tasks.fail.delay("card refused").get(timeout=WAIT, propagate=False), PermanentError)


def test_progress_is_told_while_the_task_runs(tasks, notebook):
    key = f"go:{uuid.uuid4().hex}"
    result = tasks.progress.delay(key)
    wait_until(lambda: result.state == "PROGRESS", timeout=WAIT, what="PROGRESS")

    assert result.info == {"current": 30, "total": 100}
    notebook.rpush(key, "on")
    assert result.get(timeout=WAIT) == {"status": "complete"}


def test_forget_removes_the_result(tasks):
    result = tasks.add.delay(1, 1)
    result.get(timeout=WAIT)
    result.forget()

    assert tasks.add.AsyncResult(result.id).state == "PENDING"


def test_results_expire_as_configured(tasks, client):
    result = tasks.add.delay(1, 1)
    result.get(timeout=WAIT)

    left = client.backend.client.ttl(client.backend.get_key_for_task(result.id))
    assert 0 <= client.conf.result_expires - left <= 60


def test_arguments_are_not_kept_with_the_result(tasks, client):
    result = tasks.add.delay(1, 1)
    result.get(timeout=WAIT)

    assert not {"args", "kwargs"} & set(client.backend.get_task_meta(result.id))
