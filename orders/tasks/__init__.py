"""The tasks of orders and money, one module per topic; Celery finds them all through this package."""

from orders.tasks.cancellations import process_order_cancellation
from orders.tasks.orders import (
    charge_payment,
    process_order,
    send_confirmation_email,
    send_order_confirmation,
    validate_order,
)
from orders.tasks.payments import check_payment, process_webhook_event
from orders.tasks.refunds import check_refund, initiate_juspay_refund
from orders.tasks.sweep import sweep_stuck_orders

__all__ = (
    "charge_payment",
    "check_payment",
    "check_refund",
    "initiate_juspay_refund",
    "process_order",
    "process_order_cancellation",
    "process_webhook_event",
    "send_confirmation_email",
    "send_order_confirmation",
    "sweep_stuck_orders",
    "validate_order",
)
