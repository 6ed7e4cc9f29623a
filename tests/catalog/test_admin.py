"""The admin's pages of the catalogue open, and what they must not offer they do not offer."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from catalog.actions import import_products
from catalog.models import Category, Product, Stock, StockMovement, Tag
from tests.catalog.files import JEANS, SHIRT, write_file
from tests.promises import Promises

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)

pytestmark = pytest.mark.django_db


@pytest.fixture
def catalogue(tmp_path: Path, sent: Promises) -> None:
    import_products(path=write_file(tmp_path, SHIRT, JEANS), now=NOW, demo_prices=True)
    sent.forget()


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
def test_products_are_retired_and_not_deleted(catalogue: None, admin_client: Client, sent: Promises) -> None:
    product = Product.objects.get(external_id="15970")
    address = reverse("admin:catalog_product_changelist")

    response = admin_client.post(address, {"action": "retire", "_selected_action": [product.pk]}, follow=True)
    deleted = admin_client.post(reverse("admin:catalog_product_delete", args=[product.pk]), {"post": "yes"})

    assert "1 products are now retired." in response.content.decode()
    assert deleted.status_code == 403
    product.refresh_from_db()
    assert product.status == "retired"
    assert sent() == [("search.tasks.index_products", [product.pk])]


@pytest.mark.django_db(transaction=True)
def test_a_renamed_tag_has_its_products_indexed(catalogue: None, admin_client: Client, sent: Promises) -> None:
    tag = Tag.objects.get(name="Navy Blue")

    admin_client.post(
        reverse("admin:catalog_tag_change", args=[tag.pk]), {"group": "colour", "name": "Deep Blue"}, follow=True
    )

    tag.refresh_from_db()
    assert tag.name == "Deep Blue"
    product = Product.objects.get(external_id="15970")
    assert product.version == 2
    assert sent() == [("search.tasks.index_products", [product.pk])]


def product_form(product: Product, *pictures: bytes, **changes: Any) -> dict[str, Any]:
    """Return what the product's page sends when pictures are added to it."""
    variant = product.variants.get()
    form: dict[str, Any] = {
        "name": product.name,
        "slug": product.slug,
        "description": "",
        "category": product.category_id,
        "tags": list(product.tags.values_list("pk", flat=True)),
        "attributes": "{}",
        "variants-TOTAL_FORMS": 1,
        "variants-INITIAL_FORMS": 1,
        "variants-0-id": variant.pk,
        "variants-0-product": product.pk,
        "variants-0-sku": variant.sku,
        "images-TOTAL_FORMS": len(pictures),
        "images-INITIAL_FORMS": 0,
    }
    for number, content in enumerate(pictures):
        form[f"images-{number}-image"] = SimpleUploadedFile(f"{number}.jpg", content)
        form[f"images-{number}-position"] = number
    return form | changes


def test_a_product_takes_several_pictures_each_known_by_its_content(
    catalogue: None, admin_client: Client, settings: Any, tmp_path: Path
) -> None:
    settings.MEDIA_ROOT = tmp_path / "media"
    product = Product.objects.get(external_id="15970")
    address = reverse("admin:catalog_product_change", args=[product.pk])

    answer = admin_client.post(address, product_form(product, b"front", b"back"))

    assert answer.status_code == 302, answer.content.decode()
    hashes = list(product.images.values_list("content_hash", flat=True))
    assert hashes == [hashlib.sha256(content).hexdigest() for content in (b"front", b"back")]
    assert [image.image.read() for image in product.images.all()] == [b"front", b"back"]


def test_the_same_picture_twice_is_an_error_of_the_form(
    catalogue: None, admin_client: Client, settings: Any, tmp_path: Path
) -> None:
    settings.MEDIA_ROOT = tmp_path / "media"
    product = Product.objects.get(external_id="15970")
    address = reverse("admin:catalog_product_change", args=[product.pk])

    answer = admin_client.post(address, product_form(product, b"front", b"front"))

    assert answer.status_code == 200
    assert "1.jpg: the product has this picture already." in answer.content.decode()
    assert product.images.count() == 0


def test_a_picture_that_is_there_cannot_be_added_again(
    catalogue: None, admin_client: Client, settings: Any, tmp_path: Path
) -> None:
    settings.MEDIA_ROOT = tmp_path / "media"
    product = Product.objects.get(external_id="15970")
    address = reverse("admin:catalog_product_change", args=[product.pk])
    admin_client.post(address, product_form(product, b"front"))
    image = product.images.get()
    second = {
        "images-TOTAL_FORMS": 2,
        "images-INITIAL_FORMS": 1,
        "images-0-id": image.pk,
        "images-0-product": product.pk,
        "images-0-position": 0,
        "images-1-image": SimpleUploadedFile("other.jpg", b"front"),
        "images-1-position": 1,
    }

    answer = admin_client.post(address, product_form(product, **second))

    assert answer.status_code == 200
    assert "other.jpg: the product has this picture already." in answer.content.decode()
    assert product.images.count() == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("way", ["page", "list"])
def test_a_deleted_tag_has_its_products_indexed(
    catalogue: None, admin_client: Client, sent: Promises, way: str
) -> None:
    tag = Tag.objects.get(name="Navy Blue")

    if way == "page":
        admin_client.post(reverse("admin:catalog_tag_delete", args=[tag.pk]), {"post": "yes"})
    else:
        admin_client.post(
            reverse("admin:catalog_tag_changelist"),
            {"action": "delete_selected", "_selected_action": [tag.pk], "post": "yes"},
        )

    assert not Tag.objects.filter(pk=tag.pk).exists()
    product = Product.objects.get(external_id="15970")
    assert product.version == 2
    assert sent() == [("search.tasks.index_products", [product.pk])]


@pytest.mark.django_db(transaction=True)
def test_a_renamed_category_has_the_products_below_it_indexed(
    catalogue: None, admin_client: Client, sent: Promises
) -> None:
    apparel = Category.objects.get(slug="apparel")
    address = reverse("admin:catalog_category_change", args=[apparel.pk])

    answer = admin_client.post(
        address, {"name": "Clothes", "slug": "apparel", "treebeard_position": "sorted-child", "treebeard_ref_node": ""}
    )

    assert answer.status_code == 302, answer.content.decode()
    assert Category.objects.get(slug="apparel").name == "Clothes"
    products = list(Product.objects.order_by("pk").values_list("pk", flat=True))
    assert sent() == [("search.tasks.index_products", products)]


@pytest.mark.django_db(transaction=True)
def test_a_category_that_is_dragged_has_the_products_below_it_indexed(
    catalogue: None, admin_client: Client, sent: Promises
) -> None:
    shirts = Category.objects.get(slug="apparel--topwear--shirts")
    bottomwear = Category.objects.get(slug="apparel--bottomwear")

    answer = admin_client.post(
        reverse("admin:catalog_category_changelist") + "move/",
        {"node": shirts.pk, "target": bottomwear.pk, "relation": "child"},
    )

    assert answer.status_code == 200
    shirts.refresh_from_db()
    assert shirts.path.startswith(Category.objects.get(slug="apparel--bottomwear").path)
    product = Product.objects.get(external_id="15970")
    assert sent() == [("search.tasks.index_products", [product.pk])]


def test_a_category_with_products_below_it_is_not_deleted(catalogue: None, admin_client: Client) -> None:
    apparel = Category.objects.get(slug="apparel")

    answer = admin_client.post(reverse("admin:catalog_category_delete", args=[apparel.pk]), {"post": "yes"})

    assert answer.status_code == 200
    assert Category.objects.filter(slug="apparel").exists()
    assert Product.objects.filter(category__isnull=False).count() == 2
