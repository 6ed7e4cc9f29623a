"""Status changes, shared words, prices, verification: what is written, what is announced, what is refused."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from django.db import IntegrityError, transaction

from catalog import actions, tasks
from catalog.errors import NoPrice, PriceListMismatch, UnknownPriceList
from catalog.models import Category, Price, PriceList, Product, Stock, Tag, Variant
from catalog.queries import default_price_list, price_of, prices_of, stock_of
from myproject.states import TransitionRefused
from tests.catalog.files import JEANS, SHIRT, WATCH, write_file
from tests.promises import Promises

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


@pytest.fixture
def products(tmp_path: Path, sent: Promises) -> dict[str, int]:
    actions.import_products(path=write_file(tmp_path, SHIRT, JEANS, WATCH), now=NOW)
    sent.forget()
    return dict(Product.objects.values_list("external_id", "pk"))


def versions() -> dict[str, int]:
    return dict(Product.objects.values_list("external_id", "version"))


@pytest.mark.django_db(transaction=True)
def test_retiring_raises_the_version_and_is_announced(products: dict[str, int], sent: Promises) -> None:
    ids = [products["15970"], products["39386"]]

    changed = actions.change_product_status(product_ids=ids, target="retired", now=NOW)
    again = actions.change_product_status(product_ids=ids, target="retired", now=NOW)

    assert (changed, again) == (2, 0)
    assert versions() == {"15970": 2, "39386": 2, "59263": 1}
    assert sent() == [("search.tasks.index_products", sorted(ids))]


@pytest.mark.django_db(transaction=True)
def test_a_step_the_table_does_not_have_changes_nothing(products: dict[str, int], sent: Promises) -> None:
    with pytest.raises(TransitionRefused):
        actions.change_product_status(product_ids=list(products.values()), target="draft", now=NOW)

    assert set(Product.objects.values_list("status", flat=True)) == {"active"}
    assert versions() == {"15970": 1, "39386": 1, "59263": 1}
    assert sent() == []


@pytest.mark.django_db(transaction=True)
def test_a_touched_category_counts_its_whole_subtree_as_changed(products: dict[str, int], sent: Promises) -> None:
    count = actions.touch_category(category_id=Category.objects.get(slug="apparel").pk, now=NOW)

    assert count == 2
    assert versions() == {"15970": 2, "39386": 2, "59263": 1}
    assert sent() == [("search.tasks.index_products", sorted([products["15970"], products["39386"]]))]


@pytest.mark.django_db(transaction=True)
def test_a_touched_tag_counts_its_products_as_changed(products: dict[str, int], sent: Promises) -> None:
    assert actions.touch_tag(tag_id=Tag.objects.get(name="Silver").pk, now=NOW) == 1

    assert versions() == {"15970": 1, "39386": 1, "59263": 2}
    assert sent() == [("search.tasks.index_products", [products["59263"]])]


@pytest.mark.django_db
def test_saving_a_product_raises_its_version(products: dict[str, int]) -> None:
    product = Product.objects.get(pk=products["15970"])
    product.name = "Another name"
    product.save()

    assert product.version == 2
    assert versions()["15970"] == 2


@pytest.mark.django_db
def test_tags_that_differ_in_case_are_two(products: dict[str, int]) -> None:
    Tag.objects.create(group="colour", name="silver")

    assert Tag.objects.filter(group="colour", name="Silver").count() == 1
    with pytest.raises(IntegrityError), transaction.atomic():
        Tag.objects.create(group="colour", name="silver")


@pytest.mark.django_db
def test_prices_are_set_once_and_changed_by_version(products: dict[str, int]) -> None:
    price_list = actions.ensure_price_list(code="rupees", name="Rupees", currency="INR")
    shirt, jeans = (Variant.objects.get(sku=sku).pk for sku in ("F15970", "F39386"))
    amounts = {shirt: Decimal("12.3456"), jeans: Decimal(7)}

    first = actions.set_prices(price_list_id=price_list.pk, amounts=amounts, now=NOW)
    second = actions.set_prices(price_list_id=price_list.pk, amounts=amounts, now=NOW)
    third = actions.set_prices(price_list_id=price_list.pk, amounts={**amounts, jeans: Decimal(8)}, now=NOW)

    assert (first, second, third) == (2, 0, 1)
    assert dict(Price.objects.values_list("variant", "version")) == {shirt: 1, jeans: 2}
    assert price_of(variant_id=shirt, price_list="rupees").amount == Decimal("12.3456")
    assert price_of(variant_id=jeans, price_list="rupees").currency == "INR"


@pytest.mark.django_db
def test_a_missing_price_or_list_is_named(products: dict[str, int]) -> None:
    price_list = actions.ensure_price_list(code="rupees", name="Rupees", currency="INR")
    shirt, jeans = (Variant.objects.get(sku=sku).pk for sku in ("F15970", "F39386"))
    actions.set_prices(price_list_id=price_list.pk, amounts={shirt: Decimal(1)}, now=NOW)

    with pytest.raises(NoPrice, match="No price of F39386 in the list rupees"):
        prices_of(variant_ids=[shirt, jeans], price_list="rupees")
    with pytest.raises(UnknownPriceList):
        price_of(variant_id=shirt, price_list="euros")


@pytest.mark.django_db
def test_one_list_is_the_default_and_the_currency_of_a_list_is_fixed() -> None:
    first = actions.ensure_price_list(code="rupees", name="Rupees", currency="INR")
    second = actions.ensure_price_list(code="pounds", name="Pounds", currency="GBP")

    assert (first.is_default, second.is_default) == (True, None)
    assert default_price_list() == first
    with pytest.raises(PriceListMismatch):
        actions.ensure_price_list(code="pounds", name="Pounds", currency="INR")
    for refused in (True, False):
        with pytest.raises(IntegrityError), transaction.atomic():
            PriceList.objects.filter(pk=second.pk).update(is_default=refused)


@pytest.mark.django_db
def test_verify_stock_names_what_differs_and_repairs_nothing(products: dict[str, int]) -> None:
    shirt = Variant.objects.get(sku="F15970").pk
    movement = actions.Movement(variant_id=shirt, quantity=5, kind="receipt", operation_key="r:1")
    with transaction.atomic():
        actions.move_stock(movements=[movement], now=NOW)
    assert tasks.verify_stock() == {"differences": 0, "skus": []}

    Stock.objects.filter(pk=shirt).update(on_hand=6)

    assert tasks.verify_stock() == {"differences": 1, "skus": ["F15970"]}
    assert stock_of(variant_ids=[shirt]) == {shirt: 6}
