"""A call is a row in the caller's transaction."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.contrib.auth.models import Group
from django.db import transaction
from django.utils import timezone

from myproject.jobs import ledger
from myproject.jobs.models import Job, JobKey, UniqueKey
from myproject.jobs.payload import LARGEST_BODY, PayloadRefused
from myproject.jobs.publishing import REDACTED, hint_of, publisher
from myproject.jobs.states import JobState
from tests.jobs.job_tasks import RAN, app, best_effort, extend, make_due, replace, run_open, skip, write

pytestmark = pytest.mark.django_db(transaction=True)


class Rollback(Exception):
    """Ends a transaction."""


def test_a_committed_call_runs_and_one_of_a_transaction_that_rolled_back_never_was():
    with transaction.atomic():
        kept = write.delay("kept")
        with pytest.raises(Rollback), transaction.atomic():
            write.delay("undone with its savepoint")
            raise Rollback
    with pytest.raises(Rollback), transaction.atomic():
        write.delay("undone")
        raise Rollback

    assert list(Job.objects.values_list("id", "task", "queue", "app")) == [(kept.id, "t.write", "default", "myproject")]
    run_open()
    assert RAN == ["kept"]
    assert list(Group.objects.values_list("name", flat=True)) == ["kept"]


def test_a_call_answers_with_its_id_before_the_commit():
    with transaction.atomic():
        result = write.delay("early")
        assert Job.objects.filter(id=result.id).exists()
        assert result.state == "PENDING"


@pytest.mark.parametrize("task_id", ["daily report / 2026-11-21", "ü", "x" * 191])
def test_any_text_works_as_an_id(task_id):
    assert write.apply_async(("named",), task_id=task_id).id == task_id
    run_open()
    assert Job.objects.get(id=task_id).state == JobState.SUCCEEDED


@pytest.mark.parametrize("task_id", ["x" * 192, 7])
def test_an_id_that_no_column_holds_is_refused(task_id):
    with pytest.raises(PayloadRefused, match="task_id: read"):
        write.apply_async(("named",), task_id=task_id)
    assert not Job.objects.exists()


def test_the_same_id_again_is_the_same_promise():
    write.apply_async(("first",), task_id="once")
    with transaction.atomic():
        write.apply_async(("second",), task_id="once")
        Group.objects.create(name="goes on")
    run_open()
    write.apply_async(("third",), task_id="once")
    run_open()

    assert RAN == ["first"]
    assert Group.objects.filter(name="goes on").exists()


def test_a_countdown_and_an_eta_wait_in_the_database():
    write.apply_async(("later",), countdown=3600)
    write.apply_async(("at",), eta=datetime.now(UTC) + timedelta(days=400))
    run_open()

    assert RAN == []
    due = list(Job.objects.order_by("due_at").values_list("state", "due_at"))
    assert [state for state, _ in due] == [JobState.SCHEDULED, JobState.SCHEDULED]
    assert abs((due[0][1] - timezone.now()).total_seconds() - 3600) < 60
    assert abs((due[1][1] - timezone.now()).total_seconds() - 400 * 86_400) < 60
    make_due()
    run_open()
    assert sorted(RAN) == ["at", "later"]


def test_arguments_are_in_the_body_and_nowhere_else():
    write.apply_async(("a secret",), kwargs=None, headers={"reason": "test"})
    row = ledger.read(Job.objects.get().id)
    assert row is not None
    headers = publisher(app).headers(hint_of(row, epoch=row.epoch, delivery=0))

    assert "a secret" not in json.dumps(headers)
    assert headers["argsrepr"] == headers["kwargsrepr"] == REDACTED
    assert headers["reason"] == "test"
    assert headers["job_epoch"] == 0


def test_options_of_a_call_reach_its_message():
    write.apply_async(("x",), queue="other", priority=9, expires=60, time_limit=30, soft_time_limit=20)
    row = ledger.read(Job.objects.get().id)
    assert row is not None
    headers = publisher(app).headers(hint_of(row, epoch=row.epoch, delivery=2))

    assert (row.queue, row.priority) == ("other", 9)
    assert headers["timelimit"] == [30, 20]
    assert datetime.fromisoformat(headers["expires"]) > datetime.now(UTC)
    assert headers["job_delivery"] == 2


def test_what_is_not_json_is_refused_where_it_is_called():
    group = Group.objects.create(name="a row")
    with pytest.raises(PayloadRefused, match=r"argument 1 is an instance of Group: pass its primary key"):
        write.delay(group)
    with pytest.raises(PayloadRefused, match=r"argument slug\['rows'\]\[1\] is a queryset: pass a list of"):
        write.delay(slug={"rows": [1, Group.objects.all()]})
    with pytest.raises(PayloadRefused, match="argument 1 is not JSON"):
        write.delay(object())
    with pytest.raises(PayloadRefused, match=r"the arguments take .* bytes and a job holds"):
        write.delay("x" * LARGEST_BODY)
    with pytest.raises(PayloadRefused, match="serializer 'pickle' is for best-effort tasks"):
        write.apply_async(("x",), serializer="pickle")
    with pytest.raises(TypeError, match="missing 1 required positional argument"):
        write.delay()
    assert not Job.objects.exists()


def test_celerys_json_types_pass():
    when = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    extend.delay([when, Decimal("1.10"), {"a": None}])
    run_open()
    assert [[when, Decimal("1.10"), {"a": None}]] == RAN


def test_business_keys_are_rows():
    result = write.delay(slug="order-7")
    assert list(JobKey.objects.values_list("job_id", "name", "value")) == [(result.id, "slug", "order-7")]


def test_a_unique_job_stands_for_later_calls_while_it_is_open():
    first = skip.delay("a", text="first")
    assert skip.delay("a", text="second").id == first.id
    assert skip.delay("b").id != first.id
    run_open()
    assert sorted(RAN) == [("a", "first"), ("b", "")]
    assert not UniqueKey.objects.exists()
    assert skip.delay("a", text="third").id != first.id


def test_the_last_call_replaces_the_one_that_waits():
    first = replace.delay("a", text="first")
    second = replace.delay("a", text="second")
    run_open()
    assert RAN == [("a", "second")]
    assert Job.objects.get(id=first.id).state == JobState.CANCELLED
    assert Job.objects.get(id=second.id).state == JobState.SUCCEEDED


def test_each_call_puts_the_job_off():
    first = extend.apply_async(("a",), countdown=5)
    assert extend.apply_async(("a",), countdown=500).id == first.id
    due = Job.objects.get().due_at
    assert (due - timezone.now()).total_seconds() > 400


def test_a_unique_call_that_is_rolled_back_leaves_the_key_free():
    with pytest.raises(Rollback), transaction.atomic():
        skip.delay("a", text="undone")
        raise Rollback
    skip.delay("a", text="kept")
    run_open()
    assert RAN == [("a", "kept")]


def test_a_best_effort_call_leaves_no_row():
    best_effort.delay(1)
    assert not Job.objects.exists()


def test_eager_jobs_run_at_once_or_on_commit_after_a_round_trip_through_json():
    app.conf.task_always_eager = True
    try:
        assert write.delay("now").state == "SUCCESS"
        with transaction.atomic():
            result = write.delay("on commit")
            assert RAN == ["now"]
            assert result.state == "PENDING"
        assert RAN == ["now", "on commit"]
        assert result.state == "SUCCESS"
        with pytest.raises(PayloadRefused):
            write.delay(Group(name="a row"))
        with pytest.raises(Rollback), transaction.atomic():
            write.delay("never")
            raise Rollback
    finally:
        app.conf.task_always_eager = False
    assert RAN == ["now", "on commit"]
    assert not Job.objects.exists()
