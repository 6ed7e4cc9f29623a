"""The words of a product: what every index is fed with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from django.db.models import QuerySet

from catalog.models import Category, Product, Variant
from catalog.states import ProductStatus
from search.words import split_words

#: Words of a description that are searched: enough for any real one, and a novel does not drown the names.
DESCRIPTION_WORDS = 300


@dataclass(frozen=True, kw_only=True)
class Words:
    """A product's words: of its name and SKUs, which weigh more, and of category, tags and description."""

    product_id: int
    version: int
    title: tuple[str, ...]
    other: tuple[str, ...]


def active_products() -> QuerySet[Product]:
    """Return the products that belong into an index."""
    return Product.objects.filter(status=ProductStatus.ACTIVE)


def read_words(product_ids: Sequence[int]) -> Iterator[Words]:
    """Yield the words of these products, as far as they are active, ordered by id, in five statements.

    Needs a transaction: the products' rows are locked in that order, so two workers that index one product follow each
    other, and the later one has read the newer state.
    """
    products = list(active_products().filter(pk__in=product_ids).order_by("pk").select_for_update())
    skus: dict[int, list[str]] = {}
    found = [product.pk for product in products]
    for product_id, sku in Variant.objects.filter(product__in=found).order_by("pk").values_list("product_id", "sku"):
        skus.setdefault(product_id, []).append(sku)
    tags: dict[int, list[str]] = {}
    links = Product.tags.through.objects.filter(product__in=found).order_by("pk")
    for product_id, name in links.values_list("product_id", "tag__name"):
        tags.setdefault(product_id, []).append(name)
    names = _category_names({product.category_id for product in products})
    for product in products:
        other = [*names.get(product.category_id, []), *tags.get(product.pk, [])]
        yield Words(
            product_id=product.pk,
            version=product.version,
            title=tuple(split_words(" ".join([product.name, *skus.get(product.pk, [])]))),
            other=(*split_words(" ".join(other)), *split_words(product.description)[:DESCRIPTION_WORDS]),
        )


def _category_names(category_ids: set[int | None]) -> dict[int | None, list[str]]:
    """Return the names from the root down to each of these categories."""
    leaves = dict(Category.objects.filter(pk__in=category_ids - {None}).values_list("pk", "path"))
    step = Category.steplen
    paths = {path[:end] for path in leaves.values() for end in range(step, len(path) + 1, step)}
    names = dict(Category.objects.filter(path__in=paths).values_list("path", "name"))
    return {
        pk: [names[path[:end]] for end in range(step, len(path) + 1, step) if path[:end] in names]
        for pk, path in leaves.items()
    }
