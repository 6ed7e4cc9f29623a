"""Publish the messages of jobs whose rows say so: `manage.py relay`, kept up by supervisor."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from myproject.celery import abandon_cart_app, app
from myproject.jobs.relay.decisions import WINDOW
from myproject.jobs.relay.process import RelayProcess


class Command(BaseCommand):
    """The relay. Any number may run, on any number of machines."""

    help = "Publish jobs that are due, were not published, or whose message seems lost; take back ended leases; prune."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument(
            "--window", type=int, default=WINDOW, help=f"messages that may wait in one list (default {WINDOW})"
        )

    def handle(self, *args: Any, window: int, **options: Any) -> None:
        """Run until TERM or Ctrl-C."""
        RelayProcess({one.main: one for one in (app, abandon_cart_app)}, window=window).run()
