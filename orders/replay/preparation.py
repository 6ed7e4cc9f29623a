"""What must be there before the first order: articles, opening stock; and what the file holds besides orders."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from django.db import transaction

from catalog.actions import Movement, VariantSpec, ensure_variants, move_stock
from catalog.models import MovementKind
from orders.actions.adjustments import record_adjustment
from orders.replay.plan import BatchPlan
from orders.replay.selection import CURRENCY

CATALOGUE_SOURCE = "retail"
"""Articles are the same in every file of the retailer, so they do not carry the batch."""

MOVEMENTS_PER_TRANSACTION = 500
"""About 20 ms of work: orders that other people place meanwhile wait no longer than that for their stock rows."""


def prepare_batch(*, plan: BatchPlan, source: str, actor: str, now: datetime) -> None:
    """Book articles, opening stock, write-offs and adjustments of the batch. Safe to run twice: each has a key."""
    specs = [VariantSpec(sku=item.sku, name=item.name) for item in plan.stock]
    variant_ids = ensure_variants(specs=specs, source=CATALOGUE_SOURCE, now=now)
    receipts = [
        Movement(
            variant_id=variant_ids[item.sku],
            quantity=item.opening,
            kind=MovementKind.RECEIPT,
            operation_key=f"{source}:opening:{item.sku}",
            reference=f"{source}/opening",
        )
        for item in plan.stock
        if item.opening
    ]
    write_offs = [
        Movement(
            variant_id=variant_ids[row.stock_code],
            quantity=row.quantity,
            kind=MovementKind.WRITE_OFF,
            operation_key=f"{source}:write-off:{row.line_number}",
            reference=f"{source}/{row.invoice}"[:64],
        )
        for row in plan.write_offs
    ]
    _book(receipts, now=now)
    _book(write_offs, now=now)
    for adjustment in plan.adjustments:
        record_adjustment(
            source=source,
            number=adjustment.row.invoice,
            line=adjustment.row.line_number,
            description=adjustment.row.description.strip(),
            amount_minor=adjustment.amount,
            currency=CURRENCY,
            occurred_at=adjustment.row.invoiced_at,
            actor=actor,
            now=now,
        )


def _book(movements: Sequence[Movement], *, now: datetime) -> None:
    for start in range(0, len(movements), MOVEMENTS_PER_TRANSACTION):
        with transaction.atomic():
            move_stock(movements=movements[start : start + MOVEMENTS_PER_TRANSACTION], now=now)
