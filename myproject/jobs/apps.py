"""Django's entry for the app."""

from functools import partial

from django.apps import AppConfig
from django.core import checks
from django.utils.module_loading import autodiscover_modules

from myproject.celery import abandon_cart_app, app
from myproject.jobs.aliases import register_aliases
from myproject.jobs.atomic_canvas import install
from myproject.jobs.checks import check_tasks


class JobsConfig(AppConfig):
    """The task platform."""

    name = "myproject.jobs"
    label = "jobs"

    def ready(self) -> None:
        """Register every task, by its old names too, everywhere: a broken module stops the start, not a request."""
        autodiscover_modules("tasks")
        register_aliases(app)
        install()
        checks.register(partial(check_tasks, (app, abandon_cart_app)), "jobs")
