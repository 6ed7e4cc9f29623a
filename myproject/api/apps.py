"""Django's entry for the app."""

from django.apps import AppConfig


class ApiConfig(AppConfig):
    """Ground rules of the HTTP API."""

    name = "myproject.api"
    label = "platform_api"
    verbose_name = "API"
