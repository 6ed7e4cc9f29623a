"""The lives of orders, payments, cancellations and refunds, as data.

`myproject.states.transition` is the only function that assigns a status; `orders.actions.events` appends the event.
"""

from __future__ import annotations

from django.db import models

from myproject.states import state_table


class OrderStatus(models.TextChoices):
    """Where an order stands."""

    PENDING_PAYMENT = "pending_payment", "Waiting for payment"
    PAID = "paid", "Paid"
    PROCESSED = "processed", "Processed"
    CANCELLED = "cancelled", "Cancelled"


class PaymentStatus(models.TextChoices):
    """Where a payment stands. CREATED is committed before the provider is called."""

    CREATED = "created", "Created"
    PENDING = "pending", "Waiting for the customer"
    CAPTURED = "captured", "Captured"
    FAILED = "failed", "Failed"
    ABANDONED = "abandoned", "Abandoned"


class CancellationStatus(models.TextChoices):
    """Where the part of a cancellation that concerns one order stands."""

    REQUESTED = "requested", "Requested"
    PROCESSED = "processed", "Stock back, refund planned"
    COMPLETED = "completed", "Completed"


class RefundStatus(models.TextChoices):
    """Where a refund stands. UNKNOWN may or may not have reached the provider: look it up first."""

    PLANNED = "planned", "Planned"
    SENDING = "sending", "Being sent"
    UNKNOWN = "unknown", "Outcome unknown"
    PENDING = "pending", "Accepted by the provider"
    MANUAL_REVIEW = "manual_review", "In manual review at the provider"
    SETTLED = "settled", "Settled"
    FAILED = "failed", "Failed"


class WebhookStatus(models.TextChoices):
    """Where a received webhook stands."""

    RECEIVED = "received", "Received"
    PROCESSED = "processed", "Processed"
    IGNORED = "ignored", "Not ours or not supported"


class CartStatus(models.TextChoices):
    """Where a cart stands."""

    OPEN = "open", "Open"
    ORDERED = "ordered", "Ordered"
    ABANDONED = "abandoned", "Abandoned"


class BatchStatus(models.TextChoices):
    """Where the import of one file stands."""

    RUNNING = "running", "Running"
    RECONCILED = "reconciled", "Reconciled"
    DIFFERENT = "different", "Not reconciled"


ORDER = state_table(
    "order",
    {
        OrderStatus.PENDING_PAYMENT: {OrderStatus.PAID, OrderStatus.CANCELLED},
        OrderStatus.PAID: {OrderStatus.PROCESSED, OrderStatus.CANCELLED},
        OrderStatus.PROCESSED: {OrderStatus.CANCELLED},
        OrderStatus.CANCELLED: set(),
    },
)
PAYMENT = state_table(
    "payment",
    {
        PaymentStatus.CREATED: {
            PaymentStatus.PENDING,
            PaymentStatus.CAPTURED,
            PaymentStatus.FAILED,
            PaymentStatus.ABANDONED,
        },
        PaymentStatus.PENDING: {PaymentStatus.CAPTURED, PaymentStatus.FAILED, PaymentStatus.ABANDONED},
        # A customer may come back to the provider's page after we gave up: the money decides.
        PaymentStatus.FAILED: {PaymentStatus.CAPTURED},
        PaymentStatus.ABANDONED: {PaymentStatus.CAPTURED},
        PaymentStatus.CAPTURED: set(),
    },
)
CANCELLATION = state_table(
    "cancellation",
    {
        CancellationStatus.REQUESTED: {CancellationStatus.PROCESSED},
        CancellationStatus.PROCESSED: {CancellationStatus.COMPLETED},
        CancellationStatus.COMPLETED: set(),
    },
)
REFUND = state_table(
    "refund",
    {
        RefundStatus.PLANNED: {RefundStatus.SENDING, RefundStatus.SETTLED},
        RefundStatus.SENDING: {
            RefundStatus.PLANNED,
            RefundStatus.UNKNOWN,
            RefundStatus.PENDING,
            RefundStatus.MANUAL_REVIEW,
            RefundStatus.SETTLED,
            RefundStatus.FAILED,
        },
        RefundStatus.UNKNOWN: {
            RefundStatus.SENDING,
            RefundStatus.PENDING,
            RefundStatus.MANUAL_REVIEW,
            RefundStatus.SETTLED,
            RefundStatus.FAILED,
        },
        RefundStatus.PENDING: {RefundStatus.MANUAL_REVIEW, RefundStatus.SETTLED, RefundStatus.FAILED},
        RefundStatus.MANUAL_REVIEW: {RefundStatus.SETTLED, RefundStatus.FAILED},
        # A failed refund is planned again under a new request id, because the provider never takes one twice.
        RefundStatus.FAILED: {RefundStatus.PLANNED},
        RefundStatus.SETTLED: set(),
    },
)
WEBHOOK = state_table(
    "webhook",
    {
        WebhookStatus.RECEIVED: {WebhookStatus.PROCESSED, WebhookStatus.IGNORED},
        WebhookStatus.PROCESSED: set(),
        WebhookStatus.IGNORED: set(),
    },
)
CART = state_table(
    "cart",
    {
        CartStatus.OPEN: {CartStatus.ORDERED, CartStatus.ABANDONED},
        CartStatus.ABANDONED: {CartStatus.OPEN, CartStatus.ORDERED},
        CartStatus.ORDERED: set(),
    },
)
BATCH = state_table(
    "batch",
    {
        BatchStatus.RUNNING: {BatchStatus.RECONCILED, BatchStatus.DIFFERENT},
        BatchStatus.DIFFERENT: {BatchStatus.RUNNING},
        BatchStatus.RECONCILED: set(),
    },
)
