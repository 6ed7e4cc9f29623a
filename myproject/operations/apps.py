"""Django's entry for the app."""

from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules


class OperationsConfig(AppConfig):
    """Home page, health and status."""

    name = "myproject.operations"
    label = "operations"

    def ready(self) -> None:
        """Find what the apps show on the home page."""
        autodiscover_modules("panels")
