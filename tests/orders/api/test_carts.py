from __future__ import annotations

import pytest

from orders.models import Cart, CartLine, Order
from tests.orders.factories import make_price, make_user, make_variant

pytestmark = pytest.mark.django_db


def put(client, sku: str, quantity: object):
    return client.put(f"/api/cart/lines/{sku}", {"quantity": quantity}, format="json")


def test_a_customer_fills_a_cart_and_places_the_order(client_of):
    make_price(make_variant(), "12.3450")
    make_price(make_variant("A/B C"), "5")
    client = client_of(make_user())

    put(client, "85123A", 2)
    cart = put(client, "A/B%20C", 1).json()
    answer = client.post("/api/orders", {"cart": cart["id"]}, format="json", headers={"Idempotency-Key": "k"})

    assert (cart["total"], [line["sku"] for line in cart["lines"]]) == ("29.69", ["85123A", "A/B C"])
    assert answer.status_code == 201, answer.json()
    assert (answer.json()["total"], len(answer.json()["lines"])) == ("29.69", 2)
    assert client.get("/api/cart").json()["lines"] == []


def test_a_double_click_under_two_keys_gives_one_order(client_of):
    make_price(make_variant(), "1")
    client = client_of(make_user())
    cart = put(client, "85123A", 1).json()["id"]

    answers = [
        client.post("/api/orders", {"cart": cart}, format="json", headers={"Idempotency-Key": key})
        for key in ("k1", "k1", "k2")
    ]

    assert [answer.status_code for answer in answers] == [201, 201, 201]
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert Order.objects.count() == 1


def test_a_customer_never_sets_a_price(client_of):
    make_price(make_variant(), "10")
    client = client_of(make_user())
    cart = client.put("/api/cart/lines/85123A", {"quantity": 1, "unit_price": "0.01"}, format="json").json()["id"]

    answer = client.post(
        "/api/orders", {"cart": cart, "total": "0.01"}, format="json", headers={"Idempotency-Key": "k"}
    )

    assert answer.json()["total"] == "10.00"


def test_a_line_is_taken_out(client_of):
    make_variant()
    client = client_of(make_user())
    put(client, "85123A", 2)

    answer = client.delete("/api/cart/lines/85123A")

    assert (answer.status_code, answer.json()["lines"]) == (200, [])


@pytest.mark.parametrize("quantity", [-1, 10_001, "many", None])
def test_a_number_of_units_that_cannot_be_is_named(client_of, quantity):
    make_variant()

    answer = put(client_of(make_user()), "85123A", quantity)

    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == ["quantity"]
    assert not CartLine.objects.exists()


def test_an_unknown_article_is_not_found(client_of):
    answer = put(client_of(make_user()), "unknown", 1)

    assert (answer.status_code, answer.json()["code"]) == (404, "article_not_found")
    assert not CartLine.objects.exists()


def test_an_order_needs_a_key_and_a_cart_of_the_callers(client_of):
    make_price(make_variant(), "1")
    cart = put(client_of(make_user()), "85123A", 1).json()["id"]
    other = client_of(make_user("other@example.com"))

    without_key = other.post("/api/orders", {"cart": cart}, format="json")
    anothers = other.post("/api/orders", {"cart": cart}, format="json", headers={"Idempotency-Key": "k"})

    assert (without_key.status_code, without_key.json()["errors"][0]["field"]) == (400, "Idempotency-Key")
    assert (anothers.status_code, anothers.json()["code"]) == (404, "cart_not_found")
    assert not Order.objects.exists()
    assert Cart.objects.get(pk=cart).status == "open"


def test_what_cannot_be_ordered_is_a_conflict_and_the_cart_stays(client_of):
    make_price(make_variant(on_hand=1), "1")
    client = client_of(make_user())
    cart = put(client, "85123A", 2).json()

    answer = client.post("/api/orders", {"cart": cart["id"]}, format="json", headers={"Idempotency-Key": "k"})

    assert cart["lines"][0]["available"] is False
    assert (answer.status_code, answer.json()["code"]) == (409, "cart_unusable")
    assert not Order.objects.exists()
    assert client.get("/api/cart").json()["id"] == cart["id"]


def test_strangers_are_asked_to_sign_in(client_of):
    assert client_of(None).get("/api/cart").status_code == 401
    assert not Cart.objects.exists()
