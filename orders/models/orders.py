"""Orders, their lines and their history."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from catalog.models import Variant
from myproject.append_only import AppendOnlyModel
from myproject.constraints import currency_code, not_empty
from myproject.fields import CodeField, VersionedModel
from orders.models.customers import Customer
from orders.states import OrderStatus


class LineKind(models.TextChoices):
    """What a line is. Only goods move stock."""

    GOODS = "goods", "Goods"
    POSTAGE = "postage", "Postage"
    DISCOUNT = "discount", "Discount"
    FEE = "fee", "Fee"
    GIFT = "gift", "Gift"
    VOUCHER = "voucher", "Voucher"


class Order(VersionedModel):
    """One order. `source` and `number` name it uniquely; amounts are minor units of `currency`.

    `cancelled_minor` is what its cancellations took off `total_minor`, at the price that was agreed.
    """

    source = CodeField(max_length=32)
    number = CodeField(max_length=64)
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="orders")
    currency = CodeField(max_length=3)
    total_minor = models.BigIntegerField()
    cancelled_minor = models.BigIntegerField(default=0)
    status = models.CharField(max_length=16, choices=OrderStatus.choices, default=OrderStatus.PENDING_PAYMENT)
    placed_at = models.DateTimeField()
    paid_at = models.DateTimeField(null=True, blank=True)
    processed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("source", "number"), name="order_source_number"),
            models.CheckConstraint(condition=Q(total_minor__gte=0), name="order_total_not_negative"),
            models.CheckConstraint(
                condition=Q(cancelled_minor__gte=0) & Q(cancelled_minor__lte=F("total_minor")),
                name="order_cancelled_within_total",
            ),
            models.CheckConstraint(condition=Q(status__in=OrderStatus.values), name="order_status_known"),
            models.CheckConstraint(
                condition=~Q(status__in=(OrderStatus.PAID, OrderStatus.PROCESSED)) | Q(paid_at__isnull=False),
                name="order_paid_at",
            ),
            currency_code("order_currency"),
            not_empty("order_has_number", "source", "number"),
        )
        indexes = (
            models.Index(fields=("status", "updated_at"), name="order_status_updated"),
            models.Index(fields=("customer", "id"), name="order_customer"),
        )
        permissions = (("import_orders", "Can import orders of marketplace feeds with their own prices"),)
        ordering = ("-id",)

    def __str__(self) -> str:
        return f"{self.source}/{self.number}"


class OrderLine(models.Model):
    """One line. A discount has a negative unit price, so quantities are always positive.

    `cancelled_quantity` counts the units that cancellations took back; it never exceeds `quantity`.
    """

    order = models.ForeignKey(Order, on_delete=models.CASCADE, related_name="lines")
    number = models.PositiveIntegerField(help_text="Position in the order, from 1.")
    kind = models.CharField(max_length=16, choices=LineKind.choices)
    variant = models.ForeignKey(Variant, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    sku = CodeField(max_length=64)
    description = models.CharField(max_length=255, blank=True)
    quantity = models.PositiveIntegerField()
    unit_price = models.DecimalField(max_digits=12, decimal_places=4)
    total_minor = models.BigIntegerField()
    cancelled_quantity = models.PositiveIntegerField(default=0)
    cancelled_minor = models.BigIntegerField(default=0)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("order", "number"), name="order_line_number"),
            models.CheckConstraint(condition=Q(quantity__gt=0), name="order_line_quantity"),
            models.CheckConstraint(
                condition=Q(cancelled_quantity__lte=F("quantity")), name="order_line_cancelled_within"
            ),
            models.CheckConstraint(
                condition=(Q(kind=LineKind.DISCOUNT) & Q(total_minor__lte=0))
                | (~Q(kind=LineKind.DISCOUNT) & Q(total_minor__gte=0)),
                name="order_line_sign",
            ),
            models.CheckConstraint(
                condition=Q(kind=LineKind.DISCOUNT, unit_price__lte=0)
                | Q(kind=LineKind.GIFT, unit_price=0)
                | (~Q(kind__in=(LineKind.DISCOUNT, LineKind.GIFT)) & Q(unit_price__gte=0)),
                name="order_line_price_sign",
            ),
            # A discount is worth nothing when it is cancelled: it is taken off what the other lines are worth.
            models.CheckConstraint(
                condition=Q(cancelled_minor=0) | Q(cancelled_minor__gt=0, cancelled_minor__lte=F("total_minor")),
                name="order_line_cancelled_value",
            ),
            models.CheckConstraint(condition=Q(kind__in=LineKind.values), name="order_line_kind_known"),
            models.CheckConstraint(condition=Q(number__gt=0), name="order_line_number_positive"),
            not_empty("order_line_has_sku", "sku"),
        )
        ordering = ("order", "number")

    def __str__(self) -> str:
        return f"{self.order_id}/{self.number}"


class OrderEvent(AppendOnlyModel):
    """Something that happened to an order; never changed or deleted.

    `subject` names the row that moved ("order", "payment 12" ...); `actor` is "user:<id>", "task", "webhook" or
    "provider". `data` holds plain values without personal data.
    """

    order = models.ForeignKey(Order, on_delete=models.PROTECT, related_name="events")
    kind = models.CharField(max_length=48, help_text="For example order.paid or refund.settled.")
    subject = models.CharField(max_length=48)
    from_status = models.CharField(max_length=16, blank=True)
    to_status = models.CharField(max_length=16, blank=True)
    actor = models.CharField(max_length=64)
    data = models.JSONField(default=dict)
    occurred_at = models.DateTimeField()

    class Meta:
        indexes = (models.Index(fields=("order", "id"), name="order_event_order"),)
        ordering = ("id",)

    def __str__(self) -> str:
        return self.kind
