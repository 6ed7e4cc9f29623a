"""Starting a payment: one order at the provider, whatever is clicked, lost or killed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import transaction

from myproject.errors import NotFound, RetryableError, TerminalError
from orders.actions import payments
from orders.actions.events import move
from orders.actions.payments import OrderNotPayable, provider_order_id, start_payment
from orders.gateways.juspay import JuspayGateway
from orders.models import LedgerTransaction, Order, OrderEvent, Payment
from orders.states import OrderStatus, PaymentStatus
from tests.orders.factories import NOW, bring_order, line, make_variant
from tests.orders.payments.conftest import customer_presses
from tests.sandbox.merchant import Sandbox

OrderOf = Callable[..., Order]


def start(order: Order) -> Payment:
    return start_payment(order_id=order.pk, actor="user:1", now=NOW)


def created_at_provider(provider: Sandbox, payment: Payment) -> int:
    return [kind for kind, _, _ in provider.entries(payment.provider_order_id)].count("order_created")


def test_the_id_at_the_provider_follows_from_the_order_alone():
    first = provider_order_id(source="feed", number="536365", sequence=1)

    assert first == provider_order_id(source="feed", number="536365", sequence=1)
    assert len(first) == 20
    assert first.isalnum()
    assert len({first, *(provider_order_id(source=s, number=n, sequence=q) for s, n, q in OTHERS)}) == 1 + len(OTHERS)


OTHERS = [("feed", "536365", 2), ("web", "536365", 1), ("feed", "53636", 51), ("feed5", "36365", 1)]


def test_a_payment_is_for_what_is_due_and_has_a_page(order_of: OrderOf, provider: Sandbox):
    payment = start(order_of("536365"))

    assert (payment.status, payment.amount_minor, payment.sequence) == (PaymentStatus.PENDING, 1530, 1)
    assert payment.payment_link.startswith(provider.url)
    assert provider.status(payment.provider_order_id)["amount"] == 15.3
    kinds = list(OrderEvent.objects.filter(subject=f"payment {payment.pk}").values_list("kind", flat=True))
    assert kinds == ["payment.pending"]


def test_a_double_click_is_one_payment(order_of: OrderOf, provider: Sandbox):
    order = order_of("2CLICK")

    first, second = start(order), start(order)

    assert first.pk == second.pk
    assert first.payment_link == second.payment_link
    assert created_at_provider(provider, first) == 1


def test_two_clicks_at_the_same_moment_are_one_payment(
    order_of: OrderOf, provider: Sandbox, monkeypatch: pytest.MonkeyPatch
):
    order = order_of("2ATONCE")
    real = JuspayGateway.create_session
    other: list[Payment] = []

    def slow(self: JuspayGateway, **kwargs: Any) -> Any:
        session = real(self, **kwargs)
        if not other:  # the other click's whole request happens while ours waits for the answer
            other.append(Payment())
            other[0] = start(order)
        return session

    monkeypatch.setattr(JuspayGateway, "create_session", slow)

    mine = start(order)

    assert mine.pk == other[0].pk
    assert (mine.status, mine.payment_link) == (PaymentStatus.PENDING, other[0].payment_link)
    assert created_at_provider(provider, mine) == 1
    assert OrderEvent.objects.filter(kind="payment.pending").count() == 1


@pytest.mark.parametrize("number", ["S-LOST", "S-BEFORE", "S-502", "S-HALF", "S-FALSE"])
def test_a_lost_answer_is_looked_up_and_never_makes_a_second_order(order_of: OrderOf, provider: Sandbox, number: str):
    payment = start(order_of(number))

    assert payment.status == PaymentStatus.PENDING
    customer_presses(payment, "approve")
    assert created_at_provider(provider, payment) == 1


def test_a_busy_provider_leaves_the_row_and_the_next_click_goes_on_with_it(order_of: OrderOf, provider: Sandbox):
    order = order_of("S-BUSY")

    with pytest.raises(RetryableError) as caught:
        start(order)

    assert caught.value.retry_after == 1.0
    (waiting,) = order.payments.all()
    assert (waiting.status, waiting.payment_link) == (PaymentStatus.CREATED, "")
    assert start(order).pk == waiting.pk
    assert created_at_provider(provider, waiting) == 1


class Killed(BaseException):
    """Stands for kill -9 on that line."""


def test_killed_after_the_call_the_next_click_goes_on_with_the_same_order(
    order_of: OrderOf, provider: Sandbox, monkeypatch: pytest.MonkeyPatch
):
    order = order_of("KILLED")
    with monkeypatch.context() as patch:
        patch.setattr(payments, "_record_session", lambda *args, **kwargs: (_ for _ in ()).throw(Killed()))
        with pytest.raises(Killed):
            start(order)
    assert order.payments.get().status == PaymentStatus.CREATED

    payment = start(order)

    assert payment.status == PaymentStatus.PENDING
    assert order.payments.count() == 1
    assert created_at_provider(provider, payment) == 1


def test_paid_before_we_knew_the_page_is_captured_by_the_next_click(
    order_of: OrderOf, provider: Sandbox, monkeypatch: pytest.MonkeyPatch, sent: Any
):
    order = order_of("PAIDFIRST")

    def pay_and_die(payment: Payment, *, link: str, **_: Any) -> None:
        payment.payment_link = link
        customer_presses(payment, "approve")
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(payments, "_record_session", pay_and_die)
        with pytest.raises(Killed):
            start(order)

    payment = start(order)

    assert payment.status == PaymentStatus.CAPTURED
    order.refresh_from_db()
    assert order.status == OrderStatus.PAID
    assert sent() == [("orders.tasks.process_order", order.pk)]


def test_after_a_failed_payment_a_new_one_is_started(order_of: OrderOf, provider: Sandbox):
    order = order_of("AGAIN")
    first = start(order)
    with transaction.atomic():
        move(first, PaymentStatus.FAILED, actor="test", now=NOW)

    second = start(order)

    assert (second.sequence, second.status) == (2, PaymentStatus.PENDING)
    assert second.provider_order_id != first.provider_order_id


def test_when_less_is_due_the_open_page_is_given_up_and_a_new_one_asks_for_less(order_of: OrderOf, provider: Sandbox):
    order = order_of("LESS")
    first = start(order)
    Order.objects.filter(pk=order.pk).update(cancelled_minor=510)

    second = start(order)

    first.refresh_from_db()
    assert (first.status, first.failure_reason) == (PaymentStatus.ABANDONED, "amount changed")
    assert (second.sequence, second.amount_minor) == (2, 1020)


def test_an_order_that_is_paid_or_free_or_cancelled_or_not_there_starts_nothing(order_of: OrderOf, provider: Sandbox):
    paid = order_of("PAID")
    make_variant("GIFT")
    free = bring_order(line(kind="gift", unit_price=line().unit_price * 0), number="FREE")
    gone = order_of("GONE")
    with transaction.atomic():
        move(paid, OrderStatus.PAID, actor="test", now=NOW, paid_at=NOW)
        move(gone, OrderStatus.CANCELLED, actor="test", now=NOW)
    before = len(provider.record())

    for order in (paid, free, gone):
        with pytest.raises(OrderNotPayable):
            start(order)
    with pytest.raises(NotFound):
        start_payment(order_id=0, actor="user:1", now=NOW)

    assert Payment.objects.count() == 0
    assert len(provider.record()) == before


def test_wrong_credentials_are_terminal_and_leave_the_row(order_of: OrderOf, provider: Sandbox, settings: Any):
    settings.JUSPAY_API_KEY = "wrong"
    order = order_of("KEY")

    with pytest.raises(TerminalError):
        start(order)

    assert order.payments.get().status == PaymentStatus.CREATED
    assert LedgerTransaction.objects.count() == 0
