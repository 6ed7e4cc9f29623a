"""Django's entry for the app."""

from __future__ import annotations

from django.apps import AppConfig


class ShopConfig(AppConfig):
    """Installed by `tests.faults.settings` and `tests.faults.stock_settings` only."""

    name = "tests.faults.shop"
    label = "shop"
    default_auto_field = "django.db.models.BigAutoField"
