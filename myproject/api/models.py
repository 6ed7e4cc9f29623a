"""What the API remembers: answers to repeated requests, and who asked for which task."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from myproject.fields import CodeField


class IdempotencyRecord(models.Model):
    """The answer given to a POST with an `Idempotency-Key`, kept so that a repetition gets the same answer.

    The row is inserted before the work and completed in the same transaction as the work's effects; an unfinished row
    means that the request is still running or died, which its age tells.
    Source: IETF draft "The Idempotency-Key HTTP Header Field" (draft-ietf-httpapi-idempotency-key-header).
    """

    scope = models.CharField(max_length=32, help_text="Whose key it is: user:<id>, or anonymous.")
    key = CodeField(max_length=128)
    method = models.CharField(max_length=8)
    path = models.CharField(max_length=191)
    fingerprint = models.CharField(max_length=64, help_text="Keyed hash of method, path and body.")
    response_status = models.PositiveSmallIntegerField(null=True)
    response_body = models.JSONField(null=True)
    created_at = models.DateTimeField()

    class Meta:
        constraints = (models.UniqueConstraint(fields=("scope", "key"), name="idempotency_scope_key"),)
        indexes = (models.Index(fields=("created_at",), name="idempotency_created"),)

    def __str__(self) -> str:
        return self.key


class TaskReceipt(models.Model):
    """Who asked for a task through the API: only that user may read its state."""

    task_id = CodeField(max_length=191, unique=True)
    task_name = models.CharField(max_length=191)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    subject = models.CharField(max_length=64, blank=True, help_text="What it is about, for example an order number.")
    created_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.task_id
