"""The stand-in's tables. `Entry` is the append-only record; the others hold the present state."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import models
from django.db.models import Q

from .states import ORDER_MOVES, REFUND_MOVES


class Payment(models.Model):
    """One try of the customer to pay: the provider calls it a transaction."""

    objects: ClassVar[models.Manager[Payment]] = models.Manager()

    txn_id = models.CharField(max_length=64, unique=True)
    txn_uuid = models.CharField(max_length=40, unique=True)
    order = models.ForeignKey("sandbox.Order", on_delete=models.PROTECT, related_name="payments")
    status = models.CharField(max_length=24)
    gateway_reference = models.CharField(max_length=40, blank=True)
    error_code = models.CharField(max_length=64, blank=True)
    error_message = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.txn_id


class Order(models.Model):
    """An order of the merchant, made by a session or by POST /orders."""

    objects: ClassVar[models.Manager[Order]] = models.Manager()

    order_id = models.CharField(max_length=21, unique=True)
    juspay_id = models.CharField(max_length=40, unique=True)  # also the address of the payment page
    status = models.CharField(max_length=24, default="NEW")
    amount = models.BigIntegerField()  # minor units
    currency = models.CharField(max_length=3)
    latest_payment = models.OneToOneField(Payment, null=True, on_delete=models.PROTECT, related_name="+")
    return_url = models.CharField(max_length=2000, blank=True)
    details = models.JSONField(default=dict)  # customer, description, udf1..10: sent back as they came
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(amount__gt=0), name="sandbox_order_amount_above_zero"),
            models.CheckConstraint(condition=Q(status__in=list(ORDER_MOVES)), name="sandbox_order_status_known"),
        ]

    def __str__(self) -> str:
        return self.order_id


class Refund(models.Model):
    """A refund that was accepted. `outcome` is decided then, so that a restart changes nothing about it."""

    objects: ClassVar[models.Manager[Refund]] = models.Manager()

    order = models.ForeignKey(Order, on_delete=models.PROTECT, related_name="refunds")
    unique_request_id = models.CharField(max_length=20, unique=True)
    amount = models.BigIntegerField()  # minor units
    refund_type = models.CharField(max_length=10, default="STANDARD")
    status = models.CharField(max_length=16, default="PENDING")
    outcome = models.CharField(max_length=16)
    gateway_reference = models.CharField(max_length=40, blank=True)
    created_at = models.DateTimeField()
    due_at = models.DateTimeField()
    settled_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(amount__gt=0), name="sandbox_refund_amount_above_zero"),
            models.CheckConstraint(condition=Q(status__in=list(REFUND_MOVES)), name="sandbox_refund_status_known"),
        ]
        indexes = [models.Index(fields=["status", "due_at"], name="sandbox_refund_due")]

    def __str__(self) -> str:
        return self.unique_request_id


class Webhook(models.Model):
    """One event on its way to the merchant. A duplicated event is a second row with the same `event_id`."""

    class State(models.TextChoices):
        """Where a webhook stands."""

        WAITING = "waiting"
        DELIVERED = "delivered"
        GIVEN_UP = "given_up"
        WITHHELD = "withheld"

    objects: ClassVar[models.Manager[Webhook]] = models.Manager()

    event_id = models.CharField(max_length=48)
    copy = models.PositiveSmallIntegerField(default=0)
    event_name = models.CharField(max_length=40)
    order_id = models.CharField(max_length=21)
    payload = models.TextField()
    state = models.CharField(max_length=12, choices=State.choices, default=State.WAITING)
    held_until_next = models.BooleanField(default=False)  # out of order: leaves after the order's next event
    attempts = models.PositiveSmallIntegerField(default=0)
    created_at = models.DateTimeField()
    due_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["event_id", "copy"], name="sandbox_webhook_copy_once")]
        indexes = [
            models.Index(fields=["state", "due_at"], name="sandbox_webhook_due"),
            models.Index(fields=["order_id"], name="sandbox_webhook_order", condition=Q(held_until_next=True)),
        ]

    def __str__(self) -> str:
        return f"{self.event_name} {self.event_id}"


class FaultCount(models.Model):
    """How often a fault rule met a call, so that a restart does not begin its count anew."""

    objects: ClassVar[models.Manager[FaultCount]] = models.Manager()

    rule = models.CharField(max_length=200)
    order_id = models.CharField(max_length=21, blank=True)  # blank: the count over all orders
    count = models.PositiveBigIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["rule", "order_id"], name="sandbox_fault_count_once")]

    def __str__(self) -> str:
        return f"{self.rule} {self.order_id}: {self.count}"


class AppendOnly(Exception):
    """Something tried to change the record. Read by the stand-in's developer; the database refuses it as well."""


class EntryQuerySet(models.QuerySet["Entry"]):
    """Rows that can be added and read."""

    def update(self, **kwargs: Any) -> int:
        """Refuse: the record is append-only."""
        raise AppendOnly("Rows of the record are never updated.")

    def delete(self) -> tuple[int, dict[str, int]]:
        """Refuse: the record is append-only."""
        raise AppendOnly("Rows of the record are never deleted.")


class Entry(models.Model):
    """One applied effect. Plain values only: the record must stay readable whatever happens to the other tables."""

    class Kind(models.TextChoices):
        """What was applied."""

        ORDER_CREATED = "order_created"
        CHARGED = "charged"
        DECLINED = "declined"
        ABANDONED = "abandoned"
        REFUND_ACCEPTED = "refund_accepted"
        REFUND_SETTLED = "refund_settled"
        WEBHOOK_SENT = "webhook_sent"

    objects: ClassVar[models.Manager[Entry]] = EntryQuerySet.as_manager()  # type: ignore[assignment]

    kind = models.CharField(max_length=20, choices=Kind.choices)
    order_id = models.CharField(max_length=21)
    reference = models.CharField(max_length=64)  # the transaction, refund or event that this row is about
    currency = models.CharField(max_length=3)
    amount = models.BigIntegerField(default=0)  # minor units; 0 for webhooks
    outcome = models.CharField(max_length=40)  # a status, or what the merchant answered to the webhook
    recorded_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["order_id"], condition=Q(kind="order_created"), name="sandbox_created_once"
            ),
            models.UniqueConstraint(fields=["order_id"], condition=Q(kind="charged"), name="sandbox_charged_once"),
            models.UniqueConstraint(
                fields=["reference"], condition=Q(kind="refund_accepted"), name="sandbox_refund_accepted_once"
            ),
            models.UniqueConstraint(
                fields=["reference"], condition=Q(kind="refund_settled"), name="sandbox_refund_settled_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.pk} {self.kind} {self.order_id}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Add the row. Raises AppendOnly when it is already there."""
        if self.pk is not None:
            raise AppendOnly("Rows of the record are never updated.")
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        """Refuse: the record is append-only."""
        raise AppendOnly("Rows of the record are never deleted.")
