"""How the tasks of money are retried: by class, and as late as the provider asks."""

from __future__ import annotations

from typing import Any

import pytest
from celery.app.task import Task
from celery.exceptions import Retry

from myproject.errors import RetryableError, TerminalError, UnknownOutcomeError
from myproject.states import TransitionLost
from orders.actions import refund_sending
from orders.tasks import check_payment, check_refund, initiate_juspay_refund, process_webhook_event


@pytest.fixture
def retried(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What was handed to Celery's own retry."""
    calls: list[dict[str, Any]] = []

    def retry(self: Any, *args: Any, **options: Any) -> None:
        calls.append(options)
        raise Retry

    monkeypatch.setattr(Task, "retry", retry)
    return calls


def fail_with(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def check(**_: Any) -> None:
        raise error

    monkeypatch.setattr(refund_sending, "check_refund", check)


def test_the_pause_that_the_provider_asks_for_wins(monkeypatch: pytest.MonkeyPatch, retried: list[dict[str, Any]]):
    fail_with(monkeypatch, RetryableError("busy", retry_after=6.0))

    with pytest.raises(Retry):
        check_refund.run(1)

    assert [call["countdown"] for call in retried] == [6.0]


@pytest.mark.parametrize(
    "error",
    [RetryableError("x"), UnknownOutcomeError("x"), TransitionLost("x")],
)
def test_what_may_work_later_is_tried_again_with_backoff(
    monkeypatch: pytest.MonkeyPatch, retried: list[dict[str, Any]], error: Exception
):
    fail_with(monkeypatch, error)

    with pytest.raises(Retry):
        check_refund.run(1)

    (call,) = retried
    assert call["exc"] is error
    assert 0 <= call["countdown"] <= 1


def test_what_will_never_work_is_not_tried_again(monkeypatch: pytest.MonkeyPatch, retried: list[dict[str, Any]]):
    fail_with(monkeypatch, TerminalError("no"))

    with pytest.raises(TerminalError):
        check_refund.run(1)

    assert retried == []


def test_the_names_are_the_missions():
    assert initiate_juspay_refund.name == "orders.tasks.initiate_juspay_refund"
    assert check_refund.name == "orders.tasks.check_refund"
    assert check_payment.name == "orders.tasks.check_payment"
    assert process_webhook_event.name == "orders.tasks.process_webhook_event"
