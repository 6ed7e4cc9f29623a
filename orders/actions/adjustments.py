"""Adjustment invoices of a feed: money that is neither an order nor a cancellation."""

from __future__ import annotations

from datetime import datetime

import structlog
from django.db import IntegrityError, transaction

from orders.actions import ledger
from orders.errors import OrderDiffers
from orders.models import Account, FinancialAdjustment

logger = structlog.get_logger(__name__)


def record_adjustment(
    *,
    source: str,
    number: str,
    line: int,
    description: str,
    amount_minor: int,
    currency: str,
    occurred_at: datetime,
    actor: str,
    now: datetime,
) -> tuple[FinancialAdjustment, bool]:
    """Book one line of an adjustment invoice, positive or negative; return it and whether it is new.

    A positive amount is what customers owe more (receivables) against bad debt, a negative one takes that back. The
    same line again changes nothing; another amount or currency under its number is refused (OrderDiffers).
    """
    values = {"description": description[:255], "amount_minor": amount_minor, "currency": currency}
    operation_key = f"adjustment:{source}:{number}:{line}"
    existing = FinancialAdjustment.objects.filter(source=source, number=number, line=line).first()
    if existing is None:
        try:
            with transaction.atomic():
                row = FinancialAdjustment.objects.create(
                    source=source, number=number, line=line, occurred_at=occurred_at, **values
                )
                ledger.post(
                    operation_key=operation_key,
                    kind="adjustment",
                    legs=[(Account.RECEIVABLES, amount_minor), (Account.BAD_DEBT, -amount_minor)],
                    currency=currency,
                    now=now,
                )
            logger.debug("adjustment booked", adjustment=operation_key, actor=actor)
            return row, True
        except IntegrityError:  # another process with this number was first
            existing = FinancialAdjustment.objects.filter(source=source, number=number, line=line).first()
            if existing is None:
                raise
    if (existing.amount_minor, existing.currency) != (amount_minor, currency):
        raise OrderDiffers(f"Adjustment {number} of {source} is there already and differs.", number=number)
    return existing, False
