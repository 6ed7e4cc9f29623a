"""Made-up prices and opening stock, so that the cart can be used before a shop has prices of its own.

The fashion file has no prices. The formula, in rupees: 299 + 100 x (crc32 of the article type modulo 25) +
10 x (id modulo 50), so products of one type cost alike and every run gives the same numbers. The opening stock is
20 + (id modulo 30) units. Nothing real is meant by either; the list is called "demo-inr".
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal

from django.db import transaction

from catalog.actions.prices import set_prices
from catalog.actions.stock import Movement, move_stock
from catalog.feeds.fashion import FeedRow
from catalog.models import MovementKind

CODE = "demo-inr"
NAME = "Demo prices (made up)"
CURRENCY = "INR"


def demo_price(*, article_type: str, external_id: str) -> Decimal:
    """Return the made-up price in rupees; the module's text has the formula."""
    return Decimal(299 + 100 * (zlib.crc32(article_type.encode()) % 25) + 10 * (int(external_id) % 50))


def demo_units(*, external_id: str) -> int:
    """Return the made-up opening stock."""
    return 20 + int(external_id) % 30


@transaction.atomic
def equip_for_demo(
    *, rows: Sequence[FeedRow], variant_ids: Mapping[str, int], price_list_id: int, now: datetime
) -> tuple[int, int]:
    """Give the products of `rows` (variants by SKU) demo prices and opening stock; return prices and units' rows new.

    Safe to run twice: right prices stay, and each receipt has its key.
    """
    amounts = {
        variant_ids[row.sku]: demo_price(article_type=row.category[2], external_id=row.external_id) for row in rows
    }
    receipts = [
        Movement(
            variant_id=variant_ids[row.sku],
            quantity=demo_units(external_id=row.external_id),
            kind=MovementKind.RECEIPT,
            operation_key=f"demo-stock:{row.sku}",
            reference=CODE,
        )
        for row in rows
    ]
    prices = set_prices(price_list_id=price_list_id, amounts=amounts, now=now)
    return prices, move_stock(movements=receipts, now=now)
