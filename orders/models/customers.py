"""Who buys."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from myproject.fields import CodeField, TimestampedModel


class Customer(TimestampedModel):
    """A buyer: registered (a user), known to a marketplace (an external reference), or a guest of one order."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="customer"
    )
    source = CodeField(max_length=32, help_text="web, or the feed that the customer came with.")
    external_reference = CodeField(max_length=64, null=True, blank=True, help_text="Empty for a guest.")
    email = models.EmailField(max_length=191, blank=True, help_text="Empty for a guest: no mail is sent.")
    name = models.CharField(max_length=150, blank=True)
    country = models.CharField(max_length=64, blank=True)
    language = models.CharField(max_length=8, default="en")

    class Meta:
        # A NULL reference is unequal to every other on all our databases, so guests never collide.
        constraints = (models.UniqueConstraint(fields=("source", "external_reference"), name="customer_reference"),)

    def __str__(self) -> str:
        return f"customer {self.pk}"

    @property
    def is_guest(self) -> bool:
        """Whether the customer is known for one order only."""
        return self.user_id is None and self.external_reference is None
