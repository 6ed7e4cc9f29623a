"""Messages as jobs: a job that died is followed at once, one that is busy is waited for, none is sent twice."""

from __future__ import annotations

import smtplib
from typing import Any

import pytest
from django.core import mail
from django.utils import timezone

from myproject.jobs.models import Job
from myproject.jobs.sending import enqueue
from myproject.jobs.states import JobState
from notifications import actions
from notifications.actions import create_message
from notifications.channels.mail import MailChannel
from notifications.models import Message
from notifications.states import MessageStatus

pytestmark = pytest.mark.django_db

OPEN = "django.core.mail.backends.locmem.EmailBackend.open"


class Killed(BaseException):
    """Stands for kill -9 on that line."""


@pytest.fixture
def message() -> Message:
    """A message that waits, with its job."""
    made = create_message(
        business_event="order-confirmed:web:W1", channel="mail", recipient="anna@example.com", now=timezone.now(),
        template="order_confirmation", context={"order_number": "W1", "line_count": 2, "total": "1", "currency": "GBP"},
    )  # fmt: skip
    enqueue("notifications.tasks.deliver_message", made.pk)
    return made


def take_back() -> None:
    """Do as the relay does with the job of a dead process."""
    Job.objects.filter(state=JobState.RUNNING).update(state=JobState.SCHEDULED)


@pytest.mark.parametrize("after_the_call", [False, True])
def test_a_job_that_died_while_it_sent_goes_on_at_once(message, run_jobs, monkeypatch, after_the_call):
    real = MailChannel.send

    def die(self: Any, **options: Any) -> None:
        if after_the_call:
            real(self, **options)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(MailChannel, "send", die)
        with pytest.raises(Killed):
            run_jobs()
    message.refresh_from_db()
    assert message.status == MessageStatus.SENDING

    take_back()
    assert [run.result for run in run_jobs(countdowns=True)] == ["sent"]

    message.refresh_from_db()
    assert (message.status, message.attempts) == (MessageStatus.SENT, 2)
    # What the receiver cannot tell apart is sent again, under the same Message-ID: the declared policy.
    sent = [found.extra_headers["Message-ID"] for found in mail.outbox]
    assert sent == [message.message_id] * (2 if after_the_call else 1)


def test_a_message_that_another_job_sends_is_waited_for(message, run_jobs):
    Message.objects.update(
        status=MessageStatus.SENDING, lease_until=timezone.now() + actions.LEASE, held_by="another job"
    )

    (run,) = run_jobs()

    assert run.state == "RETRY"
    assert 50 < run.result.when <= 60
    assert mail.outbox == []
    Message.objects.update(status=MessageStatus.SENT)
    assert [run.result for run in run_jobs(countdowns=True)] == ["sent"]
    assert mail.outbox == []


@pytest.mark.parametrize(
    "error",
    [ConnectionRefusedError(), TimeoutError(), smtplib.SMTPConnectError(421, b"closing"), OSError("no route to host")],
)
def test_a_mail_server_that_is_away_is_waited_for_and_uses_nothing_up(message, run_jobs, monkeypatch, error):
    def refuse(self: Any) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(OPEN, refuse)
        for _ in range(3):
            assert [run.state for run in run_jobs(countdowns=True)] == ["IGNORED"]
    message.refresh_from_db()
    assert (message.status, message.attempts) == (MessageStatus.PENDING, 0)
    job = Job.objects.get()
    assert (job.state, job.epoch, job.attempts) == (JobState.SCHEDULED, 0, 0)

    assert [run.result for run in run_jobs(countdowns=True)] == ["sent"]
    assert len(mail.outbox) == 1


def test_a_sender_that_lost_its_lease_records_nothing(message, run_jobs, monkeypatch):
    def lose(self: Any, **_: Any) -> None:
        Job.objects.update(token=7)  # another process claimed it meanwhile
        Message.objects.update(failure_reason="the other one's")

    monkeypatch.setattr(MailChannel, "send", lose)

    assert [run.state for run in run_jobs()] == ["IGNORED"]

    message.refresh_from_db()
    assert (message.status, message.failure_reason) == (MessageStatus.SENDING, "the other one's")
    assert Job.objects.get().state == JobState.RUNNING


def test_a_refused_login_is_tried_again_and_counted(message, run_jobs, monkeypatch):
    def refuse(self: Any) -> None:
        raise smtplib.SMTPAuthenticationError(535, b"no")

    monkeypatch.setattr(OPEN, refuse)

    assert run_jobs()[0].state == "RETRY"

    message.refresh_from_db()
    assert message.status == MessageStatus.PENDING
    assert message.attempts >= 1
