"""What every search index promises: each test runs against every backend that is registered."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from django.db.models import F

from catalog.actions import VariantSpec, change_product_status, ensure_variants, import_products
from catalog.models import Product
from search.backends import BACKENDS, Cursor, Filters, SearchIndex
from search.models import Document
from tests.catalog.files import JEANS, SHIRT, SHORTS, WATCH, write_file

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
NO_FILTERS = Filters()

# MySQL's full-text index shows a row once its transaction has ended.
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(params=sorted(BACKENDS))
def index(request: pytest.FixtureRequest) -> SearchIndex:
    return BACKENDS[request.param]()


@pytest.fixture
def ids(tmp_path: Path) -> dict[str, int]:
    import_products(path=write_file(tmp_path, SHIRT, JEANS, WATCH, SHORTS), now=NOW)
    return dict(Product.objects.values_list("external_id", "pk"))


def found(index: SearchIndex, *words: str, filters: Filters = NO_FILTERS) -> set[str]:
    ids = [hit.product_id for hit in index.search(words, filters=filters).hits]
    return set(Product.objects.filter(pk__in=ids).values_list("external_id", flat=True))


def test_what_was_indexed_is_found_by_each_of_its_words(index: SearchIndex, ids: dict[str, int]) -> None:
    assert index.index(list(ids.values())) == 4

    assert found(index, "turtle") == {"15970"}
    assert found(index, "f15970") == {"15970"}  # SKU
    assert found(index, "topwear") == {"15970"}  # category above its own
    assert found(index, "summer") == {"39386"}  # tag
    assert found(index, "men") == {"15970", "39386"}
    assert found(index, "nothing") == set()


def test_every_word_must_fit_and_the_beginning_of_a_word_is_enough(index: SearchIndex, ids: dict[str, int]) -> None:
    index.index(list(ids.values()))

    assert found(index, "blue", "shirt") == {"15970"}
    assert found(index, "blue", "watch") == set()
    assert found(index, "tur", "shi") == {"15970"}
    assert found(index, "urtle") == set()


def test_short_words_and_words_that_say_little_are_found(index: SearchIndex) -> None:
    ensure_variants(
        specs=[VariantSpec(sku="A1", name="EM 3 for the Q"), VariantSpec(sku="A2", name="Form")], source="t", now=NOW
    )
    index.index(list(Product.objects.values_list("pk", flat=True)))

    assert found(index, "em", "3") == {"A1"}
    assert found(index, "the", "q") == {"A1"}
    assert found(index, "for") == {"A1", "A2"}


def test_a_name_counts_more_than_a_tag_or_a_category(index: SearchIndex, ids: dict[str, int]) -> None:
    by_tag, by_name = ids["15970"], ids["39386"]
    Product.objects.filter(pk=by_tag).update(name="Something nice to wear")
    Product.objects.filter(pk=by_name).update(name="Navy something to wear")
    index.index(list(ids.values()))

    assert [hit.product_id for hit in index.search(["navy"], filters=NO_FILTERS).hits] == [by_name, by_tag]


def test_pages_show_every_hit_once_and_best_first(index: SearchIndex) -> None:
    ensure_variants(
        specs=[VariantSpec(sku=f"S{n}", name="Red " * (n % 3 + 1) + "hat") for n in range(23)], source="t", now=NOW
    )
    index.index(list(Product.objects.values_list("pk", flat=True)))
    seen: list[tuple[int, int]] = []
    cursor: Cursor | None = None
    pages = 0
    while pages == 0 or cursor is not None:
        page = index.search(["red"], filters=NO_FILTERS, cursor=cursor, limit=5)
        seen += [(-hit.score, hit.product_id) for hit in page.hits]
        cursor, pages = page.next, pages + 1

    assert pages == 5
    assert seen == sorted(seen)
    assert {product_id for _, product_id in seen} == set(Product.objects.values_list("pk", flat=True))
    assert len(seen) == 23


def test_filters_narrow_to_a_subtree_and_to_tags(index: SearchIndex, ids: dict[str, int]) -> None:
    index.index(list(ids.values()))

    assert found(index, "blue", filters=Filters(category="apparel")) == {"15970", "39386"}
    assert found(index, "blue", filters=Filters(category="apparel--bottomwear")) == {"39386"}
    assert found(index, "blue", filters=Filters(category="unknown")) == set()
    assert found(index, "blue", filters=Filters(tags=(("season", "Fall"),))) == {"15970"}
    assert found(index, "blue", filters=Filters(tags=(("season", "Fall"), ("gender", "Women")))) == set()
    assert found(index, "blue", filters=Filters(tags=(("season", "fall"),))) == set()


def test_indexing_again_changes_nothing_and_a_change_replaces_the_words(
    index: SearchIndex, ids: dict[str, int]
) -> None:
    index.index(list(ids.values()))
    index.index(list(ids.values()))
    Product.objects.filter(pk=ids["15970"]).update(name="Tortoise", version=F("version") + 1)
    index.index([ids["15970"]])

    assert found(index, "tortoise") == {"15970"}
    assert found(index, "turtle") == set()
    assert len(index.search(["men"], filters=NO_FILTERS).hits) == 2


def test_products_that_change_together_are_all_found_by_their_new_words(
    index: SearchIndex, ids: dict[str, int]
) -> None:
    index.index(list(ids.values()))
    Product.objects.update(name="Tortoise", version=F("version") + 1)
    index.index(list(ids.values()))

    assert found(index, "tortoise") == set(ids)
    assert found(index, "turtle") == set()


def test_retired_products_leave_and_come_back(index: SearchIndex, ids: dict[str, int]) -> None:
    index.index(list(ids.values()))
    change_product_status(product_ids=[ids["15970"]], target="retired", now=NOW)
    assert found(index, "turtle") == set()  # at once, before the index follows

    assert index.index([ids["15970"]]) == 1
    assert index.verify(repair=False).documents == 3

    change_product_status(product_ids=[ids["15970"]], target="active", now=NOW)
    index.index([ids["15970"]])
    assert found(index, "turtle") == {"15970"}


def test_removed_products_are_not_found(index: SearchIndex, ids: dict[str, int]) -> None:
    index.index(list(ids.values()))

    assert index.remove([ids["15970"], 987654]) == 1
    assert index.remove([ids["15970"]]) == 0
    assert found(index, "blue") == {"39386"}


def test_unknown_ids_are_ignored(index: SearchIndex) -> None:
    assert index.index([987654]) == 0
    assert index.index([]) == 0


def test_verify_names_what_differs_and_repairs_only_when_asked(index: SearchIndex, ids: dict[str, int]) -> None:
    index.index([ids["15970"], ids["39386"], ids["59263"]])
    Product.objects.filter(pk=ids["39386"]).update(name="Newer", version=F("version") + 1)
    change_product_status(product_ids=[ids["59263"]], target="retired", now=NOW)

    for _ in range(2):
        report = index.verify(repair=False)
        assert (report.missing, report.outdated, report.excess) == (1, 1, 1)
        assert (report.products, report.documents, report.repaired) == (3, 3, False)
    repaired = index.verify(repair=True)
    after = index.verify(repair=True)

    assert (repaired.differences, repaired.repaired) == (3, True)
    assert (after.differences, after.repaired, after.products, after.documents) == (0, False, 3, 3)
    assert found(index, "newer") == {"39386"}


def test_rebuild_makes_a_whole_index_of_an_empty_and_of_a_wrong_one(index: SearchIndex, ids: dict[str, int]) -> None:
    assert index.rebuild() == 4
    index.remove([ids["15970"]])
    change_product_status(product_ids=[ids["59263"]], target="retired", now=NOW)

    assert index.rebuild() == 3
    assert index.verify(repair=False).differences == 0
    assert found(index, "turtle") == {"15970"}


def test_a_deleted_product_is_gone(index: SearchIndex, ids: dict[str, int]) -> None:
    index.index(list(ids.values()))
    Product.objects.get(pk=ids["15970"]).delete()

    assert found(index, "turtle") == set()
    assert index.verify(repair=False).differences == 0


@pytest.mark.sqlite
def test_a_damaged_full_text_table_is_found_and_repaired(ids: dict[str, int]) -> None:
    from django.db import connection

    index = BACKENDS["embedded"]()
    index.index(list(ids.values()))
    with connection.cursor() as sql:
        sql.execute(
            "INSERT INTO search_words (search_words, rowid, title_words, other_words) "
            "SELECT 'delete', product_id, title_words, other_words FROM search_document WHERE product_id = %s",
            [ids["15970"]],
        )
    assert found(index, "turtle") == set()

    assert index.verify(repair=False).damaged is True
    assert index.verify(repair=True).repaired is True

    assert index.verify(repair=False).damaged is False
    assert found(index, "turtle") == {"15970"}
    assert Document.objects.count() == 4
