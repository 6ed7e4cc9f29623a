"""The ledger, and the files that were imported."""

from __future__ import annotations

from django.contrib import admin

from orders.admin.base import ReadOnlyAdmin, ReadOnlyInline, money
from orders.models import FinancialAdjustment, ImportBatch, LedgerEntry, LedgerTransaction


class LedgerEntryInline(ReadOnlyInline):
    """The legs of a transaction; debits are positive."""

    model = LedgerEntry
    amount = staticmethod(money("amount_minor", "amount"))
    fields = ("leg", "account", "amount")
    readonly_fields = fields


@admin.register(LedgerTransaction)
class LedgerTransactionAdmin(ReadOnlyAdmin):
    """The double-entry ledger."""

    list_display = ("operation_key", "kind", "order", "occurred_at")
    list_filter = ("kind",)
    list_select_related = ("order",)
    search_fields = ("=operation_key", "=order__number")
    fields = ("operation_key", "kind", "order", "occurred_at")
    readonly_fields = fields
    inlines = (LedgerEntryInline,)


@admin.register(FinancialAdjustment)
class FinancialAdjustmentAdmin(ReadOnlyAdmin):
    """Adjustments: neither orders nor cancellations."""

    amount = staticmethod(money("amount_minor", "amount"))
    list_display = ("__str__", "line", "description", "amount", "occurred_at")
    list_filter = ("source",)
    search_fields = ("=number",)
    fields = ("source", "number", "line", "description", "amount", "occurred_at")
    readonly_fields = fields


@admin.register(ImportBatch)
class ImportBatchAdmin(ReadOnlyAdmin):
    """Files that were imported, with their reconciliation."""

    list_display = ("source", "filename", "status", "started_at", "finished_at")
    list_filter = ("status",)
