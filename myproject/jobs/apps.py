"""Django's entry for the app."""

from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules

from myproject.celery import app
from myproject.jobs.aliases import register_aliases


class JobsConfig(AppConfig):
    """The task platform."""

    name = "myproject.jobs"
    label = "jobs"

    def ready(self) -> None:
        """Register every task, by its old names too, everywhere: a broken module stops the start, not a request."""
        autodiscover_modules("tasks")
        register_aliases(app)
