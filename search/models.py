"""What the embedded index holds, and how far it is built."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from catalog.models import Product
from myproject.fields import TimestampedModel
from search.states import IndexStatus


class Document(models.Model):
    """The searchable words of one active product, of the product's version `version`.

    The full-text structures over the two word columns are made by the migration: an FTS5 table kept current by
    triggers on SQLite, two FULLTEXT indexes on MySQL and MariaDB.
    """

    product = models.OneToOneField(Product, primary_key=True, on_delete=models.CASCADE, related_name="+")
    version = models.PositiveBigIntegerField()
    title_words = models.TextField()
    other_words = models.TextField(blank=True)

    def __str__(self) -> str:
        return f"{self.product_id}: {self.title_words}"


class IndexState(TimestampedModel):
    """One index (`name` is its backend's): how far it is built and what the last comparison found."""

    name = models.CharField(max_length=32, unique=True)
    status = models.CharField(max_length=16, choices=IndexStatus.choices, default=IndexStatus.EMPTY)
    documents = models.PositiveBigIntegerField(default=0)
    built_at = models.DateTimeField(null=True, blank=True)
    verified_at = models.DateTimeField(null=True, blank=True)
    repaired = models.PositiveBigIntegerField(default=0, help_text="Documents that the last comparison put right.")

    class Meta:
        constraints = (models.CheckConstraint(condition=Q(status__in=IndexStatus.values), name="index_status_known"),)

    def __str__(self) -> str:
        return f"{self.name}: {self.status}"
