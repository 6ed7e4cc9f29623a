"""Money that came, money that goes back, and what the provider told us."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from myproject.constraints import currency_code, not_empty
from myproject.fields import CodeField, TimestampedModel
from orders.models.cancellations import Cancellation
from orders.models.orders import Order
from orders.states import PaymentStatus, RefundStatus, WebhookStatus


class Payment(TimestampedModel):
    """One attempt of a customer to pay an order.

    `provider_order_id` is fixed before the first call and derives from (source, number, sequence). The sums keep the
    rule that refunds never exceed what was captured: `refund_planned_minor` holds every refund that is not failed.
    """

    order = models.ForeignKey(Order, on_delete=models.PROTECT, related_name="payments")
    sequence = models.PositiveSmallIntegerField(help_text="1 for the first attempt.")
    provider = models.CharField(max_length=16, default="juspay")
    provider_order_id = CodeField(max_length=20, unique=True)
    amount_minor = models.BigIntegerField()
    currency = CodeField(max_length=3)
    status = models.CharField(max_length=16, choices=PaymentStatus.choices, default=PaymentStatus.CREATED)
    payment_link = models.CharField(max_length=500, blank=True)
    captured_minor = models.BigIntegerField(default=0)
    refund_planned_minor = models.BigIntegerField(default=0)
    refunded_minor = models.BigIntegerField(default=0)
    failure_reason = models.CharField(max_length=191, blank=True)
    captured_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("order", "sequence"), name="payment_order_sequence"),
            models.CheckConstraint(condition=Q(amount_minor__gt=0), name="payment_amount_positive"),
            models.CheckConstraint(
                condition=Q(refunded_minor__gte=0)
                & Q(refunded_minor__lte=F("refund_planned_minor"))
                & Q(refund_planned_minor__lte=F("captured_minor")),
                name="payment_refunds_within_captured",
            ),
            models.CheckConstraint(condition=Q(status__in=PaymentStatus.values), name="payment_status_known"),
            models.CheckConstraint(
                condition=(
                    Q(status=PaymentStatus.CAPTURED, captured_minor__gt=0, captured_minor__lte=F("amount_minor"))
                    | (~Q(status=PaymentStatus.CAPTURED) & Q(captured_minor=0))
                ),
                name="payment_captured_amount",
            ),
            currency_code("payment_currency"),
            not_empty("payment_has_provider_order", "provider", "provider_order_id"),
        )
        indexes = (models.Index(fields=("status", "updated_at"), name="payment_status_updated"),)
        ordering = ("id",)

    def __str__(self) -> str:
        return self.provider_order_id


class Refund(TimestampedModel):
    """One leg of money that goes back for one cancellation.

    `request_id` is the provider's idempotency key: fixed before the first call, the same for every resend, and new
    only after the provider said that the refund failed (`attempt` counts those).
    """

    cancellation = models.ForeignKey(Cancellation, on_delete=models.PROTECT, related_name="refunds")
    sequence = models.PositiveSmallIntegerField(default=1)
    payment = models.ForeignKey(Payment, null=True, blank=True, on_delete=models.PROTECT, related_name="refunds")
    amount_minor = models.BigIntegerField()
    currency = CodeField(max_length=3)
    reason = models.CharField(max_length=191)
    status = models.CharField(max_length=16, choices=RefundStatus.choices, default=RefundStatus.PLANNED)
    attempt = models.PositiveSmallIntegerField(default=1)
    request_id = CodeField(max_length=20, unique=True)
    provider_reference = models.CharField(max_length=64, blank=True)
    failure_reason = models.CharField(max_length=191, blank=True)
    sent_at = models.DateTimeField(null=True, blank=True)
    settled_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("cancellation", "sequence"), name="refund_cancellation_sequence"),
            models.CheckConstraint(condition=Q(amount_minor__gte=0), name="refund_amount_not_negative"),
            models.CheckConstraint(condition=Q(amount_minor=0) | Q(payment__isnull=False), name="refund_has_payment"),
            models.CheckConstraint(condition=Q(status__in=RefundStatus.values), name="refund_status_known"),
            models.CheckConstraint(
                condition=~Q(status=RefundStatus.SETTLED) | Q(settled_at__isnull=False), name="refund_settled_at"
            ),
            currency_code("refund_currency"),
            not_empty("refund_has_request_id", "request_id"),
        )
        indexes = (models.Index(fields=("status", "updated_at"), name="refund_status_updated"),)
        ordering = ("id",)

    def __str__(self) -> str:
        return self.request_id


class WebhookEvent(models.Model):
    """A provider's webhook: a hint that something changed. Its body is not kept, the truth is read back."""

    provider = models.CharField(max_length=16)
    event_id = CodeField(max_length=128)
    event_name = models.CharField(max_length=64)
    provider_order_id = CodeField(max_length=64)
    status = models.CharField(max_length=16, choices=WebhookStatus.choices, default=WebhookStatus.RECEIVED)
    received_at = models.DateTimeField()
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("provider", "event_id"), name="webhook_provider_event"),
            models.CheckConstraint(condition=Q(status__in=WebhookStatus.values), name="webhook_status_known"),
            not_empty("webhook_has_ids", "provider", "event_id", "event_name"),
        )
        indexes = (models.Index(fields=("status", "updated_at"), name="webhook_status_updated"),)

    def __str__(self) -> str:
        return self.event_id
