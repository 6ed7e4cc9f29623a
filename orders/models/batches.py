"""Imported files and what they hold besides orders and cancellations."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from myproject.constraints import currency_code, not_empty
from myproject.fields import CodeField, TimestampedModel
from orders.states import BatchStatus


class ImportBatch(TimestampedModel):
    """One file, known by its content. `source` is what its orders, customers and cancellations carry.

    `heartbeat_at` is renewed while a process works on it, so that a second one can tell a live run from a dead one.
    """

    content_hash = models.CharField(max_length=64, unique=True, help_text="SHA-256 of the file's decompressed bytes.")
    source = CodeField(max_length=32, unique=True)
    filename = models.CharField(max_length=191)
    status = models.CharField(max_length=16, choices=BatchStatus.choices, default=BatchStatus.RUNNING)
    report = models.JSONField(null=True, blank=True)
    started_at = models.DateTimeField()
    heartbeat_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = (models.CheckConstraint(condition=Q(status__in=BatchStatus.values), name="batch_status_known"),)
        verbose_name_plural = "import batches"

    def __str__(self) -> str:
        return self.source


class FinancialAdjustment(models.Model):
    """An adjustment invoice (number beginning with A): neither order nor cancellation, and it may be negative."""

    source = CodeField(max_length=32)
    number = CodeField(max_length=64)
    line = models.PositiveIntegerField(default=1)
    description = models.CharField(max_length=255, blank=True)
    amount_minor = models.BigIntegerField()
    currency = CodeField(max_length=3)
    occurred_at = models.DateTimeField()

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("source", "number", "line"), name="adjustment_number"),
            currency_code("adjustment_currency"),
            not_empty("adjustment_has_number", "source", "number"),
        )

    def __str__(self) -> str:
        return f"{self.source}/{self.number}"
