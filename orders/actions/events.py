"""Status changes of everything that belongs to an order, each with its event in the same transaction."""

from __future__ import annotations

from datetime import datetime
from typing import Any, TypeVar

from django.db import transaction

from myproject.jobs.running import fence
from myproject.states import StateTable, transition
from orders.models import Cancellation, Order, OrderEvent, Payment, Refund
from orders.states import CANCELLATION, ORDER, PAYMENT, REFUND

Moving = TypeVar("Moving", Order, Payment, Cancellation, Refund)

_TABLES: dict[type, StateTable] = {Order: ORDER, Payment: PAYMENT, Cancellation: CANCELLATION, Refund: REFUND}


def _order_id(instance: Order | Payment | Cancellation | Refund) -> int:
    if isinstance(instance, Order):
        return instance.pk
    if isinstance(instance, Refund):
        return instance.cancellation.order_id
    return instance.order_id


def record_event(
    *,
    order_id: int,
    kind: str,
    subject: str,
    actor: str,
    now: datetime,
    from_status: str = "",
    to_status: str = "",
    data: dict[str, Any] | None = None,
) -> OrderEvent:
    """Append one event to an order's history. `data` must hold plain values and nothing personal."""
    return OrderEvent.objects.create(
        order_id=order_id,
        kind=kind,
        subject=subject,
        from_status=from_status,
        to_status=to_status,
        actor=actor,
        data=data or {},
        occurred_at=now,
    )


def move(
    instance: Moving, target: str, *, actor: str, now: datetime, data: dict[str, Any] | None = None, **changes: Any
) -> Moving:
    """Move an order, payment, cancellation or refund to status `target` and append the event `<model>.<target>`.

    Must run inside a transaction. Raises TransitionRefused and TransitionLost (`myproject.states.transition`).
    """
    table = _TABLES[type(instance)]

    def record(moved: Moving, old: str, new: str, when: datetime) -> None:
        record_event(
            order_id=_order_id(moved),
            kind=f"{table.name}.{new}",
            subject=f"{table.name} {moved.pk}",
            from_status=old,
            to_status=new,
            actor=actor,
            data=data,
            now=when,
        )

    return transition(instance, target, table=table, now=now, record=record, **changes)


def move_locked(instance: Moving, target: str, *, actor: str, now: datetime, **changes: Any) -> Moving:
    """Do the same in a transaction of its own, with the row's order locked first.

    The event's INSERT takes a share lock on the order through its foreign key. Whoever holds the child row and asks
    for that lock deadlocks with a process that holds the order and asks for the child. A job whose lease has ended
    moves nothing (`myproject.jobs.running.fence`).
    """
    with transaction.atomic():
        fence()
        Order.objects.select_for_update().only("pk").get(pk=_order_id(instance))
        return move(instance, target, actor=actor, now=now, **changes)
