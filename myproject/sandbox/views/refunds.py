"""POST /orders/{order_id}/refunds and POST /refunds."""

from __future__ import annotations

import re

from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from .. import errors
from ..actions.refunds import NewRefund, accept_refund
from ..models import Order
from ..money import parse_amount
from ..queries.orders import (
    describe_order,
    describe_transaction_refund,
    find_refunds,
    get_order,
    get_order_of_transaction,
)
from .injection import answer_with_faults
from .requests import answer_json, merchant_call, read_form

UNIQUE_REQUEST_ID = re.compile(r"[A-Za-z0-9]{1,20}", re.ASCII)
REFUND_TYPES = ("STANDARD", "INSTANT")


@merchant_call("POST")
def order_refund(request: HttpRequest, order_id: str) -> HttpResponse:
    """Refund an order; the answer is the order object with its refunds."""
    new = _read_refund(read_form(request))

    def apply() -> HttpResponse:
        order = _require_order(get_order(order_id), order_id)
        accept_refund(order=order, new=new, now=timezone.now())
        return answer_json(describe_order(order, find_refunds(order)))

    return answer_with_faults(request, endpoint="refund", order_id=order_id, apply=apply)


@merchant_call("POST")
def transaction_refund(request: HttpRequest) -> HttpResponse:
    """Refund by transaction or order; the answer is the refund alone."""
    form = read_form(request)
    new = _read_refund(form)
    txn_id, order_id = form.get("txn_id", ""), form.get("order_id", "")
    if not txn_id and not order_id:
        raise errors.mandatory_fields_missing()
    found = get_order_of_transaction(txn_id) if txn_id else get_order(order_id)
    order = _require_order(found, order_id or txn_id)
    if order_id and order.order_id != order_id:  # both were given and do not belong together
        raise errors.order_not_found(order_id)

    def apply() -> HttpResponse:
        refund = accept_refund(order=order, new=new, now=timezone.now())
        return answer_json(describe_transaction_refund(order, refund))

    return answer_with_faults(request, endpoint="refund", order_id=order.order_id, apply=apply)


def _read_refund(form: dict[str, str]) -> NewRefund:
    identifier = form.get("unique_request_id", "")
    if not identifier:
        raise errors.mandatory_fields_missing()
    if not UNIQUE_REQUEST_ID.fullmatch(identifier):
        raise errors.invalid_input("unique_request_id", "Fewer than 21 letters and digits are allowed")
    refund_type = form.get("refund_type", "STANDARD")
    if refund_type not in REFUND_TYPES:
        raise errors.invalid_input("refund_type", "STANDARD or INSTANT is allowed")
    amount = (parse_amount(form["amount"]) or 0) if "amount" in form else None
    return NewRefund(unique_request_id=identifier, amount=amount, refund_type=refund_type)


def _require_order(order: Order | None, identifier: str) -> Order:
    if order is None:
        raise errors.order_not_found(identifier)
    return order
