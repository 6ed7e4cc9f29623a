"""Addresses under /webhooks/."""

from django.urls import path

from orders.api.webhooks import receive_juspay

urlpatterns = [path("juspay", receive_juspay, name="webhook-juspay")]
