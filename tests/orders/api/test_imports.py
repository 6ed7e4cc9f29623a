from __future__ import annotations

import copy
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from orders.models import Customer, Order, OrderEvent
from tests.orders.factories import make_service_account, make_user, make_variant

pytestmark = pytest.mark.django_db

URL = "/api/imports/orders"
BODY: dict[str, Any] = {
    "source": "feed",
    "number": "536365",
    "customer": {"reference": "17850", "email": "c17850@example.com", "country": "United Kingdom"},
    "currency": "GBP",
    "placed_at": "2010-12-01T08:26:00Z",
    "lines": [
        {
            "number": 1,
            "kind": "goods",
            "sku": "85123A",
            "description": "WHITE HANGING HEART",
            "quantity": 6,
            "unit_price": "2.55",
        },
        {"number": 2, "kind": "postage", "sku": "POST", "quantity": 1, "unit_price": "18.00"},
    ],
}


def changed(path: str, value: object) -> dict[str, Any]:
    """Return the body with one value changed; the path is dotted, list positions are numbers."""
    body: Any = copy.deepcopy(BODY)
    *parents, last = [int(step) if step.isdigit() else step for step in path.split(".")]
    target: Any = body
    for step in parents:
        target = target[step]
    target[last] = value
    return body


def post(client, body, key="k1"):
    return client.post(URL, body, format="json", headers={"Idempotency-Key": key} if key else {})


def test_a_feed_brings_an_order(client_of):
    make_variant()
    feed = make_service_account()

    answer = post(client_of(feed), BODY)

    assert answer.status_code == 201, answer.json()
    order = Order.objects.get()
    assert answer.json() == {"id": order.pk, "number": "536365", "status": "pending_payment", "total": "33.30"}
    assert (order.customer.external_reference, order.lines.count()) == ("17850", 2)
    event = order.events.get()
    assert (event.kind, event.actor) == ("order.imported", f"user:{feed.pk}")
    assert event.data["request_id"]


def test_a_guest_has_no_customer_in_the_body(client_of):
    make_variant()

    answer = post(client_of(make_service_account()), changed("customer", None))

    assert answer.status_code == 201
    assert Customer.objects.get().is_guest


def test_the_same_request_again_gets_the_same_answer_and_makes_nothing(client_of):
    make_variant()
    client = client_of(make_service_account())
    first = post(client, BODY)

    second = post(client, BODY)

    assert (second.status_code, second.json()) == (201, first.json())
    assert (Order.objects.count(), OrderEvent.objects.count()) == (1, 1)


def test_the_same_order_under_a_new_key_is_found_and_not_made(client_of):
    make_variant()
    client = client_of(make_service_account())
    first = post(client, BODY)

    second = post(client, BODY, key="k2")

    assert (second.status_code, second.json()) == (200, first.json())
    assert (Order.objects.count(), OrderEvent.objects.count()) == (1, 1)


def test_another_order_under_a_known_number_is_a_conflict(client_of):
    make_variant()
    client = client_of(make_service_account())
    post(client, BODY)

    answer = post(client, changed("lines.0.quantity", 7), key="k2")

    assert (answer.status_code, answer.json()["code"]) == (409, "number_taken")
    assert Order.objects.get().lines.first().quantity == 6


def test_without_the_key_the_request_is_refused_and_the_header_named(client_of):
    make_variant()

    answer = post(client_of(make_service_account()), BODY, key=None)

    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == "Idempotency-Key"
    assert Order.objects.count() == 0


@pytest.mark.parametrize(
    "who",
    [
        lambda: make_user(),
        lambda: make_service_account(may_import=False),
        lambda: make_user_who_may_import(),
    ],
    ids=["a customer", "a service account without the permission", "a person with the permission"],
)
def test_nobody_else_may_bring_orders(client_of, who):
    make_variant()

    answer = post(client_of(who()), BODY)

    assert (answer.status_code, answer.json()["code"]) == (403, "permission_denied")
    assert Order.objects.count() == 0


def make_user_who_may_import():
    user = make_service_account("person@example.com")
    user.is_service = False
    user.save(update_fields=["is_service"])
    return user


def test_strangers_are_asked_to_sign_in(client_of):
    answer = post(client_of(None), BODY)

    assert answer.status_code == 401
    assert Order.objects.count() == 0


@pytest.mark.parametrize(
    ("path", "value", "field"),
    [
        ("lines.0.quantity", 0, "lines[0].quantity"),
        ("lines.1.quantity", "many", "lines[1].quantity"),
        ("lines.0.kind", "toy", "lines[0].kind"),
        ("lines.0.unit_price", "1.00001", "lines[0].unit_price"),
        ("lines.0.unit_price", "NaN", "lines[0].unit_price"),
        ("lines.0.unit_price", "-1.00", "lines[0].unit_price"),
        ("lines.0.sku", "unknown", "lines[0].sku"),
        ("lines.0.sku", "", "lines[0].sku"),
        ("lines.1.number", 1, "lines[1].number"),
        ("lines", [], "lines"),
        ("currency", "XXX", "currency"),
        ("source", "web", "source"),
        ("source", "a b", "source"),
        ("placed_at", "yesterday", "placed_at"),
        ("customer.email", "nobody", "customer.email"),
        ("number", "", "number"),
    ],
)
def test_a_value_that_cannot_be_taken_is_named(client_of, path, value, field):
    make_variant()

    answer = post(client_of(make_service_account()), changed(path, value))

    assert answer.status_code == 422, answer.json()
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert (Order.objects.count(), Customer.objects.count()) == (0, 0)


def test_a_refused_request_may_be_sent_again_corrected_under_its_key(client_of):
    make_variant()
    client = client_of(make_service_account())
    post(client, changed("lines.0.quantity", 0))

    assert post(client, BODY).status_code == 201


def test_the_number_of_statements_does_not_depend_on_the_number_of_lines(client_of):
    make_variant()
    client = client_of(make_service_account())
    post(client, BODY)
    counts = []
    for lines in (2, 60):
        body = changed("number", f"order {lines}")
        body["lines"] = [BODY["lines"][0] | {"number": number} for number in range(1, lines + 1)]
        with CaptureQueriesContext(connection) as queries:
            assert post(client, body, key=f"key {lines}".replace(" ", "")).status_code == 201
        counts.append(len(queries))

    assert counts[0] == counts[1] <= 17, [query["sql"][:90] for query in queries]
