"""Cancellation documents with their parts and what no order covers."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Count
from django.http import HttpRequest

from orders.admin.base import ReadOnlyAdmin, ReadOnlyInline, money
from orders.models import Cancellation, CancellationRequest, UnmatchedLine


class PartInline(ReadOnlyInline):
    """The parts of a document, one per order."""

    model = Cancellation
    refund = staticmethod(money("refund_minor", "refund", currency="request.currency"))
    fields = ("order", "status", "refund", "units", "processed_at", "completed_at")
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> Any:
        """Read the lines with the parts."""
        return super().get_queryset(request).select_related("order", "request").prefetch_related("lines__order_line")

    @admin.display(description="units")
    def units(self, part: Cancellation) -> str:
        """What is taken back: units and stock code of each line."""
        return ", ".join(f"{line.quantity} x {line.order_line.sku}" for line in part.lines.all())


class UnmatchedLineInline(ReadOnlyInline):
    """What the document takes back and no order covers."""

    model = UnmatchedLine
    amount = staticmethod(money("amount_minor", "amount", currency="request.currency"))
    fields = ("number", "sku", "description", "quantity", "unit_price", "amount")
    readonly_fields = fields


@admin.register(CancellationRequest)
class CancellationRequestAdmin(ReadOnlyAdmin):
    """Cancellation documents; to look at only."""

    list_display = ("__str__", "customer", "parts_open", "unmatched", "requested_at", "completed_at")
    list_filter = ("source", ("completed_at", admin.EmptyFieldListFilter))
    search_fields = ("=number", "=parts__order__number")
    inlines = (PartInline, UnmatchedLineInline)

    def get_queryset(self, request: HttpRequest) -> Any:
        """Count the unmatched lines with the rows."""
        return super().get_queryset(request).annotate(unmatched_count=Count("unmatched_lines"))

    @admin.display(description="open parts", ordering="open_parts")
    def parts_open(self, row: CancellationRequest) -> int:
        """Parts that are not complete."""
        return row.open_parts

    @admin.display(description="unmatched lines", ordering="unmatched_count")
    def unmatched(self, row: Any) -> int:
        """Lines that no order covers."""
        return int(row.unmatched_count)
