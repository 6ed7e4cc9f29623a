"""The page on which the customer pays: buttons for a person, `action=...` for a program that plays one."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone

from ..actions.payments import pay_order
from ..configuration import configuration
from ..faults.choosing import choose_fault
from ..models import Order
from ..money import format_amount
from ..queries.orders import get_order_of_page
from ..signature import build_return_url
from ..states import DECLINES, STATUS_IDS
from .injection import answer_fault
from .requests import answer_json

ACTIONS = ("approve", "decline", "abandon")


def payment_page(request: HttpRequest, page_id: str) -> HttpResponse:
    """Show the page, or carry out what was pressed. The page's address is its only key, as with the provider."""
    order = get_order_of_page(page_id)
    if order is None:
        return answer_json({"status": "NOT_FOUND", "status_id": 40}, status=404)
    if request.method == "POST":
        return _answer_press(request, order)
    if request.method not in ("GET", "HEAD"):
        return HttpResponse(status=405, headers={"Allow": "GET, HEAD, POST"})
    return _show_page(request, order)


def _answer_press(request: HttpRequest, order: Order) -> HttpResponse:
    action = request.POST.get("action", "")
    if action not in ACTIONS:
        return answer_json({"status": "Bad Request", "error_message": f"action must be one of {ACTIONS}"}, status=400)
    fault = choose_fault(endpoint="payment_page", order_id=order.order_id)
    decline_status = DECLINES[0]
    if fault is not None and fault.kind == "decline":
        action = "decline" if action == "approve" else action
        decline_status = str(fault.status)
        fault = None

    def apply() -> HttpResponse:
        paid = pay_order(page_id=order.juspay_id, action=action, decline_status=decline_status, now=timezone.now())
        return _send_back(request, paid or order)

    return apply() if fault is None else answer_fault(request, fault=fault, apply=apply)


def _send_back(request: HttpRequest, order: Order) -> HttpResponse:
    if not order.return_url:
        return _show_page(request, order)
    location = build_return_url(
        order.return_url,
        order_id=order.order_id,
        status=order.status,
        status_id=STATUS_IDS[order.status],
        response_key=configuration().response_key,
    )
    # "See other": the browser goes on with GET. The address was checked when the order was created.
    return HttpResponse(status=303, headers={"Location": location, "Content-Length": "0"})


def _show_page(request: HttpRequest, order: Order) -> HttpResponse:
    context = {
        "order": order,
        "amount": format_amount(order.amount),
        "paid": order.status == "CHARGED",
        "merchant_id": configuration().merchant_id,
    }
    page = render(request, "sandbox/payment_page.html", context)
    page["Content-Security-Policy"] = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'"
    page["X-Content-Type-Options"] = "nosniff"
    page["Referrer-Policy"] = "no-referrer"
    page["Cache-Control"] = "no-store"
    return page
