"""Old task names: each reaches its task, with its options, and none is dropped in silence."""

import json

import pytest
from celery import Celery
from celery.exceptions import MaxRetriesExceededError, Retry

from myproject.celery import app as project_app
from myproject.jobs import aliases
from myproject.jobs.aliases import OldTask, TaskPlannedError, is_stand_in, register_aliases, resolve
from myproject.jobs.models import Job, JobKey
from myproject.jobs.states import JobState
from myproject.settings.celery import queue_for, route_task


@pytest.fixture
def app(monkeypatch):
    """An app of its own with three tasks, and a table of old names for them."""
    made = Celery("old-names", broker="memory://", backend="cache+memory://", set_as_current=False)
    ran = []

    @made.task(
        shared=False,
        name="shop.tasks.settle",
        bind=True,
        max_retries=7,
        default_retry_delay=11,
        acks_late=True,
        time_limit=9,
    )
    def settle(self, order_id, *, reason="none"):
        """Settle an order."""
        ran.append((self.name, self.request.id, order_id, reason))
        return order_id

    @made.task(shared=False, name="shop.tasks.again", bind=True, max_retries=2)
    def again(self):
        raise self.retry(countdown=5)

    @made.task(
        shared=False, name="shop.tasks.flaky", autoretry_for=(OSError,), retry_kwargs={"max_retries": 4, "countdown": 3}
    )
    def flaky():
        raise OSError("no answer")

    table = (
        OldTask(function="settleOrder", modules=("tasks", "task_helper"), target="shop.tasks.settle"),
        OldTask(function="again", modules=("tasks",), target="shop.tasks.again"),
        OldTask(function="flaky", modules=("tasks",), target="shop.tasks.flaky"),
        OldTask(function="later", modules=("tasks",), target="shop.tasks.later", planned="D"),
    )
    monkeypatch.setattr(aliases, "_TARGETS", {name: old.target for old in table for name in old.names})
    monkeypatch.setattr(aliases, "_PLANNED", {old.target: old.planned for old in table if old.planned})
    register_aliases(made)
    made.ran = ran
    return made


@pytest.mark.parametrize("name", ["tasks.settleOrder", "task_helper.settleOrder", "settleOrder"])
def test_an_old_name_runs_the_body_of_its_target_once(app, name):
    result = app.tasks[name].apply(args=[42], kwargs={"reason": "customer"}, task_id="one")

    assert result.get() == 42
    assert app.ran == [(name, "one", 42, "customer")]


def test_an_old_name_has_the_options_of_its_target(app):
    old, target = app.tasks["tasks.settleOrder"], app.tasks["shop.tasks.settle"]

    for option in ("max_retries", "default_retry_delay", "acks_late", "time_limit", "typing", "__doc__"):
        assert getattr(old, option) == getattr(target, option)
    assert target.name == "shop.tasks.settle"


def test_an_old_name_checks_arguments_like_its_target(app):
    with pytest.raises(TypeError, match="order_id"):
        app.tasks["tasks.settleOrder"].delay()


def test_a_retry_goes_out_under_the_old_name(app, monkeypatch):
    sent = []
    monkeypatch.setattr(
        app.amqp, "send_task_message", lambda producer, name, message, **_: sent.append((name, message))
    )
    old = app.tasks["tasks.again"]
    old.push_request(id="one", args=(), kwargs={}, retries=0, called_directly=False, is_eager=False, delivery_info={})

    with pytest.raises(Retry):
        old()

    assert [name for name, _ in sent] == ["tasks.again"]
    assert sent[0][0] in app.tasks
    assert sent[0][1].headers["retries"] == 1


def test_the_limit_of_retries_holds_for_the_old_name(app):
    old = app.tasks["tasks.again"]
    old.push_request(id="one", args=(), kwargs={}, retries=2, called_directly=False, is_eager=False, delivery_info={})

    with pytest.raises(MaxRetriesExceededError):
        old()


def test_automatic_retries_hold_for_the_old_name(app, monkeypatch):
    sent = []
    monkeypatch.setattr(app.amqp, "send_task_message", lambda producer, name, message, **_: sent.append(name))
    old = app.tasks["tasks.flaky"]
    old.push_request(id="one", args=(), kwargs={}, retries=0, called_directly=False, is_eager=False, delivery_info={})

    with pytest.raises(Retry) as retry:
        old.run()

    assert (sent, retry.value.when) == (["tasks.flaky"], 3)


def test_requests_of_an_old_name_and_its_target_do_not_mix(app):
    old, target = app.tasks["tasks.settleOrder"], app.tasks["shop.tasks.settle"]
    old.push_request(id="old's")

    assert target.request.id is None


@pytest.mark.parametrize("name", ["tasks.later", "later", "shop.tasks.later"])
def test_a_planned_task_fails_and_says_so(app, name):
    result = app.tasks[name].apply(args=[1, 2], kwargs={"anything": 3})

    assert result.state == "FAILURE"
    assert isinstance(result.result, TaskPlannedError)
    sentence = str(result.result)
    assert name in sentence
    assert "is not available in this version" in sentence
    assert "docs/mission.md" in sentence
    assert app.tasks[name].max_retries == 0


def test_a_target_that_is_imported_later_takes_over_from_the_stand_in(monkeypatch):
    app = Celery("late", broker="memory://", set_as_current=False)
    monkeypatch.setattr(aliases, "_TARGETS", {"tasks.late": "shop.tasks.late"})
    monkeypatch.setattr(aliases, "_PLANNED", {})
    register_aliases(app)
    assert isinstance(app.tasks["tasks.late"].apply().result, TaskPlannedError)

    @app.task(shared=False, name="shop.tasks.late")
    def late():
        return "here"

    register_aliases(app)
    register_aliases(app)

    assert app.tasks["tasks.late"].apply().get() == "here"


def test_present_names_resolve_to_themselves():
    assert resolve("orders.tasks.process_order") == "orders.tasks.process_order"
    assert resolve("somebody.elses.task") == "somebody.elses.task"


def test_no_old_name_stands_for_two_tasks_and_none_for_another_old_name():
    names = [name for old in aliases.OLD_TASKS for name in old.names]

    assert sorted(names) == sorted(set(names))
    assert not {old.target for old in aliases.OLD_TASKS} & set(names)


@pytest.mark.django_db
@pytest.mark.parametrize("old", aliases.OLD_TASKS, ids=lambda old: old.function)
def test_every_old_name_is_registered_on_the_project(old):
    for name in old.names:
        task = project_app.tasks[name]
        if old.planned:
            assert isinstance(task.apply().result, TaskPlannedError)
        else:
            assert task.stands_for == old.target
            assert isinstance(task, type(project_app.tasks[old.target]))


@pytest.mark.parametrize("target", sorted(aliases.planned_targets()))
def test_no_planned_task_is_here_already(target):
    assert is_stand_in(project_app.tasks[target]), (
        "it is here: remove `planned` from its row and update docs/mission.md"
    )


@pytest.mark.parametrize("old", aliases.OLD_TASKS, ids=lambda old: old.function)
def test_an_old_name_is_routed_to_the_queue_of_its_target(old):
    for name in old.names:
        assert queue_for(name) == queue_for(old.target)
        assert route_task(name, (), {}, {}) == route_task(old.target, (), {}, {})


@pytest.mark.parametrize(
    ("name", "queue"),
    [
        ("task_helper.process_order_cancellation", "cancel_order_queue"),
        ("tasks.initiate_juspay_refund", "order_refund_queue"),
        ("tasks.initiate_cashgram_refund", "order_refund_queue"),
        ("tasks.syncDgraphProduct", "search_sync_queue"),
        ("tasks.insert_into_kinesis", "kinesis_queue"),
        ("tasks.sync_kinesis_orders", "kinesis_queue"),
        ("sitemap.sitemap_main", "sync_queue"),
        ("inventory.tasks.sync_inventory", "sync_queue"),
        ("libs.helper.sync_user_attributes_moengage", "marketing_queue"),
        ("newsletter.tasks.send_daily_digest", "default"),
        ("accounts.tasks.cleanup_expired_sessions", "default"),
    ],
)
def test_names_of_the_documents_reach_the_queue_that_the_documents_give(name, queue):
    assert queue_for(name).name == queue


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["tasks.process_order", "process_order"])
def test_an_old_name_is_a_job_that_its_target_runs_and_that_is_found_by_its_keys(name, run_jobs):
    project_app.send_task(name, args=[7])

    job = Job.objects.get()
    assert (job.task, job.queue) == (name, "orders")
    assert list(JobKey.objects.values_list("name", "value")) == [("order", "7")]
    (ran,) = run_jobs()
    assert (ran.task, ran.result) == (name, {"status": "not_found", "order_id": 7})
    assert Job.objects.get().state == JobState.SUCCEEDED


@pytest.mark.django_db
def test_what_was_sent_for_a_planned_task_is_kept_with_its_arguments(run_jobs):
    project_app.send_task("tasks.generate_sitemap", args=["shop"])

    with pytest.raises(TaskPlannedError):
        run_jobs()

    parked = Job.objects.get()
    assert (parked.state, json.loads(parked.body)[0]) == (JobState.PARKED, ["shop"])
