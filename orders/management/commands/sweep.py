"""manage.py sweep: have everything done again whose next step did not happen in time."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from orders.actions.sweep import sweep_stuck_orders


class Command(BaseCommand):
    """Run the sweep once, as beat does every minute."""

    help = "Find orders, payments, refunds and messages that stopped on their way, and enqueue their next step."

    def handle(self, *args: Any, **options: Any) -> None:
        """Sweep and print how many rows of each kind were taken up."""
        for kind, count in sweep_stuck_orders(now=timezone.now()).items():
            self.stdout.write(f"{kind:20} {count}")
