"""Creating orders, by a session or directly."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import datetime

from .. import errors
from ..database import writing
from ..models import Entry, Order
from .record import add_entry


@dataclass(frozen=True)
class NewOrder:
    """The checked parameters of an order."""

    order_id: str
    amount: int
    currency: str
    return_url: str = ""
    details: dict[str, str] = field(default_factory=dict)


def create_order(*, new: NewOrder, now: datetime) -> Order:
    """Create the order, or return the unpaid one that has the same id, amount and currency.

    The second case is a merchant that asks again because it did not see the first answer. Raises ApiError when the id
    belongs to a paid order or to another amount.
    """
    with writing():
        order = Order.objects.filter(order_id=new.order_id).first()
        if order is not None:
            if order.status == "CHARGED":
                raise errors.order_conflict("INVALID_ACTION", "The order is already charged.")
            if (order.amount, order.currency) != (new.amount, new.currency):
                raise errors.order_conflict("ALREADY_EXISTS", "The order exists with another amount or currency.")
            return order
        order = Order.objects.create(
            order_id=new.order_id,
            juspay_id=f"ordeh_{uuid.uuid4().hex}",
            amount=new.amount,
            currency=new.currency,
            return_url=new.return_url,
            details=new.details,
            created_at=now,
        )
        add_entry(
            kind=Entry.Kind.ORDER_CREATED,
            order_id=order.order_id,
            reference=order.juspay_id,
            currency=order.currency,
            amount=order.amount,
            outcome="NEW",
            now=now,
        )
        return order
