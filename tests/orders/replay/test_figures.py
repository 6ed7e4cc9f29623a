"""What is read from the database about a batch."""

from __future__ import annotations

import pytest

from orders.models import Payment
from orders.replay.figures import KnownPayment, count_work, read_platform
from orders.states import PaymentStatus
from tests.orders.factories import FEED, bring_order, make_variant, pay

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def article() -> None:
    make_variant()


def add_payment(*, sequence: int, status: PaymentStatus, order_id: int) -> None:
    Payment.objects.create(
        order_id=order_id,
        sequence=sequence,
        provider_order_id=f"P{order_id}S{sequence}",
        amount_minor=1530,
        currency="GBP",
        status=status,
    )


def test_an_order_that_waits_for_its_payment_is_open() -> None:
    bring_order()

    work = count_work(source=FEED)

    assert (work.run, work.failed, work.open) == (0, 0, 1)


@pytest.mark.parametrize(
    ("status", "failed", "still_open"),
    [
        (PaymentStatus.CREATED, 0, 2),
        (PaymentStatus.PENDING, 0, 2),
        (PaymentStatus.FAILED, 1, 1),
        (PaymentStatus.ABANDONED, 1, 1),
    ],
)
def test_a_payment_that_came_to_nothing_counts(status: PaymentStatus, failed: int, still_open: int) -> None:
    add_payment(sequence=1, status=status, order_id=bring_order().pk)

    work = count_work(source=FEED)

    assert (work.failed, work.open) == (failed, still_open)


def test_a_failed_payment_does_not_count_once_another_has_paid() -> None:
    order = bring_order()
    add_payment(sequence=1, status=PaymentStatus.FAILED, order_id=order.pk)
    pay(order)

    assert count_work(source=FEED).failed == 0


def test_payments_of_all_batches_are_known() -> None:
    payments = [pay(bring_order(number="1")), pay(bring_order(number="1", source="other"))]

    known = read_platform(source=FEED).payments

    assert known == {payment.provider_order_id: KnownPayment(refunds=0, refund_amount=0) for payment in payments}
