"""What `AsyncResult` and its kin tell of jobs, and where the results of everything else are."""

from __future__ import annotations

import json
import uuid

import pytest
from celery import Celery, chord, group, states
from celery.app.trace import build_tracer
from celery.exceptions import TimeoutError as ResultTimeout
from celery.result import AsyncResult, GroupResult, ResultSet
from django.db import transaction

from myproject.jobs import delegates
from myproject.jobs.backend import JobBackend
from myproject.jobs.models import Job
from myproject.jobs.outcomes import LARGEST_RESULT
from myproject.jobs.states import JobState
from myproject.jobs.storage import ResultTooLarge, StoredDataMissing, load, store
from myproject.jobs.waiting import WaitsForItself
from tests.jobs.workflow_app import make_app
from tests.jobs.workflow_tasks import PREFIX, Refused

pytestmark = pytest.mark.django_db


def test_the_row_tells_state_result_children_and_time(tasks, shop, app):
    result = tasks.add.apply_async((2, 2), link=tasks.note.s())
    assert (result.state, result.ready(), result.result) == (states.PENDING, False, None)
    shop.drain()

    again = AsyncResult(result.id, app=app)
    assert (again.state, again.get(timeout=5), again.successful(), again.traceback) == (states.SUCCESS, 4, True, None)
    (child,) = again.children
    assert child.get(timeout=5) == 4
    assert again.date_done is not None
    assert again.exists()


def test_the_result_that_nobody_wrote_is_none(tasks, shop, app):
    result = tasks.note.delay(None)
    shop.drain()

    again = AsyncResult(result.id, app=app)
    assert (again.state, again.get(timeout=5), Job.objects.get(id=result.id).meta) == (states.SUCCESS, None, None)
    assert again.date_done is not None


def test_an_unknown_id_is_pending_and_does_not_exist(app):
    result = AsyncResult(uuid.uuid4().hex, app=app)

    assert (result.state, result.result, result.exists()) == (states.PENDING, None, False)


def test_any_text_is_an_id(tasks, shop, app):
    tasks.add.apply_async((1, 2), task_id="order:17 / sum")
    shop.drain()

    assert AsyncResult("order:17 / sum", app=app).get(timeout=5) == 3


def test_a_job_that_waits_for_its_retry_says_so_and_why(tasks, shop, app):
    result = tasks.flaky.delay(1)
    shop.run(result.id)

    again = AsyncResult(result.id, app=app)
    assert (again.state, type(again.result)) == (states.RETRY, Refused)
    shop.drain()
    assert again.get(timeout=5) == "done"


def test_a_replaced_job_is_pending_until_the_last_task_of_its_replacement_reports(tasks, shop, app):
    result = tasks.replaced.delay(1, "chain")
    shop.run(result.id)

    assert AsyncResult(result.id, app=app).state == states.PENDING
    shop.drain()
    assert AsyncResult(result.id, app=app).get(timeout=5) == 1002


@pytest.mark.django_db(transaction=True)  # within a transaction progress goes elsewhere
def test_a_leased_job_is_started_while_it_runs_and_shows_its_progress_in_its_row(tasks, shop, app):
    seen = []

    @app.task(name=PREFIX + "leased", shared=False, bind=True, mode="lease", on_unknown="resend")
    def leased(self):
        seen.append(AsyncResult(self.request.id, app=app).state)
        self.update_state(state="PROGRESS", meta={"current": 3, "total": 10})
        seen.append(AsyncResult(self.request.id, app=app).info)
        seen.append(json.loads(Job.objects.get(id=self.request.id).meta)["status"])
        return "sent"

    result = leased.delay()
    shop.drain()

    assert seen == [states.STARTED, {"current": 3, "total": 10}, "PROGRESS"]
    assert result.get(timeout=5) == "sent"


def test_forgetting_leaves_the_row_and_takes_the_outcome(tasks, shop, app):
    result = tasks.add.delay(1, 1)
    shop.drain()
    result.forget()

    assert AsyncResult(result.id, app=app).state == states.PENDING
    assert Job.objects.get(id=result.id).state == JobState.SUCCEEDED


def test_forgetting_an_open_job_changes_nothing(tasks, shop, app):
    result = tasks.add.delay(1, 1)
    result.forget()
    shop.drain()

    assert AsyncResult(result.id, app=app).get(timeout=5) == 2


def test_groups_are_saved_and_restored_with_what_is_in_them(tasks, shop, app):
    result = group(tasks.add.s(n, n) for n in range(3)).apply_async()
    result.save()
    shop.drain()

    found = GroupResult.restore(result.id, app=app)
    assert found.get(timeout=5) == [0, 2, 4]
    assert (found.completed_count(), found.successful(), found.waiting()) == (3, True, False)
    found.delete()
    assert GroupResult.restore(result.id, app=app) is None


def test_sets_join_in_order_and_iterate_as_they_end(tasks, shop, app):
    results = ResultSet([tasks.add.delay(n, 1) for n in range(4)], app=app)
    shop.drain(shuffled=True)

    assert results.join(timeout=5) == [1, 2, 3, 4]
    assert results.join_native(timeout=5) == [1, 2, 3, 4]
    assert sorted(meta["result"] for _, meta in results.iter_native(timeout=5)) == [1, 2, 3, 4]


def test_a_set_with_a_failure_raises_it_or_hands_it_over(tasks, shop, app):
    results = ResultSet([tasks.add.delay(1, 1), tasks.fail.delay("lost")], app=app)
    shop.drain()

    with pytest.raises(Refused, match="lost"):
        results.get(timeout=5)
    value, error = results.get(timeout=5, propagate=False)
    assert (value, type(error)) == (2, Refused)


def test_then_calls_back_for_one_and_for_a_group(tasks, shop, app):
    told = []
    one = tasks.add.delay(1, 1)
    one.then(lambda result: told.append(result.id))
    several = group(tasks.add.s(n, n) for n in range(2)).apply_async()
    several.then(lambda result: told.append(result.id))
    shop.drain()
    one.get(timeout=5), several.get(timeout=5)

    assert told == [one.id, several.id]


def test_the_graph_of_results_follows_the_children(tasks, shop, app):
    result = tasks.add.apply_async((1, 1), link=[tasks.note.s(), tasks.gather.s()])
    shop.drain()

    assert [value for _, value in AsyncResult(result.id, app=app).collect()] == [2, [2, 2], 2, 2]
    assert len(list(result.build_graph())) == 4  # the group of the two is a node of its own


def test_waiting_ends_at_its_limit(tasks):
    with pytest.raises(ResultTimeout):
        AsyncResult(uuid.uuid4().hex, app=tasks.add.app).get(timeout=0.05)


def test_waiting_for_a_job_of_the_own_open_transaction_is_refused(tasks):
    with transaction.atomic():
        result = tasks.add.delay(1, 1)
        with pytest.raises(WaitsForItself, match="published when this transaction commits"):
            result.get(timeout=5)
        with pytest.raises(WaitsForItself):
            ResultSet([result], app=tasks.add.app).get(timeout=5)


def test_a_result_that_is_too_large_is_refused_with_advice_and_undoes_the_body(tasks, shop, app):
    @app.task(name=PREFIX + "large", shared=False)
    def large():
        tasks.add.delay(1, 1)
        return "x" * LARGEST_RESULT

    result = large.delay()
    shop.drain()

    assert result.state == states.FAILURE
    assert type(result.result) is ResultTooLarge
    assert "myproject.jobs.storage.store" in str(result.result)
    assert Job.objects.filter(task=PREFIX + "add").count() == 0


def test_a_part_whose_result_nobody_stores_may_not_be_larger_either(tasks, shop, app):
    @app.task(name=PREFIX + "large_part", shared=False, ignore_result=True)
    def large_part():
        return "x" * LARGEST_RESULT

    result = chord([large_part.s()], tasks.gather.s()).delay()
    shop.drain()

    assert "ResultTooLarge" in str(result.result)
    assert tasks.notes == []


def test_a_failure_that_quotes_a_whole_response_is_kept_in_part(tasks, shop):
    result = tasks.fail.delay("x" * 100_000)
    shop.drain()

    assert result.state == states.FAILURE
    assert len(Job.objects.get(id=result.id).meta) < 2 * LARGEST_RESULT


@pytest.mark.parametrize("data", [b"\x00\x01", "text with ä", {"rows": [1, 2.5, None]}, list(range(1000))])
def test_large_data_is_stored_once_and_found_by_its_reference(settings, tmp_path, data):
    settings.MEDIA_ROOT = tmp_path
    first, second = store(data, name="Daily refunds"), store(data, name="Daily refunds")

    assert first == second
    assert first["name"].startswith("job-data/")
    assert "daily-refunds" in first["name"]
    assert load(first) == data
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 1


def test_stored_data_that_is_gone_is_told(settings, tmp_path):
    settings.MEDIA_ROOT = tmp_path
    with pytest.raises(StoredDataMissing):
        load({"storage": "default", "name": "job-data/aa/x-1.json", "bytes": 3})


def test_best_effort_results_are_in_the_configured_backend(tasks, app):
    result = tasks.best_effort.delay(7)
    tracer = build_tracer(tasks.best_effort.name, tasks.best_effort, app=app)
    tracer(result.id, (7,), {}, {"id": result.id, "task": tasks.best_effort.name, "delivery_info": {}})

    assert tasks.notes == [7]
    assert Job.objects.count() == 0
    assert app.backend.delegate.get_state(result.id) == states.SUCCESS
    assert AsyncResult(result.id, app=app).get(timeout=5) == 7
    result.forget()
    assert AsyncResult(result.id, app=app).state == states.PENDING


def test_a_custom_state_of_an_id_without_a_job_is_in_the_configured_backend(app):
    app.backend.store_result("import-7", {"done": 3}, "LOADING")

    found = AsyncResult("import-7", app=app)
    assert (found.state, found.info) == ("LOADING", {"done": 3})


@pytest.mark.parametrize(
    ("setting", "kind"),
    [
        ("cache+memory://", "CacheBackend"),
        ("redis://127.0.0.1:1/0", "RedisBackend"),
        ("django-db", "DatabaseBackend"),
        ("rpc://", "RPCBackend"),
        (None, "DisabledBackend"),
    ],
)
def test_every_kind_of_backend_can_stand_behind_ours(setting, kind):
    app = make_app(result_backend=setting)

    assert type(app.backend) is JobBackend
    assert type(app.backend.delegate).__name__ == kind
    assert app.backend.as_uri().startswith("jobs")


def test_the_setting_is_found_although_the_backend_was_given_as_an_argument():
    app = Celery("given", backend="myproject.jobs.backend:JobBackend", set_as_current=False, fixups=[])
    app.config_from_object({"result_backend": "cache+memory://"})

    assert type(app.backend) is JobBackend
    assert delegates.configured(app) == "cache+memory://"


@pytest.mark.parametrize("name", ["app", "abandon_cart_app"])
def test_both_apps_keep_their_own_backend_behind_ours(name, monkeypatch):
    import myproject.celery as apps

    monkeypatch.delenv("CELERY_RESULT_BACKEND", raising=False)
    found = getattr(apps, name)
    assert type(found.backend) is JobBackend
    assert delegates.configured(found) == found.conf.result_backend
    assert "jobs" not in str(found.conf.result_backend)


def test_django_celery_results_serves_best_effort_tasks_that_ask_for_it(tasks):
    from django_celery_results.models import TaskResult

    app = make_app(result_backend="django-db")
    app.backend.store_result("asked", 5, states.SUCCESS)

    assert TaskResult.objects.get(task_id="asked").status == states.SUCCESS
    assert AsyncResult("asked", app=app).get(timeout=5) == 5
