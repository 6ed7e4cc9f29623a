"""What customers gave back, as the documents said it and as it reaches into orders."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from myproject.constraints import currency_code, not_empty
from myproject.fields import CodeField, TimestampedModel
from orders.models.customers import Customer
from orders.models.orders import Order, OrderLine
from orders.states import CancellationStatus


class CancellationRequest(TimestampedModel):
    """One cancellation document; it may reach into several orders. `open_parts` counts those not yet completed."""

    source = CodeField(max_length=32)
    number = CodeField(max_length=64)
    customer = models.ForeignKey(
        Customer, null=True, blank=True, on_delete=models.PROTECT, related_name="cancellation_requests"
    )
    currency = CodeField(max_length=3)
    reason = models.CharField(max_length=191, blank=True)
    actor = models.CharField(max_length=64)
    open_parts = models.PositiveIntegerField()
    requested_at = models.DateTimeField()
    completed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("source", "number"), name="cancellation_request_number"),
            models.CheckConstraint(
                condition=Q(completed_at__isnull=True) | Q(open_parts=0), name="cancellation_request_no_open_part"
            ),
            currency_code("cancellation_request_currency"),
            not_empty("cancellation_request_has_number", "source", "number"),
        )

    def __str__(self) -> str:
        return f"{self.source}/{self.number}"


class Cancellation(TimestampedModel):
    """The part of a cancellation that concerns one order. `refund_minor` is at the price that was paid."""

    request = models.ForeignKey(CancellationRequest, on_delete=models.PROTECT, related_name="parts")
    order = models.ForeignKey(Order, on_delete=models.PROTECT, related_name="cancellations")
    status = models.CharField(max_length=16, choices=CancellationStatus.choices, default=CancellationStatus.REQUESTED)
    refund_minor = models.BigIntegerField(default=0)
    processed_at = models.DateTimeField(null=True, blank=True)
    completed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("request", "order"), name="cancellation_request_order"),
            models.CheckConstraint(condition=Q(refund_minor__gte=0), name="cancellation_refund_not_negative"),
            models.CheckConstraint(condition=Q(status__in=CancellationStatus.values), name="cancellation_status_known"),
        )
        indexes = (
            models.Index(fields=("status", "updated_at"), name="cancellation_status_updated"),
            models.Index(fields=("order", "status"), name="cancellation_order"),
        )

    def __str__(self) -> str:
        return f"cancellation {self.pk}"


class CancellationLine(models.Model):
    """Units taken back from one order line: `amount_minor` at the price paid, `credited_minor` as the document says."""

    cancellation = models.ForeignKey(Cancellation, on_delete=models.CASCADE, related_name="lines")
    number = models.PositiveIntegerField()
    order_line = models.ForeignKey(OrderLine, on_delete=models.PROTECT, related_name="cancellation_lines")
    quantity = models.PositiveIntegerField()
    amount_minor = models.BigIntegerField()
    credited_minor = models.BigIntegerField()

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("cancellation", "number"), name="cancellation_line_number"),
            models.CheckConstraint(condition=Q(quantity__gt=0), name="cancellation_line_quantity"),
            models.CheckConstraint(condition=Q(number__gt=0), name="cancellation_line_number_positive"),
            # A discount line is worth nothing when it is taken back; only what the document credits may be negative.
            models.CheckConstraint(condition=Q(amount_minor__gte=0), name="cancellation_line_amount"),
        )

    def __str__(self) -> str:
        return f"{self.cancellation_id}/{self.number}"


class PriceDifference(models.Model):
    """The signed difference between a cancellation line's own price and the price that was paid: kept, not refunded."""

    cancellation_line = models.OneToOneField(CancellationLine, on_delete=models.CASCADE, related_name="difference")
    amount_minor = models.BigIntegerField()

    class Meta:
        constraints = (models.CheckConstraint(condition=~Q(amount_minor=0), name="price_difference_not_zero"),)

    def __str__(self) -> str:
        return str(self.amount_minor)


class UnmatchedLine(models.Model):
    """What a cancellation takes back and no sale covers: kept for people to look at, no money moves."""

    request = models.ForeignKey(CancellationRequest, on_delete=models.CASCADE, related_name="unmatched_lines")
    number = models.PositiveIntegerField()
    sku = CodeField(max_length=64)
    description = models.CharField(max_length=255, blank=True)
    quantity = models.PositiveIntegerField()
    unit_price = models.DecimalField(max_digits=12, decimal_places=4)
    amount_minor = models.BigIntegerField()

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("request", "number"), name="unmatched_line_number"),
            models.CheckConstraint(condition=Q(quantity__gt=0), name="unmatched_line_quantity"),
            models.CheckConstraint(condition=Q(number__gt=0), name="unmatched_line_number_positive"),
            not_empty("unmatched_line_has_sku", "sku"),
        )

    def __str__(self) -> str:
        return f"{self.request_id}/{self.number}"
