"""Tasks of the catalogue."""

from __future__ import annotations

from typing import Any

from celery import shared_task

from catalog import actions
from myproject.jobs.retries import RETRY


@shared_task(mode="lease", on_unknown="resend", unique=True, **RETRY)
def verify_stock() -> dict[str, Any]:
    """Compare every stock row with the sum of its movements.

    Does: logs each SKU whose units on hand are not the sum of its movements; repairs nothing.
    Twice: it only reads, so a run that died begins again; while one is open, another call is that one.
    Retries: none of its own; trouble of the database passes and uses up nothing.
    Enqueued by: the schedule, operators from the admin's stock page.
    """
    differences = actions.verify_stock()
    return {"differences": len(differences), "skus": [difference.sku for difference in differences[:20]]}
