"""Django's entry for the app."""

from django.apps import AppConfig


class CatalogConfig(AppConfig):
    """The catalogue."""

    name = "catalog"
