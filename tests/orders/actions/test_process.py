from __future__ import annotations

from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from catalog.errors import InsufficientStock
from catalog.models import StockMovement
from notifications.models import Message
from orders.actions.process import process_order
from orders.models import LedgerEntry, LedgerTransaction, OrderEvent
from tests.orders.factories import NOW, bring_order, line, make_variant, on_hand, pay

pytestmark = pytest.mark.django_db


def entries(key: str) -> list[tuple[str, int]]:
    return list(
        LedgerEntry.objects.filter(transaction__operation_key=key)
        .order_by("leg")
        .values_list("account", "amount_minor")
    )


def test_a_paid_order_leaves_the_house_is_booked_and_confirmed(sent):
    make_variant()
    order = bring_order()
    pay(order)

    result = process_order(order_id=order.pk, now=NOW)

    assert result == {"status": "ok", "order_id": order.pk}
    order.refresh_from_db()
    assert (order.status, order.processed_at) == ("processed", NOW)
    movement = StockMovement.objects.get(kind="sale")
    assert (movement.quantity, movement.operation_key) == (-6, f"order:{order.pk}:line:1")
    assert movement.reference == "feed/536365"
    assert on_hand() == 94
    assert entries(f"order:{order.pk}:sale") == [("customer_prepayments", 1530), ("sales", -1530)]
    message = Message.objects.get()
    assert (message.business_event, message.recipient) == ("order-confirmed:feed:536365", "c17850@example.com")
    assert message.context == {"order_number": "536365", "line_count": 1, "total": "15.30", "currency": "GBP"}
    assert sent() == [("notifications.tasks.deliver_message", message.pk)]


def test_each_kind_of_line_goes_to_its_account_and_only_goods_move_stock():
    make_variant()
    order = bring_order(
        line(),
        line(2, kind="postage", sku="POST", quantity=1, unit_price=Decimal("18")),
        line(3, kind="discount", sku="D", quantity=1, unit_price=Decimal("-2.30")),
        line(4, kind="fee", sku="M", quantity=2, unit_price=Decimal("1.25")),
        line(5, kind="voucher", sku="gift_0001_20", quantity=1, unit_price=Decimal("20")),
        line(6, kind="gift", unit_price=Decimal("0")),
    )
    pay(order)

    process_order(order_id=order.pk, now=NOW)

    assert entries(f"order:{order.pk}:sale") == [
        ("customer_prepayments", 1530 + 1800 - 230 + 250 + 2000),
        ("sales", -1530),
        ("postage_income", -1800),
        ("discounts", 230),
        ("fee_income", -250),
        ("voucher_liability", -2000),
    ]
    assert list(StockMovement.objects.filter(kind="sale").values_list("quantity", flat=True)) == [-6]
    assert on_hand() == 94


def test_processing_twice_changes_nothing(sent):
    make_variant()
    order = bring_order()
    pay(order)
    process_order(order_id=order.pk, now=NOW)
    counts = [model.objects.count() for model in (StockMovement, LedgerTransaction, OrderEvent, Message)]
    tasks = len(sent())

    result = process_order(order_id=order.pk, now=NOW)

    assert result == {"status": "already_processed", "order_id": order.pk}
    assert [model.objects.count() for model in (StockMovement, LedgerTransaction, OrderEvent, Message)] == counts
    assert (on_hand(), len(sent())) == (94, tasks)


def test_an_order_that_is_not_paid_is_left_alone(sent):
    make_variant()
    order = bring_order()

    assert process_order(order_id=order.pk, now=NOW) == {"status": "not_paid", "order_id": order.pk}

    order.refresh_from_db()
    assert order.status == "pending_payment"
    assert (on_hand(), LedgerTransaction.objects.count(), Message.objects.count()) == (100, 0, 0)
    assert sent() == []


def test_an_order_that_does_not_exist_is_told_and_not_tried_again():
    assert process_order(order_id=404, now=NOW) == {"status": "not_found", "order_id": 404}


def test_a_guest_without_an_address_hears_nothing(sent):
    make_variant()
    order = bring_order(customer=None)
    pay(order)

    assert process_order(order_id=order.pk, now=NOW)["status"] == "ok"

    assert Message.objects.count() == 0
    assert sent() == []


def test_missing_stock_leaves_the_order_paid_and_nothing_booked():
    make_variant(on_hand=5)
    order = bring_order()
    pay(order)

    with pytest.raises(InsufficientStock):
        process_order(order_id=order.pk, now=NOW)

    order.refresh_from_db()
    assert (order.status, on_hand()) == ("paid", 5)
    assert not LedgerTransaction.objects.filter(kind="sale").exists()
    assert (Message.objects.count(), order.events.filter(kind="order.processed").count()) == (0, 0)


def test_an_order_that_costs_nothing_books_no_money():
    make_variant()
    order = bring_order(line(unit_price=Decimal("0")))

    process_order(order_id=order.pk, now=NOW)

    assert (on_hand(), LedgerTransaction.objects.count()) == (94, 0)


def test_the_number_of_statements_does_not_depend_on_the_number_of_lines():
    make_variant("22633")
    make_variant(on_hand=1_000)
    counts = []
    for lines in (2, 60):
        order = bring_order(*[line(number) for number in range(1, lines + 1)], number=f"order {lines}")
        pay(order)
        with CaptureQueriesContext(connection) as queries:
            process_order(order_id=order.pk, now=NOW)
        counts.append(len(queries))

    assert counts[1] == counts[0] <= 19, [query["sql"][:90] for query in queries]


@pytest.mark.mariadb
def test_the_order_is_locked_before_the_stock_and_both_before_they_change():
    make_variant()
    make_variant("22633")
    order = bring_order(line(1, sku="22633"), line(2))
    pay(order)

    with CaptureQueriesContext(connection) as queries:
        process_order(order_id=order.pk, now=NOW)

    statements = [query["sql"] for query in queries]
    locks = [index for index, sql in enumerate(statements) if sql.endswith("FOR UPDATE")]
    writes = [index for index, sql in enumerate(statements) if sql.startswith(("UPDATE", "INSERT"))]
    assert len(locks) == 2
    assert "FROM `orders_order`" in statements[locks[0]]
    assert "FROM `catalog_stock`" in statements[locks[1]] and "ORDER BY" in statements[locks[1]]
    assert locks[1] < writes[0]
