"""`python -m myproject.sandbox serve`: bring the database file up to date and serve until told to stop."""

from __future__ import annotations

from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand
from django.db import connection

from myproject.sandbox.configuration import configuration
from myproject.sandbox.server import Server


class Command(BaseCommand):
    """Serve."""

    help = "Migrate the stand-in's database file and serve it (SANDBOX_HOST, SANDBOX_PORT; port 0 takes a free one)."
    requires_system_checks: list[str] = []  # type: ignore[assignment]

    def handle(self, *args: Any, **options: Any) -> None:
        """Migrate, then serve."""
        call_command("migrate", verbosity=0, interactive=False)
        connection.close()  # the serving process is forked: a connection must not be shared with it
        Server(configuration()).run()
