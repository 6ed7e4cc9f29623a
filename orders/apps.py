"""Django's entry for the app."""

from django.apps import AppConfig


class OrdersConfig(AppConfig):
    """Orders and money."""

    name = "orders"
