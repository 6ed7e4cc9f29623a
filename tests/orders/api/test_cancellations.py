from __future__ import annotations

import copy

import pytest

from myproject.api.models import TaskReceipt
from orders.actions.customers import ensure_registered_customer
from orders.models import CancellationRequest, Order
from tests.orders.factories import bring_order, make_service_account, make_user, make_variant

pytestmark = pytest.mark.django_db

IMPORT = "/api/imports/cancellations"
BODY = {
    "source": "feed",
    "number": "C536379",
    "customer": "17850",
    "currency": "GBP",
    "requested_at": "2010-12-01T09:41:00Z",
    "lines": [{"order": "536365", "line": 1, "quantity": 2, "unit_price": "2.55"}],
    "unmatched": [{"sku": "D", "description": "Discount", "quantity": 1, "unit_price": "27.5"}],
}


def post(client, url, body, key="k1"):
    return client.post(url, body, format="json", headers={"Idempotency-Key": key} if key else {})


def own_order(user) -> Order:
    order = bring_order()
    Order.objects.filter(pk=order.pk).update(customer=ensure_registered_customer(user=user))
    return Order.objects.get(pk=order.pk)


def test_a_feed_brings_a_cancellation(client_of, sent):
    make_variant()
    order = bring_order()
    feed = make_service_account()

    answer = post(client_of(feed), IMPORT, BODY)

    assert answer.status_code == 202, answer.json()
    request = CancellationRequest.objects.get()
    assert answer.json() == {"id": request.pk, "number": "C536379", "status": "requested", "total": "5.10"}
    assert (request.actor, request.unmatched_lines.count()) == (f"user:{feed.pk}", 1)
    assert sent() == [("orders.tasks.process_order_cancellation", order.pk)]


def test_the_same_document_again_changes_nothing(client_of):
    make_variant()
    bring_order()
    client = client_of(make_service_account())
    first = post(client, IMPORT, BODY)

    repeated, found = post(client, IMPORT, BODY), post(client, IMPORT, BODY, key="k2")

    assert (repeated.status_code, repeated.json()) == (202, first.json())
    assert (found.status_code, found.json()) == (200, first.json())
    assert Order.objects.get().lines.get().cancelled_quantity == 2


def test_a_document_that_names_an_address_tells_a_customer_who_never_ordered_here(client_of, sent):
    body = BODY | {"lines": [], "customer": "12346", "customer_email": "c12346@example.com"}

    answer = post(client_of(make_service_account()), IMPORT, body)

    assert (answer.status_code, answer.json()["status"], answer.json()["total"]) == (202, "completed", "0.00")
    assert CancellationRequest.objects.get().customer.email == "c12346@example.com"
    assert [name for name, *_ in sent()] == ["notifications.tasks.deliver_message"]


@pytest.mark.parametrize(
    ("part", "value", "status", "field"),
    [
        ("quantity", 0, 422, "lines[0].quantity"),
        ("quantity", 7, 409, "lines[0].quantity"),
        ("unit_price", "-1", 422, "lines[0].unit_price"),
        ("line", 9, 422, "lines[0].line"),
        ("order", "404", 422, "lines[0].order"),
    ],
)
def test_a_line_that_cannot_be_taken_back_is_named(client_of, sent, part, value, status, field):
    make_variant()
    bring_order()
    body = copy.deepcopy(BODY)
    body["lines"][0][part] = value

    answer = post(client_of(make_service_account()), IMPORT, body)

    assert answer.status_code == status, answer.json()
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert not CancellationRequest.objects.exists()
    assert Order.objects.get().cancelled_minor == 0
    assert sent() == []


def test_a_customer_may_not_bring_documents(client_of):
    make_variant()
    bring_order()

    assert post(client_of(make_user()), IMPORT, BODY).status_code == 403

    assert not CancellationRequest.objects.exists()


def test_a_customer_cancels_units_of_their_order_and_can_follow_the_work(client_of, sent):
    make_variant()
    user = make_user()
    order = own_order(user)
    client = client_of(user)

    answer = post(
        client, f"/api/orders/{order.pk}/cancellations", {"reason": "too many", "lines": [{"line": 1, "quantity": 2}]}
    )

    assert answer.status_code == 202, answer.json()
    body = answer.json()
    assert (body["status"], body["total"]) == ("requested", "5.10")
    receipt = TaskReceipt.objects.get()
    assert (receipt.task_name, receipt.user) == ("orders.tasks.process_order_cancellation", user)
    assert body["status_url"].endswith(f"/api/tasks/{receipt.task_id}")
    assert answer["Location"] == body["status_url"]
    assert client.get(body["status_url"]).status_code == 200
    assert sent() == [("orders.tasks.process_order_cancellation", order.pk)]
    listed = client.get(f"/api/orders/{order.pk}/cancellations").json()["results"]
    assert [(row["number"], row["reason"], row["refund"]) for row in listed] == [(body["number"], "too many", "5.10")]


def test_without_lines_all_that_is_left_is_cancelled(client_of):
    make_variant()
    user = make_user()
    order = own_order(user)

    answer = post(client_of(user), f"/api/orders/{order.pk}/cancellations", {})

    assert (answer.status_code, answer.json()["total"]) == (202, "15.30")


def test_a_double_click_makes_one_request(client_of):
    make_variant()
    user = make_user()
    order = own_order(user)
    client, url = client_of(user), f"/api/orders/{order.pk}/cancellations"

    first, repeated, clicked = post(client, url, {}), post(client, url, {}), post(client, url, {}, key="k2")

    assert repeated.json() == first.json()
    assert (clicked.status_code, clicked.json()["id"]) == (202, first.json()["id"])
    assert CancellationRequest.objects.count() == 1


@pytest.mark.parametrize("key", ["k1", None])
def test_another_customers_order_is_not_found(client_of, sent, key):
    make_variant()
    order = own_order(make_user())
    stranger = client_of(make_user("other@example.com"))

    answer = post(stranger, f"/api/orders/{order.pk}/cancellations", {}, key=key)

    assert answer.status_code == (404 if key else 400)
    assert stranger.get(f"/api/orders/{order.pk}/cancellations").status_code == 404
    assert not CancellationRequest.objects.exists()
    assert sent() == []


@pytest.mark.parametrize(
    ("lines", "status", "field"),
    [
        ([{"line": 1, "quantity": 7}], 409, "lines[0].quantity"),
        ([{"line": 1, "quantity": 0}], 422, "lines[0].quantity"),
        ([{"line": 2, "quantity": 1}], 422, "lines[0].line"),
        ([{"line": 1, "quantity": 1}, {"line": 1, "quantity": 2}], 422, "lines"),
        ([], 422, "lines"),
    ],
)
def test_a_wish_that_cannot_be_granted_is_refused_and_changes_nothing(client_of, sent, lines, status, field):
    make_variant()
    user = make_user()
    order = own_order(user)

    answer = post(client_of(user), f"/api/orders/{order.pk}/cancellations", {"lines": lines})

    assert answer.status_code == status, answer.json()
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert not CancellationRequest.objects.exists()
    assert not TaskReceipt.objects.exists()
    assert sent() == []
