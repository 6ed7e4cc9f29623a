"""Reads of the catalogue."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from django.db.models import F, Prefetch, QuerySet, Sum
from django.db.models.functions import Coalesce

from catalog.errors import NoPrice, UnknownPriceList
from catalog.models import Category, Price, PriceList, Product, Stock, Tag, Variant
from catalog.states import ProductStatus

#: Rows of one IN (...): below every database's limit of parameters.
BATCH = 500


@dataclass(frozen=True, kw_only=True)
class Quote:
    """What a variant costs: exact to four decimals, in the list's currency."""

    variant_id: int
    amount: Decimal
    currency: str


@dataclass(frozen=True, kw_only=True)
class StockDifference:
    """A stock row whose number is not the sum of its movements."""

    sku: str
    on_hand: int
    movements: int


def list_products(*, include_hidden: bool = False) -> QuerySet[Product]:
    """Return products with all that a list shows, in six statements however many; hidden ones only if asked for."""
    products = Product.objects.select_related("category").prefetch_related(
        "tags",
        "images",
        Prefetch("variants", Variant.objects.select_related("stock").order_by("pk")),
        Prefetch("variants__prices", Price.objects.select_related("price_list").order_by("price_list__code")),
    )
    return products if include_hidden else products.filter(status=ProductStatus.ACTIVE)


def products_in_order(*, product_ids: Sequence[int]) -> list[Product]:
    """Return the active products of these ids, in this order; those that are gone are left out."""
    found = {product.pk: product for product in list_products().filter(pk__in=product_ids)}
    return [found[pk] for pk in product_ids if pk in found]


def in_category(products: QuerySet[Product], *, slug: str) -> QuerySet[Product]:
    """Return those of `products` that stand in the category of that slug or below it; none for an unknown slug."""
    path = Category.objects.filter(slug=slug).values_list("path", flat=True).first()
    return products.none() if path is None else products.filter(category__path__startswith=path)


def with_tags(products: QuerySet[Product], *, tags: Iterable[tuple[str, str]]) -> QuerySet[Product]:
    """Return those of `products` that bear all these tags (group, name)."""
    for group, name in tags:
        products = products.filter(
            pk__in=Product.tags.through.objects.filter(tag__in=Tag.objects.filter(group=group, name=name)).values(
                "product_id"
            )
        )
    return products


def list_categories() -> QuerySet[Category]:
    """Return the whole tree, each category before those below it."""
    return Category.objects.order_by("path")


def default_price_list() -> PriceList:
    """Return the price list that carts use. Raises UnknownPriceList when the shop has none."""
    found = PriceList.objects.filter(is_default=True).first()
    if found is None:
        raise UnknownPriceList("The shop has no default price list.")
    return found


def price_of(*, variant_id: int, price_list: str) -> Quote:
    """Return the price of a variant in the list of that code. Raises UnknownPriceList and NoPrice."""
    return prices_of(variant_ids=[variant_id], price_list=price_list)[variant_id]


def prices_of(*, variant_ids: Sequence[int], price_list: str) -> dict[int, Quote]:
    """Return the prices of variants (by id) in the list of that code. Raises UnknownPriceList and NoPrice."""
    found = PriceList.objects.filter(code=price_list).first()
    if found is None:
        raise UnknownPriceList(f"There is no price list {price_list}.", price_list=price_list)
    prices = Price.objects.filter(price_list=found, variant__in=variant_ids).values_list("variant_id", "amount")
    quotes = {pk: Quote(variant_id=pk, amount=amount, currency=found.currency) for pk, amount in prices}
    absent = [pk for pk in variant_ids if pk not in quotes]
    if absent:
        skus = ", ".join(Variant.objects.filter(pk__in=absent).order_by("pk").values_list("sku", flat=True))
        raise NoPrice(f"No price of {skus or absent} in the list {price_list}.", variant_ids=absent)
    return quotes


def stock_of(*, variant_ids: Sequence[int]) -> dict[int, int]:
    """Return the units on hand by variant id; a variant without stock row is left out."""
    return dict(Stock.objects.filter(pk__in=variant_ids).values_list("pk", "on_hand"))


def list_stock_differences() -> list[StockDifference]:
    """Return the stock rows whose number is not the sum of their movements; both are read by one statement."""
    rows = (
        Stock.objects.annotate(units=Coalesce(Sum("movements__quantity"), 0))
        .exclude(on_hand=F("units"))
        .order_by("pk")
        .values_list("variant__sku", "on_hand", "units")
    )
    return [StockDifference(sku=sku, on_hand=on_hand, movements=units) for sku, on_hand, units in rows]
