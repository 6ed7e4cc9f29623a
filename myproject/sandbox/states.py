"""The states of orders and refunds, the moves between them, and the only two functions that make a move."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .models import Order, Payment, Refund

# Every order status of the provider with its number, also those that the stand-in never reaches.
STATUS_IDS = {
    "NEW": 10,
    "STARTED": 20,
    "CHARGED": 21,
    "JUSPAY_DECLINED": 22,
    "PENDING_VBV": 23,
    "VBV_SUCCESSFUL": 24,
    "AUTHENTICATION_FAILED": 26,
    "AUTHORIZATION_FAILED": 27,
    "AUTHORIZING": 28,
    "COD_INITIATED": 29,
    "VOIDED": 31,
    "VOID_INITIATED": 32,
    "CAPTURE_INITIATED": 33,
    "CAPTURE_FAILED": 34,
    "VOID_FAILED": 35,
    "AUTO_REFUNDED": 36,
    "NOT_FOUND": 40,
}

DECLINES = ("AUTHORIZATION_FAILED", "AUTHENTICATION_FAILED", "JUSPAY_DECLINED")
OPEN = ("PENDING_VBV", "CHARGED", *DECLINES)

# A customer whose payment failed or was left may try again on the same order; what is charged stays charged.
ORDER_MOVES = {"NEW": OPEN, "PENDING_VBV": OPEN, **dict.fromkeys(DECLINES, OPEN), "CHARGED": ()}

REFUND_MOVES = {
    "PENDING": ("SUCCESS", "FAILURE", "MANUAL_REVIEW"),
    "SUCCESS": (),
    "FAILURE": (),
    "MANUAL_REVIEW": (),
}
# A refund in one of these holds its part of the captured amount; a failed one gives it back.
REFUNDS_THAT_HOLD_MONEY = ("PENDING", "SUCCESS", "MANUAL_REVIEW")


class ForbiddenMove(Exception):
    """A move that the tables above do not have. Read by the stand-in's developer: it is a bug of the stand-in."""


def move_order(order: Order, status: str, *, latest_payment: Payment) -> None:
    """Give the order its status and the payment that led to it. Raises ForbiddenMove."""
    if status not in ORDER_MOVES[order.status]:
        raise ForbiddenMove(f"order {order.order_id}: {order.status} to {status}")
    order.status = status
    order.latest_payment = latest_payment
    order.save(update_fields=["status", "latest_payment"])


def move_refund(refund: Refund, status: str, *, gateway_reference: str, now: datetime) -> None:
    """Give the refund its final status. Raises ForbiddenMove."""
    if status not in REFUND_MOVES[refund.status]:
        raise ForbiddenMove(f"refund {refund.unique_request_id}: {refund.status} to {status}")
    refund.status = status
    refund.gateway_reference = gateway_reference
    refund.settled_at = now
    refund.save(update_fields=["status", "gateway_reference", "settled_at"])
