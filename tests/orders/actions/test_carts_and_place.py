from __future__ import annotations

import pytest

from catalog.errors import NoPrice, UnknownPriceList
from catalog.models import PriceList, Product
from orders.actions.carts import open_cart, set_cart_line
from orders.actions.place import place_order
from orders.errors import ArticleNotFound, CartNotFound, CartUnusable
from orders.models import Cart, CartLine, Order
from orders.queries.carts import describe_cart
from tests.orders.factories import NOW, make_price, make_user, make_variant, on_hand
from tests.orders.threads import in_threads

pytestmark = pytest.mark.django_db


def filled_cart(user, units: int = 2) -> Cart:
    make_price(make_variant(), "12.3450")
    make_price(make_variant("22633"), "5")
    set_cart_line(user=user, sku="85123A", quantity=units, now=NOW)
    return set_cart_line(user=user, sku="22633", quantity=1, now=NOW)


def test_a_line_is_set_changed_and_taken_out():
    user = make_user()
    cart = filled_cart(user)

    set_cart_line(user=user, sku="85123A", quantity=5, now=NOW)
    set_cart_line(user=user, sku="22633", quantity=0, now=NOW)
    set_cart_line(user=user, sku="not in it", quantity=0, now=NOW)

    assert list(cart.lines.values_list("variant__sku", "quantity")) == [("85123A", 5)]


def test_a_customer_has_one_open_cart():
    user = make_user()

    assert open_cart(user=user).pk == open_cart(user=user).pk
    assert open_cart(user=make_user("other@example.com")).pk != open_cart(user=user).pk


@pytest.mark.parametrize("hidden", [True, False])
def test_what_is_not_for_sale_cannot_be_put_in_a_cart(hidden):
    user = make_user()
    if hidden:
        make_variant()
        Product.objects.update(status="retired")

    with pytest.raises(ArticleNotFound):
        set_cart_line(user=user, sku="85123A", quantity=1, now=NOW)

    assert not CartLine.objects.exists()


def test_a_cart_shows_todays_prices_and_what_is_on_hand():
    user = make_user()
    cart = filled_cart(user, units=101)
    make_variant("no price")
    set_cart_line(user=user, sku="no price", quantity=1, now=NOW)

    shown = describe_cart(cart=cart)

    assert (shown["currency"], shown["total"]) == ("INR", "1251.85")
    assert [(line["sku"], line["total"], line["available"]) for line in shown["lines"]] == [
        ("85123A", "1246.85", False),
        ("22633", "5.00", True),
        ("no price", None, True),
    ]


def test_an_order_is_placed_at_the_shops_prices_and_the_cart_is_closed():
    user = make_user()
    cart = filled_cart(user)

    order = place_order(cart_id=cart.pk, user=user, now=NOW)

    assert (order.source, order.number, order.status) == ("web", f"W{cart.pk:08d}", "pending_payment")
    assert (order.currency, order.total_minor, order.customer.user) == ("INR", 2469 + 500, user)
    lines = order.lines.values_list("number", "kind", "sku", "quantity", "total_minor")
    assert list(lines) == [(1, "goods", "85123A", 2, 2469), (2, "goods", "22633", 1, 500)]
    cart.refresh_from_db()
    assert (cart.status, cart.open_slot) == ("ordered", None)
    event = order.events.get()
    assert (event.kind, event.actor) == ("order.placed", f"user:{user.pk}")
    assert on_hand() == 100
    assert open_cart(user=user).pk != cart.pk


def test_a_double_click_gives_one_order():
    user = make_user()
    cart = filled_cart(user)

    first = place_order(cart_id=cart.pk, user=user, now=NOW)
    second = place_order(cart_id=cart.pk, user=user, now=NOW)

    assert (first.pk, Order.objects.count()) == (second.pk, 1)


def test_an_order_that_costs_nothing_is_processed_without_payment(sent):
    user = make_user()
    make_price(make_variant(), "0")
    cart = set_cart_line(user=user, sku="85123A", quantity=1, now=NOW)

    order = place_order(cart_id=cart.pk, user=user, now=NOW)

    assert order.status == "paid"
    assert sent() == [("orders.tasks.process_order", order.pk)]


def still_open(cart: Cart) -> bool:
    cart.refresh_from_db()
    return cart.status == "open" and not Order.objects.exists()


def test_anothers_cart_is_not_found():
    cart = filled_cart(make_user())

    with pytest.raises(CartNotFound):
        place_order(cart_id=cart.pk, user=make_user("other@example.com"), now=NOW)

    assert still_open(cart)


def test_an_empty_cart_cannot_be_ordered():
    user = make_user()
    cart = open_cart(user=user)
    PriceList.objects.create(code="default", name="Default", currency="INR", is_default=True)

    with pytest.raises(CartUnusable, match="empty"):
        place_order(cart_id=cart.pk, user=user, now=NOW)

    assert still_open(cart)


def test_more_than_is_on_hand_cannot_be_ordered():
    user = make_user()
    cart = filled_cart(user, units=101)

    with pytest.raises(CartUnusable, match=r"85123A \(100 on hand\)"):
        place_order(cart_id=cart.pk, user=user, now=NOW)

    assert still_open(cart)


def test_an_article_that_was_taken_off_sale_cannot_be_ordered():
    user = make_user()
    cart = filled_cart(user)
    Product.objects.filter(external_id="22633").update(status="retired")

    with pytest.raises(CartUnusable, match="22633"):
        place_order(cart_id=cart.pk, user=user, now=NOW)

    assert still_open(cart)


def test_an_article_without_a_price_cannot_be_ordered():
    user = make_user()
    cart = filled_cart(user)
    make_variant("no price")
    set_cart_line(user=user, sku="no price", quantity=1, now=NOW)

    with pytest.raises(NoPrice, match="no price"):
        place_order(cart_id=cart.pk, user=user, now=NOW)

    assert still_open(cart)


def test_a_shop_without_prices_sells_nothing():
    user = make_user()
    make_variant()
    cart = set_cart_line(user=user, sku="85123A", quantity=1, now=NOW)

    with pytest.raises(UnknownPriceList):
        place_order(cart_id=cart.pk, user=user, now=NOW)

    assert still_open(cart)


@pytest.mark.mariadb
@pytest.mark.django_db(transaction=True)
def test_two_clicks_at_the_same_moment_give_one_order(sent):
    user = make_user()
    cart = filled_cart(user)

    errors = in_threads(*[lambda: place_order(cart_id=cart.pk, user=user, now=NOW)] * 2)

    assert errors == []
    assert Order.objects.count() == 1
