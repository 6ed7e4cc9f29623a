"""SKUs of a feed: created once, compared byte for byte."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

from catalog.actions import VariantSpec, ensure_variants
from catalog.errors import InvalidSpecification
from catalog.models import Product, Stock, Variant
from tests.promises import Promises

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


@pytest.mark.django_db
def test_unknown_skus_get_product_variant_and_an_empty_stock_row() -> None:
    ids = ensure_variants(
        specs=[VariantSpec(sku="85123A", name="White hanging heart", description="A heart"), VariantSpec(sku="22423")],
        source="retail",
        now=NOW,
    )

    rows = Variant.objects.order_by("sku").values_list(
        "sku",
        "pk",
        "product__name",
        "product__description",
        "product__source",
        "product__external_id",
        "stock__on_hand",
    )
    assert list(rows) == [
        ("22423", ids["22423"], "22423", "", "retail", "22423", 0),
        ("85123A", ids["85123A"], "White hanging heart", "A heart", "retail", "85123A", 0),
    ]


@pytest.mark.django_db
def test_codes_are_compared_byte_for_byte() -> None:
    codes = ["85123A", "85123a", "X", "X ", "É", "E"]

    ids = ensure_variants(specs=[VariantSpec(sku=code, name="Same name") for code in codes], source="retail", now=NOW)

    assert len(set(ids.values())) == len(codes)
    assert set(Variant.objects.values_list("sku", flat=True)) == set(codes)
    assert {code: Variant.objects.get(sku=code).pk for code in codes} == ids
    assert Variant.objects.filter(sku__in=["85123a"]).count() == 1
    assert not Variant.objects.filter(sku="x").exists()
    slugs = list(Product.objects.values_list("slug", flat=True))
    assert len({slug.lower() for slug in slugs}) == len(codes)


@pytest.mark.django_db
def test_the_same_code_twice_is_refused_by_the_database() -> None:
    ensure_variants(specs=[VariantSpec(sku="X")], source="retail", now=NOW)

    with pytest.raises(IntegrityError), transaction.atomic():
        Variant.objects.create(sku="X", product=Product.objects.get())

    assert Variant.objects.count() == 1


@pytest.mark.django_db
def test_the_second_time_nothing_is_written(sent: Promises) -> None:
    specs = [VariantSpec(sku=f"S{number}", name="Thing") for number in range(30)]
    first = ensure_variants(specs=specs, source="retail", now=NOW)
    sent.forget()  # and have its job written, which waits for the COMMIT

    with CaptureQueriesContext(connection) as queries:
        second = ensure_variants(
            specs=[VariantSpec(sku=spec.sku, name="Another name") for spec in specs], source="other", now=NOW
        )

    assert second == first
    assert [query["sql"].split()[0] for query in queries if "SAVEPOINT" not in query["sql"]] == ["SELECT"]
    assert sent() == []
    assert set(Product.objects.values_list("name", "source", "version")) == {("Thing", "retail", 1)}
    assert (Product.objects.count(), Stock.objects.count()) == (30, 30)


@pytest.mark.django_db
def test_two_skus_of_one_external_number_share_their_product() -> None:
    ids = ensure_variants(
        specs=[
            VariantSpec(sku="T-S", name="Shirt", external_id="T"),
            VariantSpec(sku="T-M", name="Shirt, medium", external_id="T"),
        ],
        source="retail",
        now=NOW,
    )

    assert Product.objects.get().name == "Shirt"
    assert set(Product.objects.get().variants.values_list("pk", flat=True)) == set(ids.values())


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("spec", "field"),
    [
        (VariantSpec(sku="", external_id="1"), "sku"),
        (VariantSpec(sku="x" * 65), "sku"),
        (VariantSpec(sku="X", external_id="x" * 65), "external_id"),
        (VariantSpec(sku="X", name="n" * 256), "name"),
    ],
)
def test_what_the_database_cannot_hold_is_refused_before_anything_is_written(spec: VariantSpec, field: str) -> None:
    with pytest.raises(InvalidSpecification) as caught:
        ensure_variants(specs=[VariantSpec(sku="good"), spec], source="retail", now=NOW)

    assert caught.value.field == field
    assert Product.objects.count() == 0


@pytest.mark.django_db(transaction=True)
def test_new_products_are_announced_in_batches_by_the_transaction_that_makes_them(sent: Promises) -> None:
    specs = [VariantSpec(sku=f"S{number}") for number in range(2_300)]

    with pytest.raises(ZeroDivisionError), transaction.atomic():
        ensure_variants(specs=specs, source="retail", now=NOW)
        raise ZeroDivisionError
    assert sent() == []
    ensure_variants(specs=specs, source="retail", now=NOW)
    ensure_variants(specs=specs, source="retail", now=NOW)

    assert [(name, len(ids)) for name, ids in sent()] == [
        ("search.tasks.index_products", 1_000),
        ("search.tasks.index_products", 1_000),
        ("search.tasks.index_products", 300),
    ]
    assert sorted(pk for _, ids in sent() for pk in ids) == sorted(Product.objects.values_list("pk", flat=True))
