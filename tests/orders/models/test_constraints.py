"""What the database itself refuses, on SQLite, MariaDB and MySQL alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import IntegrityError, connection, models, transaction
from django.db.utils import DataError, OperationalError

from catalog.models import PriceList, Product, StockMovement, Variant
from myproject.append_only import AppendOnlyError
from orders.actions.cancel_requests import request_cancellation
from orders.actions.carts import open_cart
from orders.models import (
    CancellationLine,
    CancellationRequest,
    Cart,
    Customer,
    FinancialAdjustment,
    LedgerEntry,
    LedgerTransaction,
    Order,
    OrderEvent,
    OrderLine,
    Payment,
    Refund,
    WebhookEvent,
)
from tests.orders.factories import NOW, bring_order, line, make_user, make_variant, pay
from tests.orders.payments.refunds import plan

pytestmark = pytest.mark.django_db


@pytest.fixture
def rows(sent: Any) -> None:
    """One row of every kind, as the shop itself writes them."""
    make_variant()
    order = bring_order(line(), line(2, kind="gift", sku="GIFT", quantity=1, unit_price=line().unit_price * 0))
    waiting = bring_order(number="2")
    payment = pay(order)
    plan(payment, 510)
    request_cancellation(order_id=waiting.pk, lines={1: 2}, reason="", actor="user:1", now=NOW)
    open_cart(user=make_user())
    WebhookEvent.objects.create(
        provider="juspay", event_id="e1", event_name="ORDER_SUCCEEDED", provider_order_id="P1", received_at=NOW
    )
    PriceList.objects.create(code="list", name="List", currency="GBP")
    FinancialAdjustment.objects.create(
        source="feed", number="A1", amount_minor=-5, currency="GBP", occurred_at=NOW, description=""
    )


REFUSED: list[tuple[type[models.Model], dict[str, Any], dict[str, Any]]] = [
    *(
        (model, {}, {"currency": currency})
        for model in (Order, Payment, Refund, CancellationRequest, FinancialAdjustment, PriceList)
        for currency in ("", "GB", "gbp", "   ")
    ),
    (Order, {}, {"number": ""}),
    (Order, {}, {"source": ""}),
    (Order, {"status": "pending_payment"}, {"status": "paid"}),
    (Order, {"status": "pending_payment"}, {"status": "processed"}),
    (OrderLine, {"number": 1}, {"number": 0}),
    (OrderLine, {"number": 1}, {"sku": ""}),
    (OrderLine, {"number": 1}, {"unit_price": -1}),
    (OrderLine, {"kind": "gift"}, {"unit_price": 1}),
    (OrderLine, {"number": 1}, {"cancelled_minor": -1}),
    (OrderLine, {"number": 1}, {"cancelled_minor": 1531}),
    (Payment, {}, {"captured_minor": 0, "refund_planned_minor": 0}),
    (Payment, {}, {"captured_minor": 1531}),
    (Payment, {}, {"status": "pending"}),
    (Payment, {}, {"provider_order_id": ""}),
    (Refund, {}, {"status": "settled"}),
    (Refund, {}, {"request_id": ""}),
    (CancellationRequest, {"source": "web"}, {"completed_at": NOW}),
    (CancellationRequest, {"source": "web"}, {"number": ""}),
    (CancellationLine, {}, {"amount_minor": -1}),
    (CancellationLine, {}, {"number": 0}),
    (Cart, {}, {"status": "ordered"}),
    (Cart, {}, {"open_slot": None}),
    (Cart, {}, {"open_slot": False}),
    (WebhookEvent, {}, {"event_id": ""}),
    (WebhookEvent, {}, {"event_name": ""}),
    (Product, {}, {"external_id": ""}),
    (Variant, {}, {"sku": ""}),
]


@pytest.mark.parametrize(("model", "which", "changes"), REFUSED)
def test_a_wrong_value_is_refused(
    rows: None, model: type[models.Model], which: dict[str, Any], changes: dict[str, Any]
):
    chosen = model._default_manager.filter(**which)[:1].values_list("pk", flat=True)
    key = chosen.get()
    before = model._default_manager.filter(pk=key).values().get()

    # MariaDB calls a broken CHECK an operational error, the others an integrity error.
    with pytest.raises((IntegrityError, OperationalError, DataError)), transaction.atomic():
        model._default_manager.filter(pk=key).update(**changes)

    assert model._default_manager.filter(pk=key).values().get() == before


def test_sources_differ_by_case_on_every_database(rows: None):
    order = Order.objects.first()
    assert order is not None
    values = {"customer_id": order.customer_id, "currency": "GBP", "total_minor": 0, "placed_at": NOW}

    made = Order.objects.create(source="FEED", number=order.number, **values)

    assert Order.objects.get(source="FEED").pk == made.pk
    assert not Customer.objects.filter(source="FEED").exists()


HISTORY = (OrderEvent, LedgerTransaction, LedgerEntry, StockMovement)


@pytest.mark.parametrize("model", HISTORY)
@pytest.mark.parametrize(
    "change",
    [
        lambda model: model.objects.first().save(),
        lambda model: model.objects.first().delete(),
        lambda model: model.objects.all().delete(),
        lambda model: model.objects.filter(pk__gt=0).update(pk=1),
        lambda model: model.objects.bulk_update(list(model.objects.all()), ["id"]),
        lambda model: model.objects.bulk_create([], update_conflicts=True),
    ],
)
def test_history_is_neither_changed_nor_deleted(rows: None, model: Any, change: Callable[[Any], object]):
    before = list(model.objects.order_by("pk").values())

    with pytest.raises(AppendOnlyError, match="append-only"):
        change(model)

    assert list(model.objects.order_by("pk").values()) == before


@pytest.mark.parametrize("model", HISTORY)
def test_the_database_refuses_a_changed_history_whoever_asks(rows: None, model: Any):
    table = model._meta.db_table
    statements = [f"UPDATE {table} SET id = id"]
    if connection.vendor == "mysql":
        statements.append(f"DELETE FROM {table}")
    before = list(model.objects.order_by("pk").values())

    for statement in statements:
        with (
            pytest.raises((IntegrityError, OperationalError), match="append-only"),
            transaction.atomic(),
            connection.cursor() as cursor,
        ):
            cursor.execute(statement)

    assert list(model.objects.order_by("pk").values()) == before
