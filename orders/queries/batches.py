"""What is asked about imported files."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from django.db.models.functions import Coalesce

from orders.models import ImportBatch
from orders.states import BatchStatus

NOTHING = ("0", "0.00")
"""How a stored comparison writes that nothing differs."""

LISTED = 20
"""Rejected rows and differing orders on the page; the command prints all of them."""


def latest_reconciliation() -> dict[str, Any]:
    """Return the file that finished last, or is being worked on since, with its report and what became of it.

    The content is {"batch": ImportBatch | None, "report": {...}, "verdict": str, "reconciled": bool, "listed": int}.
    The status of the batch decides the verdict: a run can differ in figures that are no money.
    """
    batch = ImportBatch.objects.order_by(Coalesce("finished_at", "started_at").desc(), "-pk").first()
    report: dict[str, Any] = (batch.report or {}) if batch else {}
    if batch is None or not report:
        verdict = ""
    elif batch.status == BatchStatus.RECONCILED:
        verdict = "reconciled"
    elif batch.status == BatchStatus.DIFFERENT:
        verdict = f"not reconciled: {describe_difference(report)}"
    else:
        verdict = "being replayed again; this is what the run before found"
    reconciled = batch is not None and batch.status == BatchStatus.RECONCILED
    return {"batch": batch, "report": report, "verdict": verdict, "reconciled": reconciled, "listed": LISTED}


def describe_difference(report: Mapping[str, Any]) -> str:
    """Say how many figures of a stored report differ, or how many orders and invoices are named; empty for none."""
    figures = sum(row[-1] not in NOTHING for row in report.get("comparisons", ()))
    steps = report.get("steps", ())
    if steps:  # the net itself is a figure: all steps add up to it
        figures += sum(Decimal(amount) for _, amount in steps) != Decimal(report["file"]["net"])
    if figures:
        return "1 figure differs" if figures == 1 else f"{figures} figures differ"
    named = len(report.get("differing", ()))
    if named:
        return "1 order or invoice is stuck" if named == 1 else f"{named} orders or invoices are stuck"
    return ""
