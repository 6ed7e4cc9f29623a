"""The third document's ways to test tasks: eager, with a worker in a thread, with the outside replaced."""

from __future__ import annotations

from unittest.mock import patch

import pytest
from celery import Celery, chain
from celery.contrib.testing.worker import start_worker

from tests.compatibility import tasks_for_tests
from tests.compatibility.tasks_for_tests import PermanentError, register


@pytest.fixture
def memory_app(monkeypatch):
    """An app whose broker and results live in this process."""
    for name in ("CELERY_BROKER_URL", "CELERY_RESULT_BACKEND"):
        monkeypatch.delenv(name, raising=False)
    return Celery("recipes", broker="memory://", backend="cache+memory://", set_as_current=False)


@pytest.fixture
def eager(memory_app):
    memory_app.conf.update(task_always_eager=True, task_eager_propagates=True, task_store_eager_result=True)
    return register(memory_app)


def test_eager_mode_runs_at_once(eager):
    assert eager.add.delay(4, 6).get() == 10


def test_eager_mode_raises_at_the_call(eager):
    with pytest.raises(PermanentError, match="no stock"):
        eager.fail.delay("no stock")


def test_eager_mode_runs_a_workflow(eager):
    assert chain(eager.add.s(2, 2), eager.add.s(4), eager.add.s(8))().get() == 16


def test_eager_mode_retries(eager, memory_app):
    memory_app.conf.task_eager_propagates = False  # else the first retry would be raised here
    with patch.object(tasks_for_tests, "write"):
        assert eager.manual.delay(fails=2, base=0).get() == {"retries": 2}


def test_what_a_task_calls_can_be_replaced(eager):
    with patch.object(tasks_for_tests, "write", return_value=1) as write:
        assert eager.note.delay("order placed", "key").get() == "order placed"
    write.assert_called_once_with("key", "order placed")


def test_a_worker_in_a_thread_runs_the_tasks_of_a_test(memory_app):
    memory_app.conf.broker_transport_options = {"polling_interval": 0.05}
    tasks = register(memory_app)

    with start_worker(memory_app, perform_ping_check=False, shutdown_timeout=30):
        assert tasks.add.delay(4, 6).get(timeout=60) == 10
