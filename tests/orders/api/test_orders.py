from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from orders.actions.customers import ensure_registered_customer
from orders.api import orders as views
from orders.models import Order, Payment
from tests.orders.factories import bring_order, line, make_service_account, make_user, make_variant

pytestmark = pytest.mark.django_db


def own_order(user, number: str = "536365") -> Order:
    order = bring_order(line(), number=number)
    Order.objects.filter(pk=order.pk).update(customer=ensure_registered_customer(user=user))
    return Order.objects.get(pk=order.pk)


def test_a_customer_sees_their_own_orders_newest_first(client_of):
    make_variant()
    user = make_user()
    first, second = own_order(user, "1"), own_order(user, "2")
    own_order(make_user("other@example.com"), "3")

    page = client_of(user).get("/api/orders").json()

    assert [row["id"] for row in page["results"]] == [second.pk, first.pk]
    assert page["results"][0]["total"] == "15.30"


def test_pages_are_followed_by_cursor(client_of):
    make_variant()
    user = make_user()
    for number in range(3):
        own_order(user, str(number))
    client = client_of(user)

    first = client.get("/api/orders?page_size=2").json()
    second = client.get(first["next"]).json()

    assert [row["number"] for row in first["results"] + second["results"]] == ["2", "1", "0"]
    assert second["next"] is None


def test_an_order_is_told_with_its_lines(client_of):
    make_variant()
    user = make_user()
    order = own_order(user)

    body = client_of(user).get(f"/api/orders/{order.pk}").json()

    assert (body["number"], body["status"], body["currency"], body["cancelled"]) == (
        "536365", "pending_payment", "GBP", "0.00",
    )  # fmt: skip
    assert body["lines"] == [
        {
            "number": 1,
            "kind": "goods",
            "sku": "85123A",
            "description": "WHITE HANGING HEART",
            "quantity": 6,
            "cancelled_quantity": 0,
            "unit_price": "2.5500",
            "total": "15.30",
        }
    ]


@pytest.mark.parametrize("path", ["", "/events", "/cancellations"])
def test_anothers_order_is_not_found(client_of, path):
    make_variant()
    order = own_order(make_user())

    answer = client_of(make_user("other@example.com")).get(f"/api/orders/{order.pk}{path}")

    assert (answer.status_code, answer.json()["code"]) == (404, "order_not_found")


def test_a_service_account_sees_the_orders_it_brought_and_no_others(client_of):
    make_variant()
    feed, other = make_service_account(), make_service_account("other@example.com")
    order = bring_order(actor=f"user:{feed.pk}")

    assert client_of(feed).get(f"/api/orders/{order.pk}").status_code == 200
    assert client_of(other).get(f"/api/orders/{order.pk}").status_code == 404
    assert client_of(other).get("/api/orders").json()["results"] == []


def test_the_history_of_an_order_is_told_without_who_did_it(client_of):
    make_variant()
    user = make_user()
    order = own_order(user)

    rows = client_of(user).get(f"/api/orders/{order.pk}/events").json()["results"]

    assert [row["kind"] for row in rows] == ["order.imported"]
    assert set(rows[0]) == {"id", "kind", "subject", "from_status", "to_status", "occurred_at"}


def test_strangers_are_asked_to_sign_in(client_of):
    assert client_of(None).get("/api/orders").status_code == 401


def test_the_owner_gets_the_providers_page(client_of, monkeypatch):
    make_variant()
    user = make_user()
    order = own_order(user)
    calls = []

    def start(**given):
        calls.append(given)
        return Payment(order=order, provider_order_id="P1", status="pending", payment_link="http://provider/pay")

    monkeypatch.setattr(views, "start_payment", start)
    client = client_of(user)

    first = client.post(f"/api/orders/{order.pk}/payments", headers={"Idempotency-Key": "k"})
    again = client.post(f"/api/orders/{order.pk}/payments", headers={"Idempotency-Key": "k"})

    assert first.status_code == 201
    assert first.json() == {"payment_link": "http://provider/pay", "provider_order_id": "P1", "status": "pending"}
    assert again.json() == first.json()
    assert [(call["order_id"], call["actor"]) for call in calls] == [(order.pk, f"user:{user.pk}")]


@pytest.mark.parametrize(("key", "status"), [("k", 404), (None, 400)])
def test_nobody_pays_anothers_order_or_without_a_key(client_of, monkeypatch, key, status):
    make_variant()
    order = own_order(make_user())
    monkeypatch.setattr(views, "start_payment", lambda **given: pytest.fail("a payment was started"))

    headers = {"Idempotency-Key": key} if key else {}
    answer = client_of(make_user("other@example.com")).post(f"/api/orders/{order.pk}/payments", headers=headers)

    assert answer.status_code == status
    assert not Payment.objects.exists()


def test_a_list_takes_the_same_statements_however_long_it_is(client_of):
    make_variant()
    user = make_user()
    own_order(user, "1")
    client = client_of(user)
    with CaptureQueriesContext(connection) as one:
        client.get("/api/orders")
    for number in range(5):
        own_order(user, f"n{number}")
    with CaptureQueriesContext(connection) as six:
        client.get("/api/orders")

    assert len(six) == len(one) == 1
