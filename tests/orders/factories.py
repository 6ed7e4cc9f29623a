"""Rows that the tests of orders start from."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from django.contrib.auth.models import Permission
from django.db import transaction

from catalog.actions import Movement, move_stock
from catalog.models import MovementKind, Price, PriceList, Product, Stock, Variant
from myproject.accounts.models import User
from orders.actions.customers import CustomerData
from orders.actions.events import move
from orders.actions.importing import LineData, import_order
from orders.actions.ledger import post
from orders.models import Account, Order, Payment
from orders.states import OrderStatus, PaymentStatus

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
PLACED = datetime(2010, 12, 1, 8, 26, tzinfo=UTC)
FEED = "feed"


def make_variant(sku: str = "85123A", *, on_hand: int = 100) -> Variant:
    """Make an article with units on hand, received by a movement."""
    product = Product.objects.create(
        source="test", external_id=sku, name=f"Article {sku}", slug=f"a-{sku.encode().hex()}"
    )
    variant = Variant.objects.create(product=product, sku=sku)
    Stock.objects.create(variant=variant)
    if on_hand:
        receipt = Movement(
            variant_id=variant.pk, quantity=on_hand, kind=MovementKind.RECEIPT, operation_key=f"test:{sku}:receipt"
        )
        with transaction.atomic():
            move_stock(movements=[receipt], now=NOW)
    return variant


def make_price(variant: Variant, amount: str, *, currency: str = "INR") -> Price:
    """Give an article a price in the default list."""
    price_list, _ = PriceList.objects.get_or_create(
        code="default", defaults={"name": "Default", "currency": currency, "is_default": True}
    )
    return Price.objects.create(price_list=price_list, variant=variant, amount=Decimal(amount))


def line(number: int = 1, **changes: Any) -> LineData:
    """Return a line of six units at 2.55."""
    values: dict[str, Any] = {
        "number": number,
        "kind": "goods",
        "sku": "85123A",
        "description": "WHITE HANGING HEART",
        "quantity": 6,
        "unit_price": Decimal("2.55"),
    }
    return LineData(**(values | changes))


def bring_order(*lines: LineData, number: str = "536365", **changes: Any) -> Order:
    """Import an order of a known customer with an address."""
    values: dict[str, Any] = {
        "source": FEED,
        "number": number,
        "customer": CustomerData(reference="17850", email="c17850@example.com", country="United Kingdom"),
        "currency": "GBP",
        "placed_at": PLACED,
        "lines": lines or (line(),),
        "actor": "user:1",
        "now": NOW,
    }
    order, _ = import_order(**(values | changes))
    return order


def pay(order: Order, *, amount: int | None = None) -> Payment:
    """Capture what is due, as the settlement of a payment does, without calling a provider."""
    due = order.total_minor - order.cancelled_minor if amount is None else amount
    with transaction.atomic():
        payment = Payment.objects.create(
            order=order,
            sequence=order.payments.count() + 1,
            provider_order_id=f"P{order.pk}X{order.payments.count() + 1}",
            amount_minor=due,
            currency=order.currency,
        )
        move(payment, PaymentStatus.CAPTURED, actor="test", now=NOW, captured_minor=due, captured_at=NOW)
        post(
            operation_key=f"payment:{payment.pk}:capture",
            kind="capture",
            order_id=order.pk,
            legs=[(Account.PROVIDER_CLEARING, due), (Account.CUSTOMER_PREPAYMENTS, -due)],
            currency=order.currency,
            now=NOW,
        )
        move(order, OrderStatus.PAID, actor="test", now=NOW, paid_at=NOW)
    return payment


def on_hand(sku: str = "85123A") -> int:
    """Return the units on hand of an article."""
    return Stock.objects.get(variant__sku=sku).on_hand


def make_user(email: str = "asha@example.com") -> User:
    """Make a person."""
    return User.objects.create_user(email, "a-long-password", full_name="Asha Rao")


def make_service_account(email: str = "feed@example.com", *, may_import: bool = True) -> User:
    """Make a program's account."""
    user = User.objects.create_user(email, is_service=True)
    if may_import:
        user.user_permissions.add(Permission.objects.get(codename="import_orders"))
    return user
