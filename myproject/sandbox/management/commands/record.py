"""`python -m myproject.sandbox record [--json]`: what the stand-in applied, beside a running server or without one."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError

from myproject.sandbox.queries.record import count_totals, list_order_lines


class Command(BaseCommand):
    """Print the record."""

    help = "Print the totals of the append-only record; --json adds a line per order and prints one object."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare --json."""
        parser.add_argument("--json", action="store_true", help="one JSON object on standard output")

    def handle(self, *args: Any, **options: Any) -> None:
        """Print."""
        try:
            totals = count_totals()
            lines = list_order_lines() if options["json"] else []
        except DatabaseError as error:
            raise CommandError(f"the record cannot be read ({error}); has `serve` run on this file?") from error
        if options["json"]:
            self.stdout.write(json.dumps({**totals, "orders": lines}))
            return
        for currency, money in totals["currencies"].items():
            for name, amount in money.items():
                self.stdout.write(f"{name.replace('_', ' '):24}{amount:>16} {currency}")
        for name, count in totals["counts"].items():
            self.stdout.write(f"{name.replace('_', ' '):24}{count:>16}")
