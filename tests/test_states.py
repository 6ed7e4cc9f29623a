"""One function assigns a status, by the table, inside a transaction, once."""

from __future__ import annotations

import pytest
from django.db import transaction
from django.utils import timezone

from myproject.states import TransitionLost, TransitionRefused, state_table, transition
from notifications.models import Message
from notifications.states import MESSAGE, MessageStatus

NOW = timezone.now()


@pytest.fixture
def message(db):
    return Message.objects.create(
        business_event="e", channel="mail", recipient="a@example.com", template="welcome", message_id="<1>"
    )


def test_a_transition_writes_the_status_the_changes_and_the_record(message):
    seen = []
    transition(
        message, MessageStatus.SENDING, table=MESSAGE, now=NOW, attempts=1,
        record=lambda row, old, new, now: seen.append((row.pk, old, new, now)),
    )  # fmt: skip
    assert seen == [(message.pk, "pending", "sending", NOW)]
    message.refresh_from_db()
    assert (message.status, message.attempts, message.updated_at) == ("sending", 1, NOW)


def test_what_the_table_does_not_allow_is_refused_and_nothing_is_written(message):
    with pytest.raises(TransitionRefused):
        transition(message, MessageStatus.SENT, table=MESSAGE, now=NOW, attempts=9)
    message.refresh_from_db()
    assert (message.status, message.attempts) == ("pending", 0)


def test_of_two_processes_one_wins(message):
    twin = Message.objects.get(pk=message.pk)
    transition(message, MessageStatus.SENDING, table=MESSAGE, now=NOW)
    with pytest.raises(TransitionLost):
        transition(twin, MessageStatus.SENDING, table=MESSAGE, now=NOW, attempts=9)
    message.refresh_from_db()
    assert message.attempts == 0


@pytest.mark.django_db(transaction=True)
def test_outside_of_a_transaction_status_and_event_could_part(message):
    with pytest.raises(transaction.TransactionManagementError):
        transition(message, MessageStatus.SENDING, table=MESSAGE, now=NOW)


def test_a_table_with_a_target_that_is_no_row_is_refused():
    with pytest.raises(ValueError, match="gone"):
        state_table("thing", {"here": {"gone"}})


def test_final_statuses_are_those_that_nothing_follows():
    assert MESSAGE.final == {MessageStatus.SENT}
