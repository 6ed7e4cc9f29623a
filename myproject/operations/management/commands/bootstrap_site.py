"""`manage.py bootstrap_site`: the administrator and the feeds' service account, from the environment."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from myproject.accounts.actions import ensure_admin, ensure_service_account
from myproject.environment import read


class Command(BaseCommand):
    """Make the accounts that a new site needs; run again, it changes nothing."""

    help = (
        "Makes the administrator (BOOTSTRAP_ADMIN_EMAIL, BOOTSTRAP_ADMIN_PASSWORD) and the service account that may "
        "import orders (BOOTSTRAP_SERVICE_EMAIL, BOOTSTRAP_SERVICE_TOKEN)."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        """Read the four variables and make what is missing. Raises ImproperlyConfigured naming a missing one."""
        ensure_admin(
            email=read("str", "BOOTSTRAP_ADMIN_EMAIL", allowed="a mail address"),
            password=read("str", "BOOTSTRAP_ADMIN_PASSWORD", allowed="a password", secret=True),
        )
        ensure_service_account(
            email=read("str", "BOOTSTRAP_SERVICE_EMAIL", allowed="a mail address"),
            token=read("str", "BOOTSTRAP_SERVICE_TOKEN", allowed="32 or more random characters", secret=True),
            permissions=("orders.import_orders",),
        )
