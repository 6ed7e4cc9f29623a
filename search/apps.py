"""Django's entry for the app."""

from django.apps import AppConfig


class SearchConfig(AppConfig):
    """Product search."""

    name = "search"
