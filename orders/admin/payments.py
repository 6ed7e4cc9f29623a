"""Payments, refunds and what the provider told us."""

from __future__ import annotations

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from myproject.errors import AppError
from orders.actions.refunds import retry_refund
from orders.admin.base import ReadOnlyAdmin, ReadOnlyInline, money
from orders.models import Payment, Refund, WebhookEvent


class RefundInline(ReadOnlyInline):
    """The refunds of a payment."""

    model = Refund
    needs_own_permission = True
    amount = staticmethod(money("amount_minor", "amount"))
    fields = ("request_id", "status", "amount", "attempt", "sent_at", "settled_at", "failure_reason")
    readonly_fields = fields
    show_change_link = True


@admin.register(Payment)
class PaymentAdmin(ReadOnlyAdmin):
    """Payments; the provider's answers write them."""

    amount = staticmethod(money("amount_minor", "amount"))
    captured = staticmethod(money("captured_minor", "captured"))
    planned = staticmethod(money("refund_planned_minor", "refunds planned"))
    refunded = staticmethod(money("refunded_minor", "refunded"))
    list_display = ("provider_order_id", "order", "status", "amount", "captured", "refunded", "created_at")
    list_filter = ("status", "provider")
    list_select_related = ("order",)
    search_fields = ("=provider_order_id", "=order__number")
    fields = (
        "order", "sequence", "provider", "provider_order_id", "status", "amount", "captured", "planned", "refunded",
        "failure_reason", "captured_at", "created_at", "updated_at",
    )  # fmt: skip
    readonly_fields = fields
    inlines = (RefundInline,)


@admin.register(Refund)
class RefundAdmin(ReadOnlyAdmin):
    """Refunds. One that the provider failed can be planned again, within what its payment captured."""

    amount = staticmethod(money("amount_minor", "amount"))
    list_display = ("request_id", "order_number", "status", "amount", "attempt", "sent_at", "settled_at")
    list_filter = ("status",)
    list_select_related = ("cancellation__order", "payment")
    search_fields = ("=request_id", "=cancellation__order__number")
    fields = (
        "cancellation", "payment", "sequence", "request_id", "attempt", "status", "amount", "reason",
        "provider_reference", "failure_reason", "sent_at", "settled_at", "created_at", "updated_at",
    )  # fmt: skip
    readonly_fields = fields
    actions = ("plan_again",)

    @admin.display(description="order")
    def order_number(self, refund: Refund) -> str:
        """The order it belongs to."""
        return str(refund.cancellation.order)

    def has_retry_permission(self, request: HttpRequest) -> bool:
        """Sending money again needs more than looking at it."""
        return request.user.has_perm("orders.change_refund")

    @admin.action(description="Plan failed refunds again, under new ids", permissions=["retry"])
    def plan_again(self, request: HttpRequest, refunds: QuerySet[Refund]) -> None:
        """Plan each chosen refund again; those that did not fail are named and left alone."""
        for refund in refunds.order_by("pk"):
            try:
                retry_refund(refund_id=refund.pk, actor=f"user:{request.user.pk}", now=timezone.now())
            except AppError as error:
                self.message_user(request, f"{refund.request_id}: {error.message}", messages.ERROR)
            else:
                self.message_user(request, f"{refund.request_id}: planned again.", messages.SUCCESS)


@admin.register(WebhookEvent)
class WebhookEventAdmin(ReadOnlyAdmin):
    """Webhooks that were received."""

    list_display = ("event_id", "event_name", "provider_order_id", "status", "received_at")
    list_filter = ("status", "event_name")
    search_fields = ("=event_id", "=provider_order_id")
