"""Importing product files: what is made, what a second run leaves alone, what is reported."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.db.models import Model, Sum

from catalog.actions import ensure_variants, import_products
from catalog.actions.demo import demo_price, demo_units
from catalog.actions.variants import VariantSpec
from catalog.feeds.fashion import UnreadableFile
from catalog.models import Category, Price, PriceList, Product, Stock, StockMovement, Tag, Variant
from tests.catalog.files import HEADER, JEANS, SHIRT, SHORTS, WATCH, write_file
from tests.promises import Promises

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
SHIPPED = Path(__file__).resolve().parents[2] / "catalog" / "data" / "fashion_products.csv.gz"


def everything() -> dict[str, list[tuple[Any, ...]]]:
    """Return every row of the catalogue."""
    models: list[type[Model]] = [Category, Tag, Product, Variant, Stock, StockMovement, PriceList, Price]
    rows = {model.__name__: list(model._default_manager.order_by("pk").values_list()) for model in models}
    rows["links"] = list(Product.tags.through.objects.order_by("pk").values_list())
    return rows


@pytest.mark.django_db
def test_rows_become_products_in_a_tree_with_tags_a_variant_and_a_stock_row(tmp_path: Path) -> None:
    report = import_products(path=write_file(tmp_path, SHIRT, JEANS, WATCH, SHORTS), now=NOW)

    assert (report.rows, report.created, report.changed, report.unchanged, report.rejected) == (4, 4, 0, 0, [])
    assert (report.categories, report.tags) == (9, 13)
    shirt = Product.objects.get(source="fashion", external_id="15970")
    assert (shirt.name, shirt.status, shirt.version) == ("Turtle Check Men Navy Blue Shirt", "active", 1)
    assert shirt.category is not None
    assert [node.name for node in Category.objects.get_ancestors(shirt.category)] == ["Apparel", "Topwear"]
    assert shirt.category.slug == "apparel--topwear--shirts"
    assert list(shirt.tags.values_list("group", "name")) == [
        ("colour", "Navy Blue"),
        ("gender", "Men"),
        ("season", "Fall"),
        ("usage", "Casual"),
        ("year", "2011"),
    ]
    assert list(Stock.objects.order_by("variant__sku").values_list("variant__sku", "on_hand")) == [
        ("F15970", 0),
        ("F39386", 0),
        ("F59263", 0),
        ("F7491", 0),
    ]
    assert Price.objects.count() == 0


@pytest.mark.django_db
def test_quotes_commas_and_empty_fields_are_read(tmp_path: Path) -> None:
    bare = "7,Men,Apparel,Topwear,Shirts,Blue,Fall,2011,Casual,One, two and three"

    import_products(path=write_file(tmp_path, SHORTS, bare), now=NOW)

    short = Product.objects.get(external_id="7491")
    assert short.name == "Nike Women's EM Tempo 3.5\" Pink Short"
    assert set(short.tags.values_list("group", "name")) == {("gender", "Women"), ("colour", "Pink")}
    assert Product.objects.get(external_id="7").name == "One, two and three"


@pytest.mark.django_db
def test_a_second_run_changes_nothing(tmp_path: Path, sent: Promises) -> None:
    path = write_file(tmp_path, SHIRT, JEANS, WATCH, SHORTS, name="products.csv.gz")
    import_products(path=path, now=NOW, demo_prices=True)
    before = everything()
    sent.forget()

    report = import_products(path=path, now=datetime(2026, 11, 22, tzinfo=UTC), demo_prices=True)

    assert (report.created, report.changed, report.unchanged) == (0, 0, 4)
    assert (report.categories, report.tags, report.prices, report.receipts) == (0, 0, 0, 0)
    assert everything() == before
    assert sent() == []


@pytest.mark.django_db
def test_a_changed_row_raises_the_version_and_keeps_what_is_the_shops_own(tmp_path: Path) -> None:
    import_products(path=write_file(tmp_path, SHIRT, JEANS), now=NOW)
    shirt = Product.objects.get(external_id="15970")
    shirt.tags.add(Tag.objects.create(group="campaign", name="Sale"))
    slug, jeans = shirt.slug, Product.objects.get(external_id="39386")

    changed = SHIRT.replace("Navy Blue", "Red").replace("Shirts", "Tunics")
    report = import_products(path=write_file(tmp_path, changed, JEANS), now=NOW)

    assert (report.created, report.changed, report.unchanged) == (0, 1, 1)
    shirt.refresh_from_db()
    assert (shirt.name, shirt.slug, shirt.version) == ("Turtle Check Men Red Shirt", slug, 2)
    assert shirt.category is not None and shirt.category.name == "Tunics"
    assert set(shirt.tags.values_list("name", flat=True)) == {"Red", "Men", "Fall", "2011", "Casual", "Sale"}
    assert Product.objects.get(external_id="39386").version == jeans.version
    assert Variant.objects.count() == 2


@pytest.mark.django_db
def test_bad_rows_are_named_and_stop_nothing(tmp_path: Path) -> None:
    ensure_variants(specs=[VariantSpec(sku="F77", name="Somebody else's")], source="retail", now=NOW)
    path = write_file(
        tmp_path,
        SHIRT,
        "1,Men,Apparel,Topwear",
        "x1,Men,Apparel,Topwear,Shirts,Blue,Fall,2011,Casual,Name",
        "2,Men,,Topwear,Shirts,Blue,Fall,2011,Casual,Name",
        "3,Men,Apparel,Topwear,Shirts,Blue,Fall,20x1,Casual,Name",
        "4,Men,Apparel,Topwear,Shirts,Blue,Fall,2011,Casual,",
        '5,Men,Apparel,Topwear,Shirts,Blue,Fall,2011,Casual,"Never closed',
        SHIRT,
        "6,Men,Apparel,Topwear,Shirts,Blue,Fall,2011,Casual," + "n" * 256,
        "77,Men,Apparel,Topwear,Shirts,Blue,Fall,2011,Casual,Name",
        "8,Men,Apparel,Topwear,Shirts,Blue,Fall,2011,Casual,Na\udcffme",
        "",
        JEANS,
    )

    report = import_products(path=path, now=NOW)

    assert [(row.line, row.reason) for row in report.rejected] == [
        (3, "4 fields instead of 10"),
        (4, "id: read 'x1'; allowed are digits, at most 18"),
        (5, "masterCategory is empty"),
        (6, "year: read '20x1'; allowed are four digits or nothing"),
        (7, "productDisplayName is empty"),
        (8, "the line is not CSV: unexpected end of data"),
        (9, "id 15970 stands on line 2 already"),
        (10, "productDisplayName is longer than 255 characters"),
        (11, "SKU F77 belongs to product retail/F77"),
        (12, "the line is not UTF-8"),
    ]
    assert (report.rows, report.created) == (12, 2)
    assert set(Product.objects.values_list("external_id", flat=True)) == {"15970", "39386", "F77"}


@pytest.mark.django_db
@pytest.mark.parametrize(
    "content", [b"", b"id,name\n1,x\n", HEADER.encode()[:-3] + b"\n", b"\x1f\x8b\x08\x00not gzip at all"]
)
def test_what_is_no_such_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "products.csv"
    path.write_bytes(content)

    with pytest.raises(UnreadableFile):
        import_products(path=path, now=NOW)
    with pytest.raises(UnreadableFile):
        import_products(path=tmp_path / "missing.csv", now=NOW)

    assert Product.objects.count() == 0


@pytest.mark.django_db
def test_a_truncated_file_is_named(tmp_path: Path) -> None:
    path = write_file(tmp_path, SHIRT, JEANS, name="products.csv.gz")
    path.write_bytes(path.read_bytes()[:-12])

    with pytest.raises(UnreadableFile) as caught:
        import_products(path=path, now=NOW)

    assert "end-of-stream" in caught.value.message


@pytest.mark.django_db
def test_demo_prices_follow_their_formula_and_stock_has_its_receipts(tmp_path: Path) -> None:
    report = import_products(path=write_file(tmp_path, SHIRT, JEANS), now=NOW, demo_prices=True)

    assert (report.prices, report.receipts) == (2, 2)
    # crc32("Shirts") % 25 is 22 and 15970 % 50 is 20.
    assert demo_price(article_type="Shirts", external_id="15970") == Decimal(299 + 2200 + 200)
    price_list = PriceList.objects.get()
    assert (price_list.code, price_list.currency, price_list.is_default) == ("demo-inr", "INR", True)
    assert "made up" in price_list.name
    assert price_list.prices.get(variant__sku="F15970").amount == Decimal("2699.0000")
    assert demo_units(external_id="15970") == 30
    assert list(StockMovement.objects.order_by("operation_key").values_list("operation_key", "kind", "quantity")) == [
        ("demo-stock:F15970", "receipt", 30),
        ("demo-stock:F39386", "receipt", 46),
    ]
    assert dict(Stock.objects.values_list("variant__sku", "on_hand")) == {"F15970": 30, "F39386": 46}


@pytest.mark.django_db(transaction=True)
def test_what_changed_is_announced_once(tmp_path: Path, sent: Promises, run_jobs: Callable[[], object]) -> None:
    import_products(path=write_file(tmp_path, SHIRT, JEANS), now=NOW)
    ids = dict(Product.objects.values_list("external_id", "pk"))

    assert sent() == [
        ("search.tasks.index_products", sorted(ids.values())),
        ("search.tasks.verify_index",),
    ]
    sent.forget()

    import_products(path=write_file(tmp_path, SHIRT.replace("Turtle", "Tortoise"), JEANS), now=NOW)

    # The comparison behind the first import has not begun: it is the one behind the second, too.
    assert sent() == [("search.tasks.index_products", [ids["15970"]])]
    run_jobs()
    sent.forget()

    import_products(path=write_file(tmp_path, SHIRT.replace("Turtle", "Torte"), JEANS), now=NOW)

    assert sent() == [("search.tasks.index_products", [ids["15970"]]), ("search.tasks.verify_index",)]


@pytest.mark.django_db
@pytest.mark.slow
@pytest.mark.no_cover  # it takes twice as long under coverage, and walks no line that the small files do not
@pytest.mark.timeout(900)  # 44,446 rows
def test_the_shipped_file_is_taken_whole() -> None:
    report = import_products(path=SHIPPED, now=NOW, demo_prices=True)

    assert (report.rows, report.created, report.rejected) == (44_446, 44_446, [])
    assert Category.objects.filter(depth=3).count() == 170
    assert Category.objects.find_problems() == ([], [], [], [], [])
    assert (
        Product.objects.count() == Variant.objects.count() == Stock.objects.count() == Price.objects.count() == 44_446
    )
    on_hand = Stock.objects.aggregate(units=Sum("on_hand"))["units"]
    assert on_hand == StockMovement.objects.aggregate(units=Sum("quantity"))["units"] > 0
