"""Customers, carts and orders."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from orders.admin.base import ReadOnlyAdmin, ReadOnlyInline, money
from orders.models import Cancellation, Cart, CartLine, Customer, Order, OrderEvent, OrderLine, Payment


class OrderLineInline(ReadOnlyInline):
    """The lines of an order."""

    model = OrderLine
    total = staticmethod(money("total_minor", "total", currency="order.currency"))
    fields = ("number", "kind", "sku", "description", "quantity", "cancelled_quantity", "unit_price", "total")
    readonly_fields = fields


class PaymentInline(ReadOnlyInline):
    """The payments of an order."""

    model = Payment
    needs_own_permission = True
    amount = staticmethod(money("amount_minor", "amount"))
    captured = staticmethod(money("captured_minor", "captured"))
    refunded = staticmethod(money("refunded_minor", "refunded"))
    fields = ("sequence", "provider", "provider_order_id", "status", "amount", "captured", "refunded", "captured_at")
    readonly_fields = fields
    show_change_link = True


class CancellationInline(ReadOnlyInline):
    """The cancellations of an order with their refunds."""

    model = Cancellation
    needs_own_permission = True
    refund = staticmethod(money("refund_minor", "refund", currency="order.currency"))
    fields = ("document", "status", "refund", "refunds_sent", "processed_at", "completed_at")
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> Any:
        """Read the documents and the refunds with the rows."""
        return super().get_queryset(request).select_related("request", "order").prefetch_related("refunds")

    @admin.display(description="document")
    def document(self, row: Cancellation) -> SafeString:
        """The document, with a link to all of its parts."""
        url = reverse("admin:orders_cancellationrequest_change", args=[row.request_id])
        return format_html('<a href="{}">{}</a>', url, row.request)

    @admin.display(description="refunds")
    def refunds_sent(self, row: Cancellation) -> str:
        """The provider's ids of the refunds and where they stand."""
        return ", ".join(f"{refund.request_id}: {refund.get_status_display()}" for refund in row.refunds.all())


class OrderEventInline(ReadOnlyInline):
    """The history of an order, oldest first."""

    model = OrderEvent
    fields = ("occurred_at", "kind", "subject", "from_status", "to_status", "actor", "data")
    readonly_fields = fields
    verbose_name_plural = "history"


@admin.register(Order)
class OrderAdmin(ReadOnlyAdmin):
    """Orders with everything that happened to them; to look at only."""

    total = staticmethod(money("total_minor", "total"))
    cancelled = staticmethod(money("cancelled_minor", "cancelled"))
    list_display = ("__str__", "status", "total", "cancelled", "placed_at", "processed_at")
    list_filter = ("status", "source")
    search_fields = ("=number", "=customer__external_reference", "=customer__email")
    search_help_text = "An order's number, or a customer's reference or mail address, in full."
    fields = (
        "source", "number", "customer", "status", "total", "cancelled", "placed_at", "paid_at", "processed_at",
        "created_at", "updated_at", "version",
    )  # fmt: skip
    readonly_fields = fields
    inlines = (OrderLineInline, PaymentInline, CancellationInline, OrderEventInline)


@admin.register(Customer)
class CustomerAdmin(admin.ModelAdmin[Customer]):
    """Customers. How they are addressed may be corrected; who they are may not."""

    list_display = ("id", "source", "external_reference", "email", "country", "created_at")
    list_filter = ("source",)
    search_fields = ("=external_reference", "=email")
    show_full_result_count = False
    fields = ("user", "source", "external_reference", "email", "name", "country", "language", "created_at")
    readonly_fields = ("user", "source", "external_reference", "created_at")

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Customers come with their first step, never by hand."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Customer | None = None) -> bool:
        """Orders keep pointing to their customers."""
        return False


class CartLineInline(ReadOnlyInline):
    """What is in a cart."""

    model = CartLine
    fields = ("variant", "quantity")
    readonly_fields = fields


@admin.register(Cart)
class CartAdmin(ReadOnlyAdmin):
    """Carts; only their customers fill them."""

    list_display = ("id", "customer", "status", "created_at", "updated_at")
    list_filter = ("status",)
    fields = ("customer", "status", "created_at", "updated_at")
    inlines = (CartLineInline,)
