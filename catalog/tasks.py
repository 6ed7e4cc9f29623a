"""Tasks of the catalogue."""

from __future__ import annotations

from typing import Any

from celery import shared_task

from catalog import actions
from myproject.jobs.retries import RETRY


@shared_task(**RETRY)
def verify_stock() -> dict[str, Any]:
    """Compare every stock row with the sum of its movements.

    Does: logs each SKU whose units on hand are not the sum of its movements; repairs nothing.
    Twice: it only reads.
    Retries: lock waits and lost connections, ten times with growing pauses; the next scheduled run looks again.
    Enqueued by: the schedule, operators from the admin's stock page.
    """
    differences = actions.verify_stock()
    return {"differences": len(differences), "skus": [difference.sku for difference in differences[:20]]}
