"""A message is made once, sent once, and found again after every crash."""

from __future__ import annotations

import smtplib
from datetime import timedelta

import pytest
from django.core import mail
from django.urls import reverse
from django.utils import timezone

from myproject.accounts.models import User
from myproject.states import TransitionRefused
from notifications.actions import LEASE, MAX_ATTEMPTS, create_message, deliver_message, retry_message, send_welcome
from notifications.channels.mail import MailChannel
from notifications.errors import ChannelUnavailable, MessageBusy
from notifications.models import Message
from notifications.queries import count_messages, stuck_messages
from notifications.states import MessageStatus
from notifications.tasks import send_welcome_email

pytestmark = pytest.mark.django_db

NOW = timezone.now()
CONTEXT = {"order_number": "W1", "line_count": 2, "total": "12.50", "currency": "GBP"}


def make(event="order-confirmed:web:W1", recipient="anna@example.com", template="order_confirmation"):
    return create_message(
        business_event=event, channel="mail", recipient=recipient, template=template, context=CONTEXT, now=NOW
    )


def test_the_same_event_for_the_same_person_is_one_row():
    first = make()
    assert make().pk == first.pk
    assert make(recipient="ben@example.com").pk != first.pk
    assert Message.objects.count() == 2


def test_a_message_is_sent_once_however_often_the_task_runs():
    message = make()
    assert deliver_message(message_id=message.pk, now=NOW) == MessageStatus.SENT
    assert deliver_message(message_id=message.pk, now=NOW) == MessageStatus.SENT
    assert len(mail.outbox) == 1
    assert mail.outbox[0].subject == "Your order W1"
    assert "12.50 GBP" in mail.outbox[0].body
    assert mail.outbox[0].extra_headers["Message-ID"] == message.message_id


def test_the_message_id_derives_from_what_makes_the_message_unique():
    first = make()
    kept = first.message_id
    Message.objects.all().delete()
    assert make().message_id == kept
    assert make(recipient="ben@example.com").message_id != kept


def test_a_sender_that_died_is_followed_under_the_same_message_id_only_after_its_lease(monkeypatch):
    message = make()

    def die(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(MailChannel, "send", die)
    with pytest.raises(KeyboardInterrupt):
        deliver_message(message_id=message.pk, now=NOW)
    monkeypatch.undo()
    with pytest.raises(MessageBusy) as busy:
        deliver_message(message_id=message.pk, now=NOW + timedelta(seconds=1))
    assert busy.value.retry_after == LEASE.total_seconds() - 1
    assert mail.outbox == []
    assert stuck_messages(before=NOW - timedelta(hours=1), now=NOW + LEASE, limit=10) == [message.pk]
    assert deliver_message(message_id=message.pk, now=NOW + LEASE) == MessageStatus.SENT
    assert [sent.extra_headers["Message-ID"] for sent in mail.outbox] == [message.message_id]


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (smtplib.SMTPServerDisconnected("gone"), "wait"),
        (ConnectionRefusedError(), "wait"),
        (smtplib.SMTPRecipientsRefused({"anna@example.com": (450, b"later")}), "wait"),
        (smtplib.SMTPRecipientsRefused({"anna@example.com": (550, b"unknown")}), "fail"),
        (smtplib.SMTPDataError(554, b"refused"), "fail"),
    ],
)
def test_a_refusal_is_final_and_an_outage_is_not(monkeypatch, error, outcome):
    message = make()

    def refuse(self, messages):
        raise error

    monkeypatch.setattr("django.core.mail.backends.locmem.EmailBackend.send_messages", refuse)
    if outcome == "wait":
        with pytest.raises(ChannelUnavailable):
            deliver_message(message_id=message.pk, now=NOW)
    else:
        deliver_message(message_id=message.pk, now=NOW)
    message.refresh_from_db()
    assert message.status == (MessageStatus.PENDING if outcome == "wait" else MessageStatus.FAILED)
    assert message.attempts == 1
    assert "anna" not in message.failure_reason


def test_an_unknown_template_fails_for_good_and_sends_nothing():
    message = make(template="nothing_like_it")
    assert deliver_message(message_id=message.pk, now=NOW) == MessageStatus.FAILED
    assert mail.outbox == []


def test_an_operator_gives_a_failed_message_another_round_and_no_other(monkeypatch):
    message = make(template="nothing_like_it")
    deliver_message(message_id=message.pk, now=NOW)
    retry_message(message_id=message.pk, now=NOW)
    message.refresh_from_db()
    assert (message.status, message.attempts) == (MessageStatus.PENDING, 0)
    with pytest.raises(TransitionRefused):
        retry_message(message_id=message.pk, now=NOW)


def test_stuck_messages_are_those_that_wait_too_long():
    old, new = make("a"), make("b")
    Message.objects.filter(pk=old.pk).update(updated_at=NOW - timedelta(minutes=10))
    Message.objects.filter(pk=new.pk).update(updated_at=NOW)
    assert stuck_messages(before=NOW - timedelta(minutes=1), now=NOW, limit=10) == [old.pk]


def test_messages_are_counted_by_event_prefix():
    deliver_message(message_id=make("order-confirmed:a:1").pk, now=NOW)
    make("order-confirmed:a:2")
    make("order-confirmed:b:1")
    assert count_messages(event_prefix="order-confirmed:a:") == {"sent": 1, "pending": 1}


def test_a_new_user_is_welcomed_once():
    user = User.objects.create_user("anna@example.com", "a long password 1", full_name="Anna Berg")
    assert send_welcome(user_id=user.pk, now=NOW) == {"status": "sent"}
    assert send_welcome_email(user.pk) == {"status": "already_sent"}
    assert [message.subject for message in mail.outbox] == ["Welcome, Anna"]
    assert send_welcome(user_id=user.pk + 1, now=NOW) == {"status": "not_found"}


def test_a_header_cannot_be_injected_through_a_name():
    user = User.objects.create_user("anna@example.com", "a long password 1", full_name="Anna\nBcc:x@example.com")
    send_welcome(user_id=user.pk, now=NOW)
    assert all("\n" not in sent.subject and sent.bcc == [] for sent in mail.outbox)


def test_a_message_whose_senders_died_every_time_is_given_up(monkeypatch):
    message = make()
    monkeypatch.setattr(MailChannel, "send", lambda *_, **__: pytest.fail("sent"))
    Message.objects.update(status="sending", attempts=MAX_ATTEMPTS - 1, lease_until=NOW)

    with pytest.raises(pytest.fail.Exception):
        deliver_message(message_id=message.pk, now=NOW)
    assert deliver_message(message_id=message.pk, now=NOW + LEASE) == MessageStatus.FAILED

    message.refresh_from_db()
    assert (message.attempts, message.lease_until) == (MAX_ATTEMPTS, None)
    assert message.failure_reason == f"{MAX_ATTEMPTS} attempts did not end"
    assert stuck_messages(before=NOW + timedelta(days=1), now=NOW + timedelta(days=1), limit=10) == []


def test_the_admin_counts_what_another_operator_sent_again_meanwhile(admin_client, monkeypatch):
    first, second = make("a", template="nothing_like_it"), make("b", template="nothing_like_it")
    for message in (first, second):
        deliver_message(message_id=message.pk, now=NOW)

    def race(*, message_id, now):
        if message_id == first.pk:
            retry_message(message_id=message_id, now=now)
        retry_message(message_id=message_id, now=now)

    monkeypatch.setattr("notifications.admin.retry_message", race)
    answer = admin_client.post(
        reverse("admin:notifications_message_changelist"),
        {"action": "send_again", "_selected_action": [first.pk, second.pk]},
        follow=True,
    )

    assert answer.status_code == 200
    assert "1 messages will be sent again." in answer.content.decode()
    assert "1 messages are no longer failed and were left alone." in answer.content.decode()
    assert set(Message.objects.values_list("status", flat=True)) == {"pending"}
