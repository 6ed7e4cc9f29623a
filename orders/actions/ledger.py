"""Posting to the double-entry ledger."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from orders.models import LedgerEntry, LedgerTransaction


class UnbalancedPosting(ValueError):
    """The legs do not add up to zero: a mistake of the program, nothing was written."""


def post(
    *,
    operation_key: str,
    kind: str,
    legs: Sequence[tuple[str, int]],
    currency: str,
    now: datetime,
    order_id: int | None = None,
) -> LedgerTransaction | None:
    """Post one business fact: legs of (account, minor units), debit positive and credit negative.

    Zero legs are left out; a fact of nothing but zeros is not posted and gives None. A second posting under the same
    `operation_key` breaks the unique key and with it the caller's transaction (IntegrityError). Raises
    UnbalancedPosting.
    """
    if sum(amount for _, amount in legs) != 0:
        raise UnbalancedPosting(f"{operation_key}: legs add up to {sum(amount for _, amount in legs)}, not to 0.")
    moving = [(account, amount) for account, amount in legs if amount]
    if not moving:
        return None
    posted = LedgerTransaction.objects.create(
        operation_key=operation_key, kind=kind, order_id=order_id, occurred_at=now
    )
    LedgerEntry.objects.bulk_create(
        LedgerEntry(transaction=posted, leg=leg, account=account, amount_minor=amount, currency=currency)
        for leg, (account, amount) in enumerate(moving, start=1)
    )
    return posted
