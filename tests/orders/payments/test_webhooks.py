"""POST /webhooks/juspay: who may send, what is kept, what is enqueued; and what processing it does."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from django.db import DatabaseError
from django.test import Client

from myproject.errors import RetryableError
from orders.actions.payments import PaymentMismatch
from orders.actions.webhooks import SUPPORTED_EVENTS, process_webhook_event, receive_webhook
from orders.gateways.juspay import JuspayGateway
from orders.models import LedgerTransaction, Order, OrderEvent, Payment, WebhookEvent
from orders.states import OrderStatus, PaymentStatus, WebhookStatus
from tests.orders.factories import NOW
from tests.promises import Promises
from tests.sandbox.merchant import Sandbox

pytestmark = pytest.mark.django_db

SECRET = "4111111111111111"


def body(**changes: Any) -> dict[str, Any]:
    event = {
        "id": "evt_V2_1",
        "event_name": "ORDER_SUCCEEDED",
        "date_created": "2023-08-10T07:00:48Z",
        "content": {"order": {"order_id": "P1", "status": "CHARGED", "customer_email": SECRET}},
    }
    return event | changes


def authorization(user: str = "webhook", password: str = "webhook-password") -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def send(content: Any = None, *, client: Client | None = None, header: str | None = None) -> Any:
    data = content if isinstance(content, bytes) else json.dumps(content or body()).encode()
    return (client or Client()).post(
        "/webhooks/juspay",
        data=data,
        content_type="application/json",
        headers={"Authorization": authorization() if header is None else header},
    )


def test_a_webhook_is_kept_by_its_names_and_processed_later(sent: Promises):
    answer = send()

    assert (answer.status_code, json.loads(answer.content)) == (200, {"status": "received"})
    event = WebhookEvent.objects.get()
    assert (event.provider, event.event_id, event.event_name) == ("juspay", "evt_V2_1", "ORDER_SUCCEEDED")
    assert (event.provider_order_id, event.status) == ("P1", WebhookStatus.RECEIVED)
    assert sent() == [("orders.tasks.process_webhook_event", event.pk)]


def test_nothing_else_of_the_body_is_kept_or_logged(sent: Promises, caplog: pytest.LogCaptureFixture):
    caplog.set_level("DEBUG")

    send()

    assert SECRET not in str(list(WebhookEvent.objects.values()))
    assert SECRET not in caplog.text


def test_the_same_event_again_is_answered_and_enqueues_nothing(sent: Promises):
    send()
    event = WebhookEvent.objects.get()

    again = send()

    assert again.status_code == 200
    assert WebhookEvent.objects.get() == event
    assert len(sent()) == 1


@pytest.mark.parametrize("name", ["TXN_CHARGED", "REFUND_INITIATED", "MANDATE_CREATED", "A_NAME_OF_TOMORROW"])
def test_an_unsupported_event_is_answered_and_ignored(sent: Promises, name: str):
    answer = send(body(event_name=name, content={}))

    assert (answer.status_code, json.loads(answer.content)) == (200, {"status": "ignored"})
    assert WebhookEvent.objects.get().status == WebhookStatus.IGNORED
    assert sent() == []


def test_one_webhook_is_its_row_and_its_job_in_one_transaction(sent: Promises, django_assert_num_queries: Any):
    client = Client()
    # SAVEPOINT, event, RELEASE: inside the test's own transaction, on whose COMMIT the job and its key would ride
    with django_assert_num_queries(3):
        send(client=client)
    assert sent() == [("orders.tasks.process_webhook_event", WebhookEvent.objects.get().pk)]


@pytest.mark.parametrize(
    "header",
    [
        "",
        authorization(password="wrong"),
        authorization(user="wrong"),
        authorization(user="", password=""),
        authorization() + " ",
        authorization()[:-1],
        "Bearer x",
        "Basic",
        "Basic \xff",
    ],
)
def test_a_stranger_is_refused_and_nothing_is_kept(sent: Promises, header: str):
    answer = send(header=header)

    assert answer.status_code == 401
    assert answer["WWW-Authenticate"] == 'Basic realm="webhooks"'
    assert answer["Content-Type"] == "application/problem+json"
    assert WebhookEvent.objects.count() == 0
    assert sent() == []


def test_without_a_configured_password_nobody_is_the_sender(settings: Any):
    settings.JUSPAY_WEBHOOK_USER = settings.JUSPAY_WEBHOOK_PASSWORD = ""

    assert send(header=authorization("", "")).status_code == 401
    assert WebhookEvent.objects.count() == 0


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b'"x"',
        b"\xff\xfe",
        b"[" * 50_000,
        b'{"id": NaN}',
        json.dumps(body()).encode().replace(b'"order_id"', b'"order_id": "P2", "order_id"'),
        json.dumps(body()).encode().replace(b'"id": "evt', b'"id": "evt_2", "id": "evt'),
        json.dumps(body(id="")).encode(),
        json.dumps(body(id=7)).encode(),
        json.dumps(body(id="x" * 129)).encode(),
        json.dumps(body(id="evt\ud800")).encode(),
        json.dumps(body(id="evt 1")).encode(),
        json.dumps(body(event_name=None)).encode(),
        json.dumps(body(event_name="order_succeeded")).encode(),
        json.dumps(body(content=None)).encode(),
        json.dumps(body(content={"order": {}})).encode(),
        json.dumps(body(content={"order": {"order_id": "P1/../x"}})).encode(),
        json.dumps(body(content={"order": {"order_id": "x" * 65}})).encode(),
    ],
)
def test_what_is_no_webhook_is_refused_and_nothing_is_kept(sent: Promises, content: bytes):
    answer = send(content)

    assert answer.status_code == 400
    assert json.loads(answer.content)["code"] == "bad_webhook"
    assert WebhookEvent.objects.count() == 0
    assert sent() == []


def test_a_body_beyond_the_limit_is_refused():
    answer = send(json.dumps(body(padding="x" * 300_000)).encode())

    assert answer.status_code == 413
    assert WebhookEvent.objects.count() == 0


@pytest.mark.parametrize("method", ["get", "put", "delete", "patch"])
def test_only_post_is_taken(method: str):
    answer = getattr(Client(), method)("/webhooks/juspay", headers={"Authorization": authorization()})

    assert (answer.status_code, answer["Allow"]) == (405, "POST")


def test_no_session_and_no_csrf_token_is_needed():
    assert send(client=Client(enforce_csrf_checks=True)).status_code == 200


# --- Processing -------------------------------------------------------------------------------------------------------


def receive(payment: Payment, event_id: str = "evt1", name: str = "ORDER_SUCCEEDED") -> WebhookEvent:
    return receive_webhook(
        provider="juspay",
        event_id=event_id,
        event_name=name,
        provider_order_id=payment.provider_order_id,
        now=NOW,
    )


def test_a_webhook_of_a_paid_order_captures_it(charged: Callable[..., Payment], sent: Promises):
    payment = charged("W1")
    event = receive(payment)

    status = process_webhook_event(event_pk=event.pk, now=NOW)

    assert status == WebhookStatus.PROCESSED
    payment.refresh_from_db()
    assert payment.status == PaymentStatus.CAPTURED
    assert [call for call in sent() if call[0].endswith("process_order")] == [
        ("orders.tasks.process_order", payment.order_id)
    ]
    assert OrderEvent.objects.filter(actor="webhook").count() == 2


def test_a_webhook_alone_moves_no_money(charged: Callable[..., Payment], order_of: Any, provider: Sandbox):
    """Somebody who knows the password says that an order succeeded; the provider says that it is unpaid."""
    from orders.actions.payments import start_payment

    payment = start_payment(order_id=order_of("W2").pk, actor="user:1", now=NOW)
    event = receive(payment)

    process_webhook_event(event_pk=event.pk, now=NOW)

    payment.refresh_from_db()
    assert payment.status == PaymentStatus.PENDING
    assert Order.objects.get().status == OrderStatus.PENDING_PAYMENT
    assert LedgerTransaction.objects.count() == 0


def test_every_event_of_an_order_and_each_of_them_twice_is_one_capture(charged: Callable[..., Payment], sent: Promises):
    payment = charged("W3")
    events = [receive(payment, f"evt{number}", name) for number, name in enumerate(sorted(SUPPORTED_EVENTS))]

    for event in [*events, *reversed(events)]:
        process_webhook_event(event_pk=event.pk, now=NOW)

    assert LedgerTransaction.objects.count() == 1
    assert [name for name, *_ in sent() if name.endswith("process_order")] == ["orders.tasks.process_order"]
    assert set(WebhookEvent.objects.values_list("status", flat=True)) == {WebhookStatus.PROCESSED}


def test_an_order_that_is_not_ours_is_ignored_without_a_call(monkeypatch: pytest.MonkeyPatch):
    event = receive(Payment(provider_order_id="SOMEBODYELSES"))
    monkeypatch.setattr(JuspayGateway, "read_order", lambda *_, **__: pytest.fail("called"))

    assert process_webhook_event(event_pk=event.pk, now=NOW) == WebhookStatus.IGNORED


def test_a_failed_look_up_leaves_the_event_for_the_next_try(charged: Callable[..., Payment], sent: Promises):
    payment = charged("O-503-W")
    event = receive(payment)

    with pytest.raises(RetryableError):
        process_webhook_event(event_pk=event.pk, now=NOW)

    event.refresh_from_db()
    assert event.status == WebhookStatus.RECEIVED
    assert LedgerTransaction.objects.count() == 0
    assert process_webhook_event(event_pk=event.pk, now=NOW) == WebhookStatus.PROCESSED


def test_a_mismatch_closes_the_event_and_fails_the_task(charged: Callable[..., Payment], sent: Promises):
    payment = charged("W4")
    Payment.objects.filter(pk=payment.pk).update(amount_minor=1529)
    event = receive(payment)

    with pytest.raises(PaymentMismatch):
        process_webhook_event(event_pk=event.pk, now=NOW)

    event.refresh_from_db()
    assert event.status == WebhookStatus.PROCESSED
    assert OrderEvent.objects.filter(kind="payment.mismatch").count() == 1
    assert LedgerTransaction.objects.count() == 0


def test_a_crash_while_booking_leaves_neither_half(
    charged: Callable[..., Payment], sent: Promises, monkeypatch: pytest.MonkeyPatch
):
    payment = charged("W5")
    event = receive(payment)
    with monkeypatch.context() as patch:
        patch.setattr("orders.actions.webhooks.transition", _die)
        with pytest.raises(DatabaseError):
            process_webhook_event(event_pk=event.pk, now=NOW)

    payment.refresh_from_db()
    event.refresh_from_db()
    assert (payment.status, event.status) == (PaymentStatus.PENDING, WebhookStatus.RECEIVED)
    assert LedgerTransaction.objects.count() == 0
    process_webhook_event(event_pk=event.pk, now=NOW)
    assert LedgerTransaction.objects.count() == 1


def _die(*_: Any, **__: Any) -> None:
    raise DatabaseError("the server went away")


def test_processing_is_one_call_and_few_statements(
    charged: Callable[..., Payment], monkeypatch: pytest.MonkeyPatch, django_assert_max_num_queries: Any
):
    payment = charged("W6")
    event = receive(payment)
    calls: list[str] = []
    real = JuspayGateway.read_order

    def read(self: JuspayGateway, **kwargs: Any) -> Any:
        calls.append("GET")
        return real(self, **kwargs)

    monkeypatch.setattr(JuspayGateway, "read_order", read)

    with django_assert_max_num_queries(15):
        process_webhook_event(event_pk=event.pk, now=NOW)

    assert calls == ["GET"]
