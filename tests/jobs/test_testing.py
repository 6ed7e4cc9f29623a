"""Jobs run in tests: in the test's own process and transaction."""

from __future__ import annotations

import pytest
from django.core import mail
from django.db import transaction
from django.test import TestCase
from django.utils import timezone

from catalog.models import Stock
from myproject.accounts.models import User
from myproject.celery import app
from myproject.errors import RetryableError, TerminalError
from myproject.jobs import testing
from myproject.jobs.models import Job, JobKey, UniqueKey
from myproject.jobs.sending import enqueue
from myproject.jobs.states import JobState
from notifications.actions import create_message
from notifications.channels.mail import MailChannel
from notifications.errors import ChannelUnavailable
from notifications.models import Message
from orders.models import Order
from orders.states import OrderStatus
from tests.orders.factories import bring_order, line, make_variant, pay

NOW = timezone.now()


def promise_welcome() -> User:
    user = User.objects.create_user("anna@example.com", "a long password 1", full_name="Anna Berg")
    enqueue("notifications.tasks.send_welcome_email", user.pk)
    return user


class InATestCase(TestCase):
    """The way of unittest."""

    def test_the_jobs_of_a_test_case_run_inside_its_transaction(self) -> None:
        user = promise_welcome()

        (ran,) = testing.run_jobs()

        assert (ran.task, ran.args, ran.state) == ("notifications.tasks.send_welcome_email", [user.pk], "SUCCESS")
        assert ran.result == {"status": "sent"}
        assert [message.to for message in mail.outbox] == [["anna@example.com"]]
        assert Job.objects.get().state == JobState.SUCCEEDED
        assert testing.run_jobs() == []


@pytest.mark.django_db
def test_what_a_job_promises_runs_as_well(run_jobs):
    make_variant()
    order = bring_order(line())
    pay(order)
    enqueue("orders.tasks.process_order", order.pk)

    assert [ran.task for ran in run_jobs()] == ["orders.tasks.process_order", "notifications.tasks.deliver_message"]
    assert Order.objects.get().status == OrderStatus.PROCESSED
    assert len(mail.outbox) == 1


@pytest.mark.django_db(transaction=True)
def test_it_runs_outside_of_a_transaction_too(run_jobs):
    promise_welcome()
    assert [ran.state for ran in run_jobs()] == ["SUCCESS"]
    assert len(mail.outbox) == 1


@pytest.mark.django_db
def test_what_was_rolled_back_does_not_run(run_jobs):
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        promise_welcome()
        raise ZeroDivisionError
    assert run_jobs() == []


@pytest.mark.django_db
def test_the_error_that_parks_a_job_is_raised_and_the_body_is_undone(run_jobs, monkeypatch):
    make_variant()
    order = bring_order(line())
    pay(order)
    Stock.objects.update(on_hand=94)
    enqueue("orders.tasks.process_order", order.pk)

    def fail(**_):
        raise TerminalError("the ledger does not balance")

    monkeypatch.setattr("orders.actions.process.ledger.post", fail)
    with pytest.raises(TerminalError, match="the ledger does not balance"):
        run_jobs()

    assert Job.objects.get().state == JobState.PARKED
    assert Stock.objects.get().on_hand == 94


@pytest.mark.django_db
def test_an_error_that_is_expected_is_a_result(run_jobs):
    enqueue("orders.tasks.validate_order", 7)
    promise_welcome()

    refused, welcomed = run_jobs(raise_errors=False)

    assert (refused.state, type(refused.result).__name__) == ("FAILURE", "OrderNotFound")
    assert welcomed.state == "SUCCESS"


@pytest.mark.django_db
def test_a_retry_waits_until_countdowns_are_asked_for(run_jobs, monkeypatch):
    message = create_message(
        business_event="e",
        channel="mail",
        recipient="a@example.com",
        template="welcome",
        context={"name": "A"},
        now=NOW,
    )
    enqueue("notifications.tasks.deliver_message", message.pk)
    with monkeypatch.context() as patch:
        patch.setattr(MailChannel, "send", lambda *_, **__: _raise(ChannelUnavailable("not now", retry_after=60)))
        assert [ran.state for ran in run_jobs()] == ["RETRY"]
        assert run_jobs() == []
    assert [ran.state for ran in run_jobs(countdowns=True)] == ["SUCCESS"]
    assert Message.objects.get().status == "sent"


def _raise(error: Exception) -> None:
    raise error


@pytest.mark.django_db
def test_tasks_that_never_end_are_stopped(run_jobs, monkeypatch):
    enqueue("orders.tasks.check_refund", 1)
    monkeypatch.setattr(
        "orders.actions.refund_sending.check_refund", lambda **_: _raise(RetryableError("again", retry_after=1))
    )
    with pytest.raises(RuntimeError, match=r"5 jobs ran and 1 are due: orders\.tasks\.check_refund was the last"):
        run_jobs(countdowns=True, limit=5)


@pytest.fixture
def eager():
    app.conf.task_always_eager = True
    yield
    app.conf.task_always_eager = False


@pytest.mark.django_db(transaction=True)
def test_an_eager_task_runs_at_once_outside_a_transaction_and_on_commit_inside(eager):
    user = promise_welcome()
    assert len(mail.outbox) == 1

    Message.objects.all().delete()
    with transaction.atomic():
        enqueue("notifications.tasks.send_welcome_email", user.pk)
        assert len(mail.outbox) == 1
    assert len(mail.outbox) == 2

    Message.objects.all().delete()
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        enqueue("notifications.tasks.send_welcome_email", user.pk)
        raise ZeroDivisionError
    assert len(mail.outbox) == 2
    assert not Job.objects.exists()


@pytest.mark.django_db
def test_an_eager_task_in_a_test_case_runs_at_once(eager):
    promise_welcome()
    assert len(mail.outbox) == 1


@pytest.mark.django_db
def test_an_eager_call_gets_what_json_makes_of_its_arguments(eager):
    from orders.tasks import validate_order

    result = app.tasks["orders.tasks.charge_payment"].apply_async(({"order_id": 1, 2: (3, 4)},))
    assert type(result.result).__name__ == "OrderNotFound"
    assert validate_order.delay(1).state == "FAILURE"
    with pytest.raises(TypeError, match="argument 1 is an instance of User: pass its primary key"):
        validate_order.delay(User(pk=1))


@pytest.mark.django_db(transaction=True)
def test_a_unique_call_outside_of_a_transaction_is_one_transaction_with_its_keys():
    first = app.tasks["search.tasks.verify_index"].delay()
    assert app.tasks["search.tasks.verify_index"].delay().id == first.id
    app.tasks["orders.tasks.process_order"].delay(7)

    assert Job.objects.count() == 2
    assert list(UniqueKey.objects.values_list("job_id", flat=True)) == [first.id]
    assert list(JobKey.objects.values_list("name", "value")) == [("order", "7")]
