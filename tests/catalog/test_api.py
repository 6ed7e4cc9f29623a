"""The catalogue's endpoints: open, paged, and as many statements for two products as for twenty."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from catalog.actions import change_product_status, import_products
from catalog.models import Product
from catalog.states import ProductStatus
from tests.catalog.files import JEANS, SHIRT, SHORTS, WATCH, write_file

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)

pytestmark = pytest.mark.django_db


@pytest.fixture
def client() -> APIClient:
    return APIClient()


@pytest.fixture
def ids(tmp_path: Path) -> dict[str, int]:
    import_products(path=write_file(tmp_path, SHIRT, JEANS, WATCH, SHORTS), now=NOW, demo_prices=True)
    return dict(Product.objects.values_list("external_id", "pk"))


def found(client: APIClient, address: str) -> list[str]:
    response = client.get(address)
    assert response.status_code == 200, response.content
    return [row["variants"][0]["sku"] for row in response.json()["results"]]


def test_a_product_as_everyone_sees_it(client: APIClient, ids: dict[str, int]) -> None:
    response = client.get(f"/api/products/{ids['15970']}")

    assert response.status_code == 200
    body = response.json()
    assert body.pop("slug").startswith("turtle-check-men-navy-blue-shirt-15970-")
    category, variant = body.pop("category"), body["variants"][0]
    assert (category["name"], category["slug"]) == ("Shirts", "apparel--topwear--shirts")
    assert variant.pop("id") > 0
    assert body == {
        "id": ids["15970"],
        "name": "Turtle Check Men Navy Blue Shirt",
        "description": "",
        "status": "active",
        "version": 1,
        "tags": [
            {"group": "colour", "name": "Navy Blue"},
            {"group": "gender", "name": "Men"},
            {"group": "season", "name": "Fall"},
            {"group": "usage", "name": "Casual"},
            {"group": "year", "name": "2011"},
        ],
        "variants": [
            {
                "sku": "F15970",
                "name": "",
                "in_stock": True,
                "prices": [{"price_list": "demo-inr", "currency": "INR", "amount": "2699.0000"}],
            }
        ],
        "images": [],
    }


def test_a_product_that_is_not_there_is_a_problem(client: APIClient, ids: dict[str, int]) -> None:
    response = client.get(f"/api/products/{max(ids.values()) + 1}")

    assert response.status_code == 404
    assert response["Content-Type"] == "application/problem+json"
    assert response.json()["code"] == "not_found"


def test_pages_follow_each_other_and_show_every_product_once(client: APIClient, ids: dict[str, int]) -> None:
    seen: list[int] = []
    address: str | None = "/api/products?page_size=3"
    pages = 0
    while address:
        body = client.get(address).json()
        seen += [row["id"] for row in body["results"]]
        address, pages = body["next"], pages + 1

    assert pages == 2
    assert seen == sorted(ids.values(), reverse=True)


@pytest.mark.parametrize(
    ("query", "skus"),
    [
        ("category=apparel", ["F7491", "F39386", "F15970"]),
        ("category=apparel--bottomwear", ["F7491", "F39386"]),
        ("category=apparel--bottomwear--jeans", ["F39386"]),
        ("category=nothing", []),
        ("tag=gender:Men", ["F39386", "F15970"]),
        ("tag=gender:Men&tag=colour:Navy Blue", ["F15970"]),
        ("tag=gender:Men&tag=colour:Silver", []),
        ("tag=gender:men", []),
        ("status=active&category=accessories", ["F59263"]),
        ("status=retired", []),
    ],
)
def test_filters(client: APIClient, ids: dict[str, int], query: str, skus: list[str]) -> None:
    assert found(client, f"/api/products?{query}") == skus


def test_a_wrong_filter_names_its_field(client: APIClient, ids: dict[str, int]) -> None:
    tag = client.get("/api/products?tag=blue")
    status = client.get("/api/products?status=lost")

    assert (tag.status_code, tag.json()["errors"][0]["field"]) == (422, "tag")
    assert status.status_code in {400, 422}
    assert status.json()["errors"][0]["field"].startswith("status")


def test_retired_products_are_seen_by_staff_only(client: APIClient, ids: dict[str, int], admin_user: Any) -> None:
    change_product_status(product_ids=[ids["15970"]], target=ProductStatus.RETIRED, now=NOW)

    assert found(client, "/api/products?category=apparel--topwear") == []
    assert client.get(f"/api/products/{ids['15970']}").status_code == 404
    client.force_authenticate(admin_user)
    assert found(client, "/api/products?status=retired") == ["F15970"]


def test_the_number_of_statements_does_not_grow_with_the_page(client: APIClient, tmp_path: Path) -> None:
    import_products(path=write_file(tmp_path, SHIRT, JEANS), now=NOW, demo_prices=True)
    with CaptureQueriesContext(connection) as few:
        assert len(found(client, "/api/products")) == 2
    import_products(
        path=write_file(tmp_path, *(SHIRT.replace("15970", str(number)) for number in range(1, 21))),
        now=NOW,
        demo_prices=True,
    )

    with CaptureQueriesContext(connection) as many:
        assert len(found(client, "/api/products")) == 22

    assert len(many) == len(few) == 5  # products, tags, images, variants with stock, prices


def test_the_category_tree_in_order(client: APIClient, ids: dict[str, int]) -> None:
    with CaptureQueriesContext(connection) as queries:
        response = client.get("/api/categories")

    assert [(row["depth"], row["name"]) for row in response.json()] == [
        (1, "Accessories"),
        (2, "Watches"),
        (3, "Watches"),
        (1, "Apparel"),
        (2, "Bottomwear"),
        (3, "Jeans"),
        (3, "Shorts"),
        (2, "Topwear"),
        (3, "Shirts"),
    ]
    assert len(queries) == 1
