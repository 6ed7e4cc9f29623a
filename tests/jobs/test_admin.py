"""The schedule in the admin takes only what beat can read and a worker can run."""

from __future__ import annotations

import json

import pytest
from celery import current_app
from django_celery_beat.models import (
    ClockedSchedule,
    CrontabSchedule,
    IntervalSchedule,
    PeriodicTask,
    SolarSchedule,
)
from kombu.exceptions import OperationalError

from myproject.accounts.models import User
from myproject.jobs.admin.schedules import schedulable_tasks
from myproject.jobs.aliases import planned_targets

pytestmark = pytest.mark.django_db

ADD = "/admin/django_celery_beat/periodictask/add/"


@pytest.fixture
def admin(client):
    client.force_login(User.objects.create_superuser("ops@example.com", "a long password 1"))
    return client


@pytest.fixture
def interval():
    return IntervalSchedule.objects.create(every=5, period="minutes")


def fields(every, **changes):
    given = {
        "name": "mine",
        "task": "orders.tasks.process_order",
        "enabled": "on",
        "interval": every.pk,
        "args": "[12]",
        "kwargs": "{}",
        "headers": "{}",
        **changes,
    }
    return {name: value for name, value in given.items() if value is not None}


def errors_of(answer):
    assert answer.status_code == 200
    return answer.context["adminform"].form.errors


def test_a_task_with_its_arguments_is_scheduled(admin, interval):
    assert admin.post(ADD, fields(interval)).status_code == 302
    row = PeriodicTask.objects.get()
    assert (row.task, row.args, row.kwargs) == ("orders.tasks.process_order", "[12]", "{}")


def test_empty_arguments_are_none(admin, interval):
    given = fields(interval, task="search.tasks.verify_index", args="", kwargs="", headers="")
    assert admin.post(ADD, given).status_code == 302
    row = PeriodicTask.objects.get()
    assert (row.args, row.kwargs, row.headers) == ("[]", "{}", "{}")


def test_an_old_name_may_be_scheduled(admin, interval):
    assert admin.post(ADD, fields(interval, task="tasks.process_order")).status_code == 302
    assert PeriodicTask.objects.get().task == "tasks.process_order"


@pytest.mark.parametrize(
    "task", ["os.system", "orders.tasks.nothing", "celery.ping", "celery.group", "catalog.tasks.generate_sitemap",
             "tasks.generate_sitemap", ""],
)  # fmt: skip
def test_what_no_worker_runs_is_refused(admin, interval, task):
    found = errors_of(admin.post(ADD, fields(interval, task=task, args="[]")))
    assert list(found) == ["task"]
    assert PeriodicTask.objects.count() == 0


@pytest.mark.parametrize(
    ("field", "value", "remedy"),
    [
        ("args", "12", "a list such as"),
        ("args", "{}", "a list such as"),
        ("args", "null", "a list such as"),
        ("args", "[1", "a list such as"),
        ("args", "[" * 100_000, "a list such as"),
        ("args", '[{"__type__": "datetime", "__value__": "soon"}]', "a list such as"),
        ("args", "[]", "it takes (order_id"),
        ("args", "[1, 2, 3]", "it takes (order_id"),
        ("kwargs", "[]", "an object such as"),
        ("kwargs", "{", "an object such as"),
        ("kwargs", '{"order": 1}', "it takes (order_id"),
        ("headers", "[]", "an object such as"),
        ("headers", "{", "an object such as"),
        ("queue", "no_such_queue", "cancel_order_queue"),
    ],
)
def test_what_does_not_fit_is_refused_naming_the_field_and_the_remedy(admin, interval, field, value, remedy):
    found = errors_of(admin.post(ADD, fields(interval, **{field: value})))
    assert list(found) == [field]
    assert remedy in " ".join(found[field])
    assert PeriodicTask.objects.count() == 0


@pytest.mark.parametrize(
    "given", [{"interval": None}, {"expires_0": "2030-01-01", "expires_1": "00:00", "expire_seconds": "5"}]
)
def test_it_needs_one_schedule_and_one_way_to_expire(admin, interval, given):
    assert errors_of(admin.post(ADD, fields(interval, **given)))
    assert PeriodicTask.objects.count() == 0


def test_celerys_own_clean_up_may_be_given_another_time(admin, interval):
    row = PeriodicTask.objects.create(name="celery.backend_cleanup", task="celery.backend_cleanup", interval=interval)
    page = f"/admin/django_celery_beat/periodictask/{row.pk}/change/"
    given = fields(interval, name=row.name, task=row.task, args="[]", expire_seconds="77")
    assert admin.get(page).status_code == 200
    assert admin.post(page, given).status_code == 302
    row.refresh_from_db()
    assert row.expire_seconds == 77


def test_an_entry_of_a_task_that_is_gone_can_be_opened_and_says_so(admin, interval):
    row = PeriodicTask.objects.create(name="old", task="os.system", args="not JSON", interval=interval)
    page = f"/admin/django_celery_beat/periodictask/{row.pk}/change/"
    assert "os.system is not a task of this version" in admin.get(page).content.decode()
    assert set(errors_of(admin.post(page, fields(interval, name="old", task="os.system")))) == {"task"}


def test_every_task_on_offer_has_a_signature_and_none_is_planned():
    offered = [name for names in schedulable_tasks().values() for name in names]
    assert "orders.tasks.sweep_stuck_orders" in offered
    assert set(offered) & set(planned_targets()) == set()
    assert [name for name in offered if name.startswith("celery.") or not callable(current_app.tasks[name].run)] == []


PAGES = {
    IntervalSchedule: ({"every": "5", "period": "minutes"}, {"every": "0", "period": "minutes"}),
    CrontabSchedule: (
        {"minute": "5", "hour": "*", "day_of_month": "*", "month_of_year": "*", "day_of_week": "*", "timezone": "UTC"},
        {"minute": "77", "hour": "x", "day_of_month": "*", "month_of_year": "*", "day_of_week": "*", "timezone": "?"},
    ),
    ClockedSchedule: (
        {"clocked_time_0": "2030-01-01", "clocked_time_1": "00:00"},
        {"clocked_time_0": "soon", "clocked_time_1": ""},
    ),
}
INLINE = {f"periodictask_set-{name}": "0" for name in ("TOTAL_FORMS", "INITIAL_FORMS")}


@pytest.mark.parametrize("model", list(PAGES))
def test_the_pages_of_a_schedule_open_take_what_is_right_and_refuse_what_is_not(admin, model):
    place = f"/admin/django_celery_beat/{model._meta.model_name}/"
    right, wrong = PAGES[model]
    assert errors_of(admin.post(f"{place}add/", {**wrong, **INLINE}))
    assert model.objects.count() == 0
    assert admin.post(f"{place}add/", {**right, **INLINE}).status_code == 302
    row = model.objects.get()
    for page in (place, f"{place}add/", f"{place}{row.pk}/change/", f"{place}{row.pk}/delete/"):
        assert admin.get(page).status_code == 200


@pytest.mark.parametrize(
    ("every", "period"),
    [("4000", "days"), ("2147483647", "hours"), ("99999999999999999999", "seconds"), ("1", "microseconds")],
)
def test_an_interval_that_beat_cannot_keep_is_refused(admin, every, period):
    answer = admin.post("/admin/django_celery_beat/intervalschedule/add/", {"every": every, "period": period, **INLINE})
    assert list(errors_of(answer)) == ["every"]
    assert IntervalSchedule.objects.count() == 0


def test_a_solar_schedule_says_what_it_needs(admin, interval):
    place = "/admin/django_celery_beat/solarschedule/"
    given = {"event": "sunrise", "latitude": "10", "longitude": "20"}
    assert "ephem" in str(errors_of(admin.post(f"{place}add/", {**given, **INLINE})))
    row = SolarSchedule.objects.create(**given)
    for page in (place, f"{place}add/", f"{place}{row.pk}/change/"):
        assert admin.get(page).status_code == 200
    found = errors_of(admin.post(ADD, fields(interval, interval=None, solar=row.pk)))
    assert "ephem" in str(found["solar"])


@pytest.mark.parametrize("trouble", [{"args": "not JSON"}, {"args": "[1, 2, 3]"}, {"task": "os.system"}])
def test_running_an_entry_that_cannot_run_says_so_and_sends_nothing(admin, interval, monkeypatch, trouble):
    sent = []
    monkeypatch.setattr("celery.app.amqp.AMQP.send_task_message", lambda *args, **options: sent.append(args))
    row = PeriodicTask.objects.create(
        **{"name": "mine", "task": "orders.tasks.process_order", "args": "[1]", "interval": interval, **trouble}
    )
    given = {"action": "run_tasks", "_selected_action": [row.pk]}
    answer = admin.post("/admin/django_celery_beat/periodictask/", given, follow=True)
    assert answer.status_code == 200
    assert [message.level_tag for message in answer.context["messages"]] == ["error"]
    assert sent == []


def test_running_an_entry_without_a_broker_says_so(admin, interval, monkeypatch):
    def refuse(*args, **options):
        raise OperationalError("no broker")

    monkeypatch.setattr("celery.app.task.Task.apply_async", refuse)
    row = PeriodicTask.objects.create(name="mine", task="orders.tasks.process_order", args="[1]", interval=interval)
    given = {"action": "run_tasks", "_selected_action": [row.pk]}
    answer = admin.post("/admin/django_celery_beat/periodictask/", given, follow=True)
    assert "no broker" in next(str(message) for message in answer.context["messages"])


def test_the_list_of_entries_opens_and_offers_its_actions(admin, interval):
    PeriodicTask.objects.create(name="mine", task="orders.tasks.process_order", args=json.dumps([1]), interval=interval)
    page = admin.get("/admin/django_celery_beat/periodictask/")
    assert page.status_code == 200
    assert "disable_tasks" in page.content.decode()
    assert not page.context["wrong_scheduler"]
