"""Orders as the provider shows them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from ..configuration import configuration
from ..models import Order, Payment, Refund
from ..money import to_json_number
from ..states import REFUNDS_THAT_HOLD_MONEY, STATUS_IDS

GATEWAY = "SANDBOX"
UDF = tuple(f"udf{number}" for number in range(1, 11))


def get_order(order_id: str) -> Order | None:
    """Return the order with its latest payment."""
    return Order.objects.select_related("latest_payment").filter(order_id=order_id).first()


def get_order_of_transaction(txn_id: str) -> Order | None:
    """Return the order that a transaction belongs to."""
    return Order.objects.select_related("latest_payment").filter(payments__txn_id=txn_id).first()


def get_order_of_page(page_id: str) -> Order | None:
    """Return the order whose payment page this is."""
    return Order.objects.select_related("latest_payment").filter(juspay_id=page_id).first()


def find_refunds(order: Order) -> list[Refund]:
    """Return the order's refunds, oldest first. Only a charged order has any: others cost no query."""
    return list(Refund.objects.filter(order=order).order_by("pk")) if order.status == "CHARGED" else []


def describe_order(order: Order, refunds: Sequence[Refund]) -> dict[str, Any]:
    """Return the order object: the answer to order status and refund, and the content of every webhook."""
    payment = order.latest_payment
    refunded = sum(refund.amount for refund in refunds if refund.status == "SUCCESS")
    held = sum(refund.amount for refund in refunds if refund.status in REFUNDS_THAT_HOLD_MONEY)
    details = order.details
    return {
        "id": order.juspay_id,
        "order_id": order.order_id,
        "merchant_id": configuration().merchant_id,
        "status": order.status,
        "status_id": STATUS_IDS[order.status],
        "amount": to_json_number(order.amount),
        "effective_amount": to_json_number(order.amount),
        "currency": order.currency,
        "amount_refunded": to_json_number(refunded),
        "refunded": refunded == order.amount,
        "maximum_eligible_refund_amount": to_json_number(order.amount - held if order.status == "CHARGED" else 0),
        "customer_id": details.get("customer_id"),
        "customer_email": details.get("customer_email"),
        "customer_phone": details.get("customer_phone"),
        "description": details.get("description"),
        "product_id": details.get("product_id", ""),
        "return_url": order.return_url,
        "date_created": _format_time(order.created_at),
        **{name: details.get(name, "") for name in UDF},
        **_describe_payment(order, payment),
        "refunds": [describe_refund(refund) for refund in refunds],
        "offers": [],
    }


def _describe_payment(order: Order, payment: Payment | None) -> dict[str, Any]:
    if payment is None:
        return {"bank_error_code": "", "bank_error_message": ""}
    charged = payment.status == "CHARGED"
    return {
        "txn_id": payment.txn_id,
        "txn_uuid": payment.txn_uuid,
        "payment_method_type": "CARD",
        "payment_method": "VISA",
        "gateway_id": 100,
        "gateway_reference_id": payment.gateway_reference or None,
        "bank_error_code": payment.error_code,
        "bank_error_message": payment.error_message,
        "payment_gateway_response": {
            "resp_code": "SUCCESS" if charged else payment.error_code or None,
            "resp_message": "Transaction Successful" if charged else payment.error_message or None,
            "epg_txn_id": payment.gateway_reference or None,
            "rrn": payment.gateway_reference[:12] or None,
            "auth_id_code": payment.gateway_reference[-6:] or None,
            "txn_id": payment.txn_id,
            "created": _format_time(payment.created_at),
        },
        "txn_detail": {
            "txn_id": payment.txn_id,
            "txn_uuid": payment.txn_uuid,
            "order_id": order.order_id,
            "status": payment.status,
            "gateway": GATEWAY,
            "gateway_id": 100,
            "currency": order.currency,
            "txn_amount": to_json_number(order.amount),
            "net_amount": to_json_number(order.amount),
            "error_code": payment.error_code,
            "error_message": payment.error_message,
            "created": _format_time(payment.created_at),
        },
    }


def describe_refund(refund: Refund) -> dict[str, Any]:
    """Return one entry of the order object's `refunds`."""
    failed = refund.status == "FAILURE"
    return {
        "unique_request_id": refund.unique_request_id,
        "id": refund.gateway_reference or refund.unique_request_id,
        "ref": refund.gateway_reference or None,
        "amount": to_json_number(refund.amount),
        "status": refund.status,
        "error_code": "REFUND_FAILED" if failed else None,
        "error_message": "The stand-in refused the refund." if failed else "",
        "sent_to_gateway": refund.status != "PENDING",
        "refund_type": refund.refund_type,
        "refund_source": GATEWAY,
        "initiated_by": "API",
        "arn": refund.gateway_reference[:23] or None,
        "created": _format_time(refund.created_at),
    }


def describe_transaction_refund(order: Order, refund: Refund) -> dict[str, Any]:
    """Return the answer of the transaction-level call, POST /refunds."""
    shown = describe_refund(refund)
    payment = order.latest_payment
    return {
        "unique_request_id": refund.unique_request_id,
        "reference_id": shown["id"],
        "order_id": order.order_id,
        "txn_id": payment.txn_id if payment else None,
        "amount": shown["amount"],
        "created": shown["created"],
        "refund_type": refund.refund_type,
        "refund_source": GATEWAY,
        "gateway": GATEWAY,
        "epg_txn_id": shown["ref"],
        "status": refund.status,
        "response_code": shown["error_code"],
        "error_message": shown["error_message"],
        "refund_arn": shown["arn"],
        "authorization_id": None,
        "sent_to_gateway": shown["sent_to_gateway"],
        "initiated_by": "API",
        "expected_refund_credit_time": None,
    }


def _format_time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
