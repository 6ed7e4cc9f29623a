"""The admin's pages of the catalogue open, and what they must not offer they do not offer."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from catalog.actions import import_products
from catalog.models import Category, Product, Stock, StockMovement, Tag
from tests.catalog.files import JEANS, SHIRT, write_file

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)

pytestmark = pytest.mark.django_db


@pytest.fixture
def catalogue(tmp_path: Path, sent_tasks: list[Any]) -> None:
    import_products(path=write_file(tmp_path, SHIRT, JEANS), now=NOW, demo_prices=True)
    sent_tasks.clear()


@pytest.mark.parametrize(
    "model", ["category", "tag", "product", "variant", "pricelist", "price", "stock", "stockmovement"]
)
def test_lists_open_and_are_searched(catalogue: None, admin_client: Client, model: str) -> None:
    address = reverse(f"admin:catalog_{model}_changelist")

    assert admin_client.get(address).status_code == 200
    assert admin_client.get(address, {"q": "shirt"}).status_code == 200


def test_forms_open(catalogue: None, admin_client: Client) -> None:
    for row in (Category.objects.first(), Tag.objects.first(), Product.objects.first(), StockMovement.objects.first()):
        assert row is not None
        address = reverse(f"admin:catalog_{row._meta.model_name}_change", args=[row.pk])
        assert admin_client.get(address).status_code == 200, address


def test_stock_and_movements_cannot_be_typed_in(catalogue: None, admin_client: Client) -> None:
    stock = Stock.objects.get(variant__sku="F15970")

    change = admin_client.post(reverse("admin:catalog_stock_change", args=[stock.pk]), {"on_hand": "999"})
    add = admin_client.post(reverse("admin:catalog_stockmovement_add"), {"quantity": "999"})

    assert (change.status_code, add.status_code) == (403, 403)
    stock.refresh_from_db()
    assert stock.on_hand == 30


@pytest.mark.django_db(transaction=True)
def test_products_are_retired_and_not_deleted(catalogue: None, admin_client: Client, sent_tasks: list[Any]) -> None:
    product = Product.objects.get(external_id="15970")
    address = reverse("admin:catalog_product_changelist")

    response = admin_client.post(address, {"action": "retire", "_selected_action": [product.pk]}, follow=True)
    deleted = admin_client.post(reverse("admin:catalog_product_delete", args=[product.pk]), {"post": "yes"})

    assert "1 products are now retired." in response.content.decode()
    assert deleted.status_code == 403
    product.refresh_from_db()
    assert product.status == "retired"
    assert sent_tasks == [("search.tasks.index_products", [[product.pk]])]


@pytest.mark.django_db(transaction=True)
def test_a_renamed_tag_has_its_products_indexed(catalogue: None, admin_client: Client, sent_tasks: list[Any]) -> None:
    tag = Tag.objects.get(name="Navy Blue")

    admin_client.post(
        reverse("admin:catalog_tag_change", args=[tag.pk]), {"group": "colour", "name": "Deep Blue"}, follow=True
    )

    tag.refresh_from_db()
    assert tag.name == "Deep Blue"
    product = Product.objects.get(external_id="15970")
    assert product.version == 2
    assert sent_tasks == [("search.tasks.index_products", [[product.pk]])]
