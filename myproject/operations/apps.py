"""Django's entry for the app."""

from django.apps import AppConfig


class OperationsConfig(AppConfig):
    """Home page, health and status."""

    name = "myproject.operations"
    label = "operations"
