from __future__ import annotations

from decimal import Decimal

import pytest
from django.db import connection, transaction
from django.db.models import Sum
from django.test.utils import CaptureQueriesContext

from catalog.models import StockMovement
from notifications.models import Message
from orders.actions.cancel import complete_cancellation, process_order_cancellation
from orders.actions.cancel_requests import CancelledLine, UnmatchedData, import_cancellation, request_cancellation
from orders.actions.events import move
from orders.actions.process import process_order
from orders.models import (
    Cancellation,
    CancellationRequest,
    LedgerEntry,
    LedgerTransaction,
    Order,
    OrderEvent,
    Payment,
    Refund,
)
from orders.states import RefundStatus
from tests.orders.factories import FEED, NOW, bring_order, line, make_variant, on_hand, pay
from tests.orders.threads import in_threads

pytestmark = pytest.mark.django_db


def processed_order(*lines, number: str = "536365", **changes) -> Order:
    order = bring_order(*lines, number=number, **changes)
    if order.status == "pending_payment":
        pay(order)
    process_order(order_id=order.pk, now=NOW)
    order.refresh_from_db()
    return order


def cancel(order: Order, lines: dict[int, int] | None = None) -> CancellationRequest:
    return request_cancellation(order_id=order.pk, lines=lines, reason="", actor="user:3", now=NOW)


def entries(key: str) -> list[tuple[str, int]]:
    rows = LedgerEntry.objects.filter(transaction__operation_key=key).order_by("leg")
    return list(rows.values_list("account", "amount_minor"))


def balance(account: str) -> int:
    return LedgerEntry.objects.filter(account=account).aggregate(total=Sum("amount_minor"))["total"] or 0


def settle(refund: Refund) -> None:
    """Settle a refund as the provider's answer does, and complete its cancellation."""
    with transaction.atomic():
        Order.objects.select_for_update().get(pk=refund.cancellation.order_id)
        move(refund, RefundStatus.SENDING, actor="test", now=NOW)
        move(refund, RefundStatus.SETTLED, actor="test", now=NOW, settled_at=NOW)
        complete_cancellation(cancellation_id=refund.cancellation_id, actor="test", now=NOW)


def test_units_of_a_processed_order_come_back_and_their_money_is_planned(sent):
    make_variant()
    order = processed_order(line(), line(2, kind="postage", sku="POST", quantity=1, unit_price=Decimal("18")))
    request = cancel(order, {1: 2, 2: 1})
    sent.forget()

    result = process_order_cancellation(order_id=order.pk, now=NOW)

    assert result == {"status": "ok", "order_id": order.pk, "cancellations": 1}
    part = request.parts.get()
    assert (part.status, part.refund_minor, part.processed_at) == ("processed", 2310, NOW)
    movement = StockMovement.objects.get(kind="cancellation")
    assert (movement.quantity, movement.operation_key) == (2, f"cancellation:{part.pk}:line:1")
    assert on_hand() == 96
    assert entries(f"cancellation:{part.pk}") == [("sales_returns", 2310), ("refunds_payable", -2310)]
    refund = part.refunds.get()
    assert (refund.amount_minor, refund.status) == (2310, "planned")
    assert sent() == [("orders.tasks.initiate_juspay_refund", order.pk, "23.10", refund.reason)]
    order.refresh_from_db()
    assert order.status == "processed"


def test_carrying_out_twice_changes_nothing(sent):
    make_variant()
    order = processed_order()
    cancel(order, {1: 2})
    process_order_cancellation(order_id=order.pk, now=NOW)
    models = (StockMovement, LedgerTransaction, OrderEvent, Refund, Message)
    counts, tasks = [model.objects.count() for model in models], len(sent())

    result = process_order_cancellation(order_id=order.pk, now=NOW)

    assert result == {"status": "nothing_pending", "order_id": order.pk, "cancellations": 0}
    assert [model.objects.count() for model in models] == counts
    assert (on_hand(), len(sent())) == (96, tasks)


def test_an_order_that_does_not_exist_is_told():
    assert process_order_cancellation(order_id=404, now=NOW)["status"] == "not_found"


def test_an_order_without_cancellations_is_left_alone():
    make_variant()
    order = processed_order()

    assert process_order_cancellation(order_id=order.pk, now=NOW)["status"] == "nothing_pending"

    order.refresh_from_db()
    assert (order.status, on_hand()) == ("processed", 94)


def test_everything_pending_is_carried_out_and_the_order_ends_cancelled():
    make_variant()
    order = processed_order()
    for number, units in (("C1", 2), ("C2", 4)):
        take = CancelledLine(order_number=order.number, line_number=1, quantity=units, unit_price=Decimal("2.55"))
        import_cancellation(
            source=FEED, number=number, customer_reference="17850", currency="GBP", reason="", lines=[take],
            unmatched=[], requested_at=NOW, actor="user:7", now=NOW,
        )  # fmt: skip

    assert process_order_cancellation(order_id=order.pk, now=NOW)["cancellations"] == 2

    order.refresh_from_db()
    assert (order.status, on_hand()) == ("cancelled", 100)
    assert sorted(Refund.objects.values_list("amount_minor", flat=True)) == [510, 1020]
    assert Payment.objects.get().refund_planned_minor == 1530


def test_an_unpaid_order_is_cancelled_without_stock_or_money(sent):
    make_variant()
    order = bring_order()
    request = cancel(order)

    process_order_cancellation(order_id=order.pk, now=NOW)

    order.refresh_from_db()
    request.refresh_from_db()
    part = request.parts.get()
    assert (order.status, part.status, part.refund_minor) == ("cancelled", "completed", 0)
    assert (request.open_parts, request.completed_at) == (0, NOW)
    assert (on_hand(), LedgerTransaction.objects.count()) == (100, 0)
    assert not StockMovement.objects.exclude(kind="receipt").exists()
    assert not any(name == "orders.tasks.initiate_juspay_refund" for name, *_ in sent())
    message = Message.objects.get()
    assert (message.business_event, message.context["refunded"]) == (
        f"cancellation-completed:web:{request.number}",
        "0.00",
    )


def test_units_cancelled_before_the_payment_never_leave_and_are_not_paid_for():
    make_variant()
    order = bring_order()
    cancel(order, {1: 2})
    process_order_cancellation(order_id=order.pk, now=NOW)
    order.refresh_from_db()
    payment = pay(order)

    process_order(order_id=order.pk, now=NOW)

    assert (payment.amount_minor, on_hand()) == (1020, 96)
    assert entries(f"order:{order.pk}:sale") == [("customer_prepayments", 1020), ("sales", -1020)]
    assert balance("customer_prepayments") == 0


def test_units_cancelled_before_a_smaller_payment_and_carried_out_after_it_bring_no_money_back():
    make_variant()
    order = bring_order()
    request = cancel(order, {1: 2})
    order.refresh_from_db()
    payment = pay(order)

    process_order_cancellation(order_id=order.pk, now=NOW)

    payment.refresh_from_db()
    assert (payment.captured_minor, payment.refund_planned_minor) == (1020, 0)
    assert (request.parts.get().status, on_hand()) == ("completed", 96)
    assert (balance("customer_prepayments"), balance("refunds_payable")) == (0, 0)
    assert balance("sales") + balance("sales_returns") == -1020


def test_a_paid_order_is_processed_first_and_confirmed():
    make_variant()
    order = bring_order()
    pay(order)
    cancel(order)

    process_order_cancellation(order_id=order.pk, now=NOW)

    order.refresh_from_db()
    assert (order.status, order.processed_at, on_hand()) == ("cancelled", NOW, 100)
    assert sorted(StockMovement.objects.exclude(kind="receipt").values_list("quantity", flat=True)) == [-6, 6]
    assert Message.objects.get().business_event == "order-confirmed:feed:536365"
    assert Refund.objects.get().amount_minor == 1530


def test_a_paid_order_whose_stock_is_missing_is_cancelled_without_it():
    make_variant(on_hand=5)
    order = bring_order()
    pay(order)
    request = cancel(order)

    process_order_cancellation(order_id=order.pk, now=NOW)

    order.refresh_from_db()
    assert (order.status, order.processed_at, on_hand()) == ("cancelled", None, 5)
    assert not StockMovement.objects.exclude(kind="receipt").exists()
    part = request.parts.get()
    assert entries(f"cancellation:{part.pk}") == [("customer_prepayments", 1530), ("refunds_payable", -1530)]
    assert balance("customer_prepayments") == 0
    assert (Refund.objects.get().amount_minor, Message.objects.count()) == (1530, 0)


def test_what_is_left_of_a_paid_order_goes_out_once_it_fits_the_stock(sent):
    make_variant(on_hand=5)
    order = bring_order()
    pay(order)
    cancel(order, {1: 2})
    sent.forget()

    process_order_cancellation(order_id=order.pk, now=NOW)
    assert ("orders.tasks.process_order", order.pk) in sent()
    process_order(order_id=order.pk, now=NOW)

    order.refresh_from_db()
    assert (order.status, on_hand(), balance("sales"), balance("customer_prepayments")) == ("processed", 1, -1020, 0)
    assert Refund.objects.get().amount_minor == 510


def test_a_leg_of_nothing_is_complete_without_a_call(sent):
    make_variant()
    order = processed_order(line(), line(2, kind="gift", quantity=3, unit_price=Decimal(0)))
    request = cancel(order, {2: 3})
    sent.forget()

    process_order_cancellation(order_id=order.pk, now=NOW)

    part, refund = request.parts.get(), Refund.objects.get()
    assert (part.status, refund.status, refund.amount_minor, refund.payment) == ("completed", "settled", 0, None)
    assert on_hand() == 94
    assert [name for name, *_ in sent()] == ["notifications.tasks.deliver_message"]


def test_the_last_part_completes_the_request_and_its_customer_hears_once(sent):
    make_variant()
    orders = [processed_order(number="1"), processed_order(number="2")]
    lines = [
        CancelledLine(order_number=order.number, line_number=1, quantity=2, unit_price=Decimal("2.55"))
        for order in orders
    ]
    unmatched = [UnmatchedData(sku="X", description="", quantity=1, unit_price=Decimal("1.20"))]
    request, _ = import_cancellation(
        source=FEED, number="C1", customer_reference="17850", currency="GBP", reason="", lines=lines,
        unmatched=unmatched, requested_at=NOW, actor="user:7", now=NOW,
    )  # fmt: skip
    for order in orders:
        process_order_cancellation(order_id=order.pk, now=NOW)
    first, second = Refund.objects.order_by("pk")

    settle(first)

    request.refresh_from_db()
    assert (request.open_parts, request.completed_at) == (1, None)
    assert not Message.objects.filter(template="cancellation_completed").exists()

    settle(second)
    complete_cancellation(cancellation_id=second.cancellation_id, actor="test", now=NOW)

    request.refresh_from_db()
    assert (request.open_parts, request.completed_at) == (0, NOW)
    message = Message.objects.get(template="cancellation_completed")
    assert message.context == {
        "cancellation_number": "C1",
        "order_numbers": ["1", "2"],
        "refunded": "10.20",
        "unmatched": "1.20",
        "currency": "GBP",
    }


def test_a_part_whose_money_is_on_its_way_is_not_complete():
    make_variant()
    order = processed_order()
    request = cancel(order)
    process_order_cancellation(order_id=order.pk, now=NOW)

    with transaction.atomic():
        complete_cancellation(cancellation_id=request.parts.get().pk, actor="test", now=NOW)

    request.refresh_from_db()
    assert (request.parts.get().status, request.open_parts, request.completed_at) == ("processed", 1, None)


@pytest.mark.mariadb
def test_the_order_is_locked_first_then_its_payments_and_its_stock_before_anything_changes(sent):
    make_variant()
    order = processed_order()
    cancel(order)
    sent.forget()  # and have the jobs written that wait for the COMMIT

    with CaptureQueriesContext(connection) as queries:
        process_order_cancellation(order_id=order.pk, now=NOW)

    statements = [query["sql"] for query in queries]
    locks = [sql for sql in statements if sql.endswith("FOR UPDATE")]
    tables = [sql.partition("FROM `")[2].partition("`")[0] for sql in locks]
    assert tables == ["orders_order", "orders_payment", "catalog_stock", "orders_payment"]
    first_write = next(index for index, sql in enumerate(statements) if sql.startswith(("UPDATE", "INSERT")))
    assert statements.index(locks[2]) < first_write


@pytest.mark.mariadb
@pytest.mark.django_db(transaction=True)
def test_two_parts_that_settle_at_the_same_moment_complete_the_request_once(sent):
    make_variant()
    for attempt in range(5):
        orders = [processed_order(number=f"{attempt}-{number}") for number in range(2)]
        lines = [
            CancelledLine(order_number=order.number, line_number=1, quantity=1, unit_price=Decimal("2.55"))
            for order in orders
        ]
        request, _ = import_cancellation(
            source=FEED, number=f"C{attempt}", customer_reference="17850", currency="GBP", reason="", lines=lines,
            unmatched=[], requested_at=NOW, actor="user:7", now=NOW,
        )  # fmt: skip
        for order in orders:
            process_order_cancellation(order_id=order.pk, now=NOW)
        refunds = list(Refund.objects.filter(cancellation__request=request).select_related("cancellation"))

        errors = in_threads(*[lambda refund=refund: settle(refund) for refund in refunds])

        assert errors == []
        request.refresh_from_db()
        assert (request.open_parts, request.completed_at) == (0, NOW)
        assert set(request.parts.values_list("status", flat=True)) == {"completed"}
        assert Message.objects.filter(business_event=f"cancellation-completed:feed:C{attempt}").count() == 1


@pytest.mark.mariadb
@pytest.mark.django_db(transaction=True)
def test_the_same_cancellation_in_two_workers_is_carried_out_once(sent):
    make_variant()
    order = processed_order()
    cancel(order)

    errors = in_threads(*[lambda: process_order_cancellation(order_id=order.pk, now=NOW)] * 2)

    assert errors == []
    assert (on_hand(), Refund.objects.count(), Cancellation.objects.count()) == (100, 1, 1)
    assert Payment.objects.get().refund_planned_minor == 1530


@pytest.mark.mariadb
@pytest.mark.django_db(transaction=True)
def test_documents_that_name_the_same_orders_crosswise_queue_and_never_take_a_unit_twice(sent):
    make_variant()
    for number in ("1", "2"):
        processed_order(number=number)

    def bring(name: str, *numbers: str):
        lines = [
            CancelledLine(order_number=number, line_number=1, quantity=4, unit_price=Decimal("2.55"))
            for number in numbers
        ]
        return lambda: import_cancellation(
            source=FEED, number=name, customer_reference="17850", currency="GBP", reason="", lines=lines,
            unmatched=[], requested_at=NOW, actor="user:7", now=NOW,
        )  # fmt: skip

    errors = in_threads(bring("C1", "1", "2"), bring("C2", "2", "1"))

    assert [type(error).__name__ for error in errors] == ["NothingToCancel"]
    assert CancellationRequest.objects.count() == 1
    assert set(Order.objects.values_list("lines__cancelled_quantity", flat=True)) == {4}
