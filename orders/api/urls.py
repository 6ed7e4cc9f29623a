"""Addresses under /api/ of orders and money."""

from django.urls import path

from orders.api.cancellations import CancellationImportView, OrderCancellationView
from orders.api.carts import CartLineView, CartView
from orders.api.imports import OrderImportView
from orders.api.orders import OrderEventListView, OrderListView, OrderPaymentView, OrderView

urlpatterns = [
    path("cart", CartView.as_view(), name="cart"),
    path("cart/lines/<path:sku>", CartLineView.as_view(), name="cart-line"),
    path("imports/orders", OrderImportView.as_view(), name="import-order"),
    path("imports/cancellations", CancellationImportView.as_view(), name="import-cancellation"),
    path("orders", OrderListView.as_view(), name="orders"),
    path("orders/<int:pk>", OrderView.as_view(), name="order"),
    path("orders/<int:pk>/events", OrderEventListView.as_view(), name="order-events"),
    path("orders/<int:pk>/cancellations", OrderCancellationView.as_view(), name="order-cancellations"),
    path("orders/<int:pk>/payments", OrderPaymentView.as_view(), name="order-payments"),
]
