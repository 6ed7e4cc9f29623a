"""Django's entry for the app."""

from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules


class JobsConfig(AppConfig):
    """The task platform."""

    name = "myproject.jobs"
    label = "jobs"

    def ready(self) -> None:
        """Register every task in every process, so that a broken task module stops the start and not a request."""
        autodiscover_modules("tasks")
