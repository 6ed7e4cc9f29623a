"""Carts as their owners see them."""

from __future__ import annotations

from typing import Any

from catalog.models import Price, PriceList
from catalog.queries import stock_of
from myproject.money import format_minor, line_total
from orders.models import Cart


def describe_cart(*, cart: Cart) -> dict[str, Any]:
    """Return a cart with today's prices and what is on hand; what has no price cannot be ordered and shows none.

    Four statements, however many lines. Prices are looked up again when the order is placed.
    """
    lines = list(cart.lines.select_related("variant__product").order_by("pk"))
    ids = [line.variant_id for line in lines]
    price_list = PriceList.objects.filter(is_default=True).first()
    prices = (
        dict(Price.objects.filter(price_list=price_list, variant__in=ids).values_list("variant_id", "amount"))
        if price_list
        else {}
    )
    on_hand = stock_of(variant_ids=ids)
    currency = price_list.currency if price_list else None
    total = 0
    described = []
    for line in lines:
        price = prices.get(line.variant_id)
        minor = line_total(price, line.quantity, currency) if price is not None and currency else None
        total += minor or 0
        described.append(
            {
                "sku": line.variant.sku,
                "name": line.variant.product.name,
                "quantity": line.quantity,
                "unit_price": price,
                "total": None if minor is None or currency is None else format_minor(minor, currency),
                "available": on_hand.get(line.variant_id, 0) >= line.quantity,
            }
        )
    return {
        "id": cart.pk,
        "currency": currency,
        "total": format_minor(total, currency) if currency else None,
        "lines": described,
    }
