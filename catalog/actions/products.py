"""Changing products that exist: their status, and what they share with others."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from django.db import transaction
from django.db.models import F, QuerySet

from catalog.actions.announcements import announce_products
from catalog.models import Category, Product, Tag
from catalog.states import PRODUCT
from myproject.states import transition


@transaction.atomic
def change_product_status(*, product_ids: Sequence[int], target: str, now: datetime) -> int:
    """Move products to status `target`, all or none; return how many changed. Those that are there already stay.

    Raises TransitionRefused when the state table has no such step.
    """
    products = Product.objects.select_for_update().filter(pk__in=product_ids).exclude(status=target).order_by("pk")
    changed = [transition(product, target, table=PRODUCT, now=now).pk for product in products]
    announce_products(product_ids=changed)
    return len(changed)


def touch_category(*, category_id: int, now: datetime) -> int:
    """Count every product below a category as changed: its name is part of what is found. Return how many."""
    path = Category.objects.values_list("path", flat=True).get(pk=category_id)
    return _touch(Product.objects.filter(category__path__startswith=path), now=now)


@transaction.atomic
def delete_tags(*, tag_ids: Sequence[int], now: datetime) -> int:
    """Delete tags and count every product that had one of them as changed. Return how many products."""
    tagged = Product.objects.filter(tags__in=tag_ids).values_list("pk", flat=True)
    product_ids = sorted(set(tagged))
    Tag.objects.filter(pk__in=tag_ids).delete()
    return _touch_all(product_ids, now=now)


def touch_tag(*, tag_id: int, now: datetime) -> int:
    """Count every product with a tag as changed: its name is part of what is found. Return how many."""
    return _touch(Product.objects.filter(tags=tag_id), now=now)


def touch_product(*, product_id: int, now: datetime) -> int:
    """Count a product as changed, after something that hangs on it was: variants, tags, images."""
    return _touch(Product.objects.filter(pk=product_id), now=now)


@transaction.atomic
def _touch(products: QuerySet[Product], *, now: datetime) -> int:
    return _touch_all(sorted(products.values_list("pk", flat=True)), now=now)


def _touch_all(ids: Sequence[int], *, now: datetime) -> int:
    for start in range(0, len(ids), 500):
        Product.objects.filter(pk__in=ids[start : start + 500]).update(version=F("version") + 1, updated_at=now)
    announce_products(product_ids=ids)
    return len(ids)
