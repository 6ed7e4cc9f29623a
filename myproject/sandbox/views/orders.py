"""POST /session, POST /orders and GET /orders/{order_id}."""

from __future__ import annotations

import re
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from .. import errors
from ..actions.orders import NewOrder, create_order
from ..configuration import configuration
from ..models import Order
from ..money import CURRENCIES, DEFAULT_CURRENCY, format_amount, parse_amount
from ..queries.orders import UDF, describe_order, find_refunds, get_order
from .injection import answer_with_faults
from .requests import FORM, answer_json, merchant_call, read_form, read_json, read_text

# The order status page allows 21 characters, the page on creating orders fewer than 21: each call is as strict as
# the page about it.
SESSION_ORDER_ID = re.compile(r"[A-Za-z0-9]{1,21}", re.ASCII)
FORM_ORDER_ID = re.compile(r"[A-Za-z0-9]{1,20}", re.ASCII)

WEB_ADDRESS = re.compile(r"https?://[A-Za-z0-9._:-]+(?:[/?#][\x21-\x7e]*)?", re.ASCII)
DETAILS = ("customer_id", "customer_email", "customer_phone", "description", "product_id", "first_name", "last_name")
WRONG = "Missing field or Invalid Value"


@merchant_call("POST")
def session(request: HttpRequest) -> HttpResponse:
    """Start a payment: create the order and answer with the link to its payment page."""
    body = read_json(request)
    new = _read_order(body, order_id=SESSION_ORDER_ID)
    if read_text(body, "payment_page_client_id") != configuration().client_id:
        raise errors.invalid_input("payment_page_client_id", WRONG)
    if body.get("action", "paymentPage") != "paymentPage":
        raise errors.invalid_input("action", "Only paymentPage is allowed")

    def apply() -> HttpResponse:
        order = create_order(new=new, now=timezone.now())
        return answer_json(_describe_session(order, links=_build_links(request, order)))

    return answer_with_faults(request, endpoint="session", order_id=new.order_id, apply=apply)


@merchant_call("POST")
def order_create(request: HttpRequest) -> HttpResponse:
    """Create an order without a session."""
    if request.content_type != FORM:
        raise errors.invalid_input("Content-Type", f"{FORM} is required")
    new = _read_order(dict(read_form(request)), order_id=FORM_ORDER_ID)

    def apply() -> HttpResponse:
        order = create_order(new=new, now=timezone.now())
        return answer_json(
            {
                "status": "NEW",
                "status_id": 10,
                "id": order.juspay_id,
                "order_id": order.order_id,
                "payment_links": _build_links(request, order),
            }
        )

    return answer_with_faults(request, endpoint="order_create", order_id=new.order_id, apply=apply)


@merchant_call("GET")
def order_status(request: HttpRequest, order_id: str) -> HttpResponse:
    """Tell the truth about an order."""

    def apply() -> HttpResponse:
        order = get_order(order_id)
        if order is None:
            raise errors.order_not_found(order_id)
        return answer_json(describe_order(order, find_refunds(order)))

    return answer_with_faults(request, endpoint="order_status", order_id=order_id, apply=apply)


def _read_order(body: dict[str, Any], *, order_id: re.Pattern[str]) -> NewOrder:
    identifier = body.get("order_id")
    if not isinstance(identifier, str) or not order_id.fullmatch(identifier):
        raise errors.invalid_input("order_id", WRONG)
    amount = parse_amount(body.get("amount"))
    if not amount:  # no number, more than two decimals, or zero
        raise errors.invalid_input("amount", WRONG)
    currency = body.get("currency", DEFAULT_CURRENCY)
    if currency not in CURRENCIES:
        raise errors.invalid_input("currency", WRONG)
    return_url = read_text(body, "return_url", longest=2000)
    if return_url and not WEB_ADDRESS.fullmatch(return_url):
        raise errors.invalid_input("return_url", WRONG)
    details = {name: text for name in (*DETAILS, *UDF) if (text := read_text(body, name))}
    return NewOrder(order_id=identifier, amount=amount, currency=currency, return_url=return_url, details=details)


def _build_links(request: HttpRequest, order: Order) -> dict[str, str]:
    base = configuration().public_url or f"{request.scheme}://{request.get_host()}"
    page = f"{base}/payment-page/{order.juspay_id}"
    return {"web": page, "mobile": f"{page}?mobile=true", "iframe": page}


def _describe_session(order: Order, *, links: dict[str, str]) -> dict[str, Any]:
    return {
        "status": "NEW",
        "id": order.juspay_id,
        "order_id": order.order_id,
        "payment_links": links,
        "sdk_payload": {
            "requestId": order.juspay_id.removeprefix("ordeh_"),
            "service": "in.juspay.hyperpay",
            "payload": {
                "action": "paymentPage",
                "clientId": configuration().client_id,
                "merchantId": configuration().merchant_id,
                "orderId": order.order_id,
                "amount": format_amount(order.amount),
                "currency": order.currency,
                "environment": "sandbox",
            },
        },
    }
