"""Comparing numbers that must agree."""

from __future__ import annotations

import structlog

from catalog.queries import StockDifference, list_stock_differences

logger = structlog.get_logger(__name__)


def verify_stock() -> list[StockDifference]:
    """Log every stock row whose number is not the sum of its movements, and return them.

    Nothing is repaired: which of the two is wrong is for a person to say, and to book as a correction.
    """
    differences = list_stock_differences()
    for difference in differences:
        logger.error(
            "stock differs from its movements",
            sku=difference.sku,
            on_hand=difference.on_hand,
            movements=difference.movements,
        )
    return differences
