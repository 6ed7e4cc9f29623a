"""Placing an order from a cart, at the shop's own prices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from django.db import transaction

from catalog.queries import Quote, default_price_list, prices_of, stock_of
from catalog.states import ProductStatus
from myproject.accounts.models import User
from myproject.money import line_total
from myproject.states import transition
from orders.actions.events import record_event
from orders.actions.importing import pay_if_free
from orders.actions.sources import WEB
from orders.errors import CartNotFound, CartUnusable
from orders.models import Cart, CartLine, LineKind, Order, OrderLine
from orders.states import CART, CartStatus


def place_order(*, cart_id: int, user: User, now: datetime) -> Order:
    """Make an order of the user's cart, at the default price list's prices, and close the cart.

    The order's number derives from the cart, so a double click gives one order. Stock is compared, not reserved: what
    sells out before the payment is found when the order is processed. Raises CartNotFound (for another's cart too),
    CartUnusable, UnknownPriceList and NoPrice; the cart then stays open.
    """
    with transaction.atomic():
        cart = Cart.objects.select_for_update().filter(pk=cart_id, customer__user=user).first()
        if cart is None:
            raise CartNotFound("There is no such cart, or it is not yours.")
        number = f"W{cart.pk:08d}"
        if cart.status == CartStatus.ORDERED:
            return Order.objects.get(source=WEB, number=number)
        lines = list(cart.lines.select_related("variant__product").order_by("pk"))
        price_list = default_price_list()
        _check(lines)
        quotes = prices_of(variant_ids=[line.variant_id for line in lines], price_list=price_list.code)
        totals = [line_total(quotes[line.variant_id].amount, line.quantity, price_list.currency) for line in lines]
        order = Order.objects.create(
            source=WEB,
            number=number,
            customer_id=cart.customer_id,
            currency=price_list.currency,
            total_minor=sum(totals),
            placed_at=now,
        )
        _add_lines(order, lines, quotes, totals)
        actor = f"user:{user.pk}"
        record_event(
            order_id=order.pk,
            kind="order.placed",
            subject=f"order {order.pk}",
            to_status=order.status,
            actor=actor,
            data={"lines": len(lines), "price_list": price_list.code},
            now=now,
        )
        transition(cart, CartStatus.ORDERED, table=CART, now=now, open_slot=None)
        pay_if_free(order=order, actor=actor, now=now)
        return order


def _check(lines: Sequence[CartLine]) -> None:
    if not lines:
        raise CartUnusable("The cart is empty.", field="lines")
    gone = [line.variant.sku for line in lines if line.variant.product.status != ProductStatus.ACTIVE]
    if gone:
        raise CartUnusable(f"No longer for sale: {', '.join(gone)}.", field="lines")
    on_hand = stock_of(variant_ids=[line.variant_id for line in lines])
    short = [line for line in lines if on_hand.get(line.variant_id, 0) < line.quantity]
    if short:
        named = ", ".join(f"{line.variant.sku} ({on_hand.get(line.variant_id, 0)} on hand)" for line in short)
        raise CartUnusable(f"Not enough stock of {named}.", field="lines")


def _add_lines(order: Order, lines: Sequence[CartLine], quotes: Mapping[int, Quote], totals: Sequence[int]) -> None:
    OrderLine.objects.bulk_create(
        OrderLine(
            order=order,
            number=number,
            kind=LineKind.GOODS,
            variant_id=line.variant_id,
            sku=line.variant.sku,
            description=line.variant.product.name,
            quantity=line.quantity,
            unit_price=quotes[line.variant_id].amount,
            total_minor=total,
        )
        for number, (line, total) in enumerate(zip(lines, totals, strict=True), start=1)
    )
