"""Two Celery apps, two brokers: a shared task never goes to the wrong one."""

from __future__ import annotations

import threading

import pytest
from celery import current_app, shared_task
from celery.app.defaults import NAMESPACES, flatten

from myproject.celery import abandon_cart_app, app
from myproject.jobs.models import Job
from myproject.jobs.task import DurableTask
from myproject.settings.celery import QUEUES, queue_for


@shared_task(name="tests.shared")
def shared() -> None:
    """A task that belongs to no app."""


def test_the_platforms_app_is_current_in_every_thread():
    seen = []
    thread = threading.Thread(target=lambda: seen.append(current_app.main))
    thread.start()
    thread.join()
    assert seen == ["myproject"]
    assert current_app.main == "myproject"
    assert shared.app.main == "myproject"


def test_the_cart_app_has_its_own_broker_queue_and_results():
    assert abandon_cart_app.main == "fast_queue"
    assert abandon_cart_app.conf.broker_url != app.conf.broker_url
    assert abandon_cart_app.conf.result_backend != app.conf.result_backend
    assert [queue.name for queue in abandon_cart_app.conf.task_queues] == ["fast_queue"]
    assert abandon_cart_app.conf.task_default_queue == "fast_queue"
    assert abandon_cart_app.conf.beat_schedule == {}


def test_a_shared_task_is_routed_by_the_app_that_sends_it():
    options = app.amqp.router.route({}, "tests.shared", (), {}, task_type=shared)
    assert options["queue"].name == "default"
    in_cart_app = abandon_cart_app.tasks["tests.shared"]
    options = abandon_cart_app.amqp.router.route({}, "tests.shared", (), {}, task_type=in_cart_app)
    assert options["queue"].name == "fast_queue"


@pytest.mark.parametrize(
    ("task", "queue", "priority"),
    [
        ("orders.tasks.process_order", "orders", 7),
        ("orders.tasks.process_order_cancellation", "cancel_order_queue", 7),
        ("orders.tasks.initiate_juspay_refund", "order_refund_queue", 7),
        ("orders.tasks.process_webhook_event", "external_api_queue", 7),
        ("notifications.tasks.deliver_message", "default", 5),
        ("task_helper.process_order_cancellation", "cancel_order_queue", 7),
        ("somebody.elses.task", "default", 5),
    ],
)
def test_tasks_go_to_the_queue_of_the_table_under_their_old_names_too(task, queue, priority):
    options = app.amqp.router.route({}, task, (), {})
    assert options["queue"].name == queue
    assert options["priority"] == priority == queue_for(task).priority


@pytest.mark.django_db
def test_a_call_is_a_job_of_the_app_that_it_was_made_on():
    shared.delay()
    abandon_cart_app.tasks["tests.shared"].delay()
    app.send_task("somebody.elses.task", queue="reports")

    assert sorted(Job.objects.values_list("app", "task", "queue")) == [
        ("fast_queue", "tests.shared", "fast_queue"),
        ("myproject", "somebody.elses.task", "reports"),
        ("myproject", "tests.shared", "default"),
    ]


def test_every_task_of_both_apps_is_durable_unless_it_says_otherwise():
    for celery_app in (app, abandon_cart_app):
        own = {name: task for name, task in celery_app.tasks.items() if not name.startswith(("celery.", "tests."))}
        assert {name for name, task in own.items() if not isinstance(task, DurableTask)} == set()
        assert {name for name, task in own.items() if not task.durable} == set()


def test_the_caller_decides_against_the_table():
    options = app.amqp.router.route({"queue": "reports", "priority": 1}, "orders.tasks.process_order", (), {})
    assert (options["queue"].name, options["priority"]) == ("reports", 1)


def test_every_queue_the_documents_name_is_declared():
    assert {queue.name for queue in QUEUES} == {
        "default", "orders", "reports", "sync_queue", "cancel_order_queue", "order_refund_queue", "external_api_queue",
        "marketing_queue", "order_flag_queue", "search_sync_queue", "kinesis_queue", "hl_availability_log_queue",
        "visited_product_logging_queue", "fast_queue",
    }  # fmt: skip


def test_the_cart_apps_configuration_holds_only_names_that_celery_knows():
    known = set(dict(flatten(NAMESPACES)))
    from myproject.settings import carts

    own = {name for name in vars(carts) if name.islower() and not name.startswith("_")}
    assert own - known - {"annotations", "main"} == set()


@pytest.mark.parametrize(
    ("task", "priority", "limits"),
    [
        ("orders.tasks.process_order", 7, (60, 120)),
        ("search.tasks.rebuild_index", 5, (540, 600)),
        ("catalog.tasks.verify_stock", 5, (540, 600)),
    ],
)
def test_a_task_carries_the_priority_and_limits_of_its_queue(task, priority, limits):
    registered = app.tasks[task]
    assert registered.priority == priority
    assert (registered.soft_time_limit, registered.time_limit) == limits
