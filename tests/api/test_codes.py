"""A code is compared byte for byte: a blank at its end makes it another code, in forms and over HTTP."""

from __future__ import annotations

import pytest
from rest_framework.test import APIClient

from catalog.models import Variant
from myproject.accounts.models import User
from myproject.fields import CodeField
from orders.api.cancellations import CancellationImportSerializer
from orders.api.imports import OrderImportSerializer
from orders.models import CartLine, Order, OrderLine
from tests.orders.factories import make_service_account, make_variant

CODES = {"number", "sku", "reference", "customer", "order"}


def test_a_form_keeps_the_blanks_of_a_code():
    assert CodeField(max_length=8).formfield().clean(" S0 ") == " S0 "


def test_the_form_of_a_variant_keeps_the_blank_of_its_sku():
    assert Variant._meta.get_field("sku").formfield().clean("S0 ") == "S0 "


def codes(serializer, path=""):
    for name, field in serializer.fields.items():
        inner = getattr(field, "child", field)
        if hasattr(inner, "fields"):
            yield from codes(inner, f"{path}{name}.")
        elif name in CODES and hasattr(field, "trim_whitespace"):
            yield f"{path}{name}", field.trim_whitespace


@pytest.mark.parametrize("serializer", [OrderImportSerializer, CancellationImportSerializer])
def test_documents_are_read_without_trimming_codes(serializer):
    found = dict(codes(serializer()))
    assert {"number", "lines.sku"} <= set(found) or {"number", "lines.order", "unmatched.sku"} <= set(found)
    assert [path for path, trims in found.items() if trims] == []


@pytest.mark.django_db
def test_a_cart_and_an_order_tell_two_codes_apart_by_a_blank():
    with_blank = make_variant(sku="S0 ")
    make_variant(sku="S0")
    client = APIClient()
    client.force_authenticate(User.objects.create_user("anna@example.com", "a long password 1"))
    assert client.put("/api/cart/lines/S0%20", {"quantity": 1}, format="json").status_code == 200
    assert CartLine.objects.get().variant == with_blank

    feed = APIClient()
    feed.force_authenticate(make_service_account())
    line = {"number": 1, "kind": "goods", "sku": "S0 ", "quantity": 1, "unit_price": "1.00"}
    body = {"source": "feed", "number": "7 ", "currency": "GBP", "placed_at": "2010-12-01T08:26:00Z", "lines": [line]}
    answer = feed.post("/api/imports/orders", body, format="json", headers={"Idempotency-Key": "k"})
    assert answer.status_code == 201, answer.json()
    assert Order.objects.get().number == "7 "
    assert OrderLine.objects.get().sku == "S0 "
