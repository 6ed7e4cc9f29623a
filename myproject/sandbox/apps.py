"""The stand-in's app config, which refuses to live in any other project."""

from __future__ import annotations

import os

from django.apps import AppConfig
from django.core.exceptions import ImproperlyConfigured

SETTINGS = "myproject.sandbox.settings"


class SandboxConfig(AppConfig):
    """Registers the models; raises when the settings are not the stand-in's own."""

    name = "myproject.sandbox"
    label = "sandbox"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Refuse every settings module but our own: a stand-in that takes payments must not reach production."""
        module = os.environ.get("DJANGO_SETTINGS_MODULE", "")
        if module != SETTINGS:
            raise ImproperlyConfigured(
                f"The provider stand-in runs only under {SETTINGS}; these settings are {module!r}. "
                f"Take {self.name} out of INSTALLED_APPS."
            )
