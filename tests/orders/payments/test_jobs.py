"""Payments and refunds as jobs: who died is followed at once, who is away waited for, who lost its lease is silent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone

from myproject.errors import OutageError
from myproject.jobs.models import Job
from myproject.jobs.sending import enqueue
from myproject.jobs.states import JobState
from orders.gateways.juspay import JuspayGateway
from orders.models import Payment, Refund
from orders.states import PaymentStatus, RefundStatus
from tests.orders.payments.refunds import accepted_by, captured, plan
from tests.sandbox.merchant import Sandbox

Charged = Callable[..., Payment]


class Killed(BaseException):
    """Stands for kill -9 on that line."""


def take_back() -> None:
    """Do as the relay does with the job of a dead process."""
    Job.objects.filter(state=JobState.RUNNING).update(state=JobState.SCHEDULED)


@pytest.fixture
def planned(charged: Charged, provider: Sandbox, run_jobs: Any, request: pytest.FixtureRequest) -> Refund:
    """A planned refund with its job; the jobs that came before it are done."""
    payment = captured(charged, request.node.name[-30:])
    Job.objects.all().delete()
    return plan(payment, 510, enqueue=True)


@pytest.mark.parametrize("after_the_call", [False, True])
def test_a_refund_whose_sender_died_is_looked_up_at_once_and_sent_once(
    planned: Refund, provider: Sandbox, run_jobs: Any, monkeypatch: pytest.MonkeyPatch, after_the_call: bool
):
    real = JuspayGateway.create_refund

    def die(self: Any, **options: Any) -> None:
        if after_the_call:
            real(self, **options)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(JuspayGateway, "create_refund", die)
        with pytest.raises(Killed):
            run_jobs()
    planned.refresh_from_db()
    assert planned.status == RefundStatus.SENDING

    take_back()
    found = run_jobs(countdowns=True, limit=5)
    (run,) = found

    assert (run.task, run.state) == ("orders.tasks.initiate_juspay_refund", "SUCCESS")
    planned.refresh_from_db()
    assert planned.status in (RefundStatus.PENDING, RefundStatus.SETTLED)
    assert planned.payment is not None
    assert accepted_by(provider, planned.payment) == ["5.10"]


def test_a_refund_that_another_process_sends_is_waited_for(planned: Refund, provider: Sandbox, run_jobs: Any):
    Refund.objects.update(status=RefundStatus.SENDING, sent_at=timezone.now())

    (run,) = run_jobs()

    assert run.state == "RETRY"
    assert run.result.when > 1
    assert planned.payment is not None
    assert accepted_by(provider, planned.payment) == []


def test_a_provider_that_is_away_is_waited_for_and_uses_nothing_up(
    planned: Refund, provider: Sandbox, run_jobs: Any, monkeypatch: pytest.MonkeyPatch
):
    def refuse(*_: Any, **__: Any) -> None:
        raise OutageError("nobody listens")

    with monkeypatch.context() as patch:
        patch.setattr(JuspayGateway, "create_refund", refuse)
        for _ in range(3):
            assert [run.state for run in run_jobs(countdowns=True)] == ["IGNORED"]
    planned.refresh_from_db()
    assert planned.status == RefundStatus.PLANNED
    job = Job.objects.get()
    assert (job.state, job.epoch, job.attempts) == (JobState.SCHEDULED, 0, 0)

    assert [run.state for run in run_jobs(countdowns=True)] == ["SUCCESS"]
    assert planned.payment is not None
    assert accepted_by(provider, planned.payment) == ["5.10"]


def test_a_sender_that_lost_its_lease_records_nothing(
    planned: Refund, provider: Sandbox, run_jobs: Any, monkeypatch: pytest.MonkeyPatch
):
    real = JuspayGateway.create_refund

    def lose(self: Any, **options: Any) -> Any:
        answer = real(self, **options)
        Job.objects.update(token=7)  # another process claimed it meanwhile
        return answer

    monkeypatch.setattr(JuspayGateway, "create_refund", lose)

    assert [run.state for run in run_jobs()] == ["IGNORED"]

    planned.refresh_from_db()
    assert planned.status == RefundStatus.SENDING
    assert Job.objects.get().state == JobState.RUNNING


def test_a_look_up_that_lost_its_lease_books_nothing(charged: Charged, run_jobs: Any, monkeypatch: pytest.MonkeyPatch):
    payment = charged("J-LOOK")
    enqueue("orders.tasks.check_payment", payment.pk)
    real = JuspayGateway.read_order

    def lose(self: Any, **options: Any) -> Any:
        Job.objects.update(token=7)
        return real(self, **options)

    monkeypatch.setattr(JuspayGateway, "read_order", lose)

    assert [run.state for run in run_jobs()] == ["IGNORED"]

    payment.refresh_from_db()
    assert payment.status == PaymentStatus.PENDING
