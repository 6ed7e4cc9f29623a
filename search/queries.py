"""Reads of search."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

from catalog.models import Product
from catalog.queries import products_in_order
from search.backends import Cursor, Filters, search_index
from search.errors import InvalidCursor
from search.words import parse_query


@dataclass(frozen=True, kw_only=True)
class Results:
    """One page of products, best first, and the cursor of the next page (empty on the last)."""

    products: list[Product]
    next_cursor: str


def find_products(*, text: str, filters: Filters, cursor: str = "", limit: int = 50) -> Results:
    """Return active products that have, for each word of `text`, a word beginning with it.

    Raises InvalidQuery and InvalidCursor.
    """
    words = parse_query(text)
    page = search_index().search(words, filters=filters, cursor=read_cursor(cursor), limit=limit)
    products = products_in_order(product_ids=[hit.product_id for hit in page.hits])
    return Results(products=products, next_cursor=write_cursor(page.next))


def write_cursor(cursor: Cursor | None) -> str:
    """Return a cursor as text for an address."""
    if cursor is None:
        return ""
    return base64.urlsafe_b64encode(f"{cursor.score}.{cursor.product_id}".encode()).decode().rstrip("=")


def read_cursor(text: str) -> Cursor | None:
    """Return the cursor that `write_cursor` wrote. Raises InvalidCursor."""
    if not text:
        return None
    try:
        decoded = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode("ascii")
        score, _, product_id = decoded.partition(".")
        cursor = Cursor(score=int(score), product_id=int(product_id))
    except (ValueError, binascii.Error) as error:
        raise InvalidCursor("cursor: use the address in `next` as it stands.", field="cursor") from error
    if abs(cursor.score) >= 2**63 or not 0 <= cursor.product_id < 2**63:
        raise InvalidCursor("cursor: use the address in `next` as it stands.", field="cursor")
    return cursor
