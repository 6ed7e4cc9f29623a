"""The search endpoint: what it answers, what it refuses, how many statements it takes."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from catalog.actions import change_product_status, import_products
from catalog.models import Product
from catalog.states import ProductStatus
from search import actions
from search.models import IndexState
from tests.catalog.files import JEANS, SHIRT, SHORTS, WATCH, write_file

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)

# MySQL's full-text index shows a row once its transaction has ended.
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def client(tmp_path: Path) -> APIClient:
    import_products(path=write_file(tmp_path, SHIRT, JEANS, WATCH, SHORTS), now=NOW, demo_prices=True)
    actions.rebuild_index(now=NOW)
    return APIClient()


def found(client: APIClient, query: str) -> list[str]:
    response = client.get(f"/api/search?{query}")
    assert response.status_code == 200, response.content
    return [row["variants"][0]["sku"] for row in response.json()["results"]]


def test_results_are_products_as_the_list_shows_them(client: APIClient) -> None:
    body = client.get("/api/search?q=turtle").json()

    assert body["next"] is None
    (result,) = body["results"]
    assert result["name"] == "Turtle Check Men Navy Blue Shirt"
    assert result["variants"][0]["prices"][0]["currency"] == "INR"
    assert result == client.get(f"/api/products/{result['id']}").json()


@pytest.mark.parametrize(
    ("query", "skus"),
    [
        ("q=blue", {"F15970", "F39386"}),
        ("q=Blue+SHI", {"F15970"}),
        ("q=blue&category=apparel--bottomwear", {"F39386"}),
        ("q=blue&tag=season:Fall", {"F15970"}),
        ("q=blue&tag=season:Fall&tag=gender:Women", set()),
        ("q=%22blue%22+OR+silver", set()),
        ("q=zebra", set()),
    ],
)
def test_queries_and_filters(client: APIClient, query: str, skus: set[str]) -> None:
    assert set(found(client, query)) == skus


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("", "q"),
        ("q=", "q"),
        ("q=%20%2A", "q"),
        (f"q={'x' * 201}", "q"),
        ("q=blue&cursor=nonsense", "cursor"),
        ("q=blue&page_size=0", "page_size"),
        ("q=blue&page_size=201", "page_size"),
        ("q=blue&page_size=x", "page_size"),
        ("q=blue&tag=Fall", "tag"),
    ],
)
def test_what_is_wrong_is_named(client: APIClient, query: str, field: str) -> None:
    response = client.get(f"/api/search?{query}")

    assert response.status_code == 422
    assert response["Content-Type"] == "application/problem+json"
    assert [error["field"] for error in response.json()["errors"]] == [field]


def test_pages_keep_the_query_and_the_filters(client: APIClient) -> None:
    first = client.get("/api/search?q=blue&category=apparel&page_size=1").json()
    second = client.get(first["next"]).json()

    assert "q=blue" in first["next"] and "category=apparel" in first["next"]
    assert second["next"] is None
    assert {row["variants"][0]["sku"] for page in (first, second) for row in page["results"]} == {"F15970", "F39386"}


def test_a_retired_product_is_not_found_even_before_the_index_follows(client: APIClient) -> None:
    product = Product.objects.get(variants__sku="F15970")

    change_product_status(product_ids=[product.pk], target=ProductStatus.RETIRED, now=NOW)

    assert IndexState.objects.get().documents == 4
    assert found(client, "q=blue") == ["F39386"]


def test_the_number_of_statements_does_not_grow_with_the_page(client: APIClient, tmp_path: Path) -> None:
    with CaptureQueriesContext(connection) as few:
        assert len(found(client, "q=men")) == 2
    lines = [SHIRT.replace("15970", str(number)) for number in range(1, 21)]
    import_products(path=write_file(tmp_path, *lines), now=NOW, demo_prices=True)
    actions.verify_index(repair=True, now=NOW)

    with CaptureQueriesContext(connection) as many:
        assert len(found(client, "q=men")) == 22

    assert len(many) == len(few) == 6


def test_the_state_follows_the_builds(client: APIClient) -> None:
    state = IndexState.objects.get()

    assert (state.name, state.status, state.documents, state.built_at) == ("embedded", "ready", 4, NOW)


def test_tasks_keep_the_index_current_and_may_run_twice(client: APIClient) -> None:
    from search import tasks

    IndexState.objects.all().delete()
    ids = list(Product.objects.order_by("pk").values_list("pk", flat=True))

    assert (tasks.index_products(ids), tasks.index_products(ids)) == (4, 4)
    assert IndexState.objects.get().status == "building"
    assert tasks.verify_index() == {"documents": 4, "differences": 0}
    assert IndexState.objects.get().status == "ready"
    assert (tasks.rebuild_index(), tasks.rebuild_index()) == (4, 4)
    assert IndexState.objects.get().status == "ready"
    assert set(found(client, "q=blue")) == {"F15970", "F39386"}
