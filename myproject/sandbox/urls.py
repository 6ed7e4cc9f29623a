"""The addresses of the stand-in: the provider's documented ones, the payment page, and its own record and health."""

from __future__ import annotations

from django.urls import path

from .views import orders, payment_page, record, refunds

urlpatterns = [
    path("session", orders.session),
    path("orders", orders.order_create),
    path("orders/<str:order_id>", orders.order_status),
    path("orders/<str:order_id>/refunds", refunds.order_refund),
    path("refunds", refunds.transaction_refund),
    path("payment-page/<str:page_id>", payment_page.payment_page),
    path("sandbox/record", record.entries),
    path("sandbox/record/totals", record.totals),
    path("health", record.health),
]

handler404 = "myproject.sandbox.views.record.not_found"
handler500 = "myproject.sandbox.views.record.server_error"
