"""What is asked about imported files."""

from __future__ import annotations

from typing import Any

from orders.models import ImportBatch


def latest_reconciliation() -> dict[str, Any]:
    """Return the file that was worked on last and its report: {"batch": ImportBatch | None, "report": {...}}."""
    batch = ImportBatch.objects.order_by("-started_at").first()
    return {"batch": batch, "report": (batch.report or {}) if batch else {}}
