"""Adding to the append-only record. Called inside the transaction that applies the effect."""

from __future__ import annotations

from datetime import datetime

from ..models import Entry


def add_entry(
    *, kind: Entry.Kind, order_id: str, reference: str, currency: str, amount: int, outcome: str, now: datetime
) -> None:
    """Write down one applied effect."""
    Entry.objects.create(
        kind=kind,
        order_id=order_id,
        reference=reference,
        currency=currency,
        amount=amount,
        outcome=outcome[:40],
        recorded_at=now,
    )
