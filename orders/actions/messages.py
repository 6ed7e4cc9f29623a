"""What customers are told: rows only, `notifications` delivers them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from myproject.jobs.sending import enqueue
from myproject.money import format_minor
from notifications.actions import create_message
from notifications.models import Channel, Message
from orders.models import CancellationRequest, Customer, Order


def confirm_order(*, order: Order, customer: Customer, line_count: int, now: datetime) -> Message | None:
    """Make the order's confirmation, once however often it is asked for, and have it delivered.

    A customer without an address gets none. Must run in the caller's transaction.
    """
    if not customer.email:
        return None
    message = create_message(
        business_event=f"order-confirmed:{order.source}:{order.number}",
        channel=Channel.MAIL,
        recipient=customer.email,
        template="order_confirmation",
        language=customer.language,
        context={
            "order_number": order.number,
            "line_count": line_count,
            "total": format_minor(order.total_minor, order.currency),
            "currency": order.currency,
        },
        now=now,
    )
    enqueue("notifications.tasks.deliver_message", message.pk)
    return message


def announce_cancellation(
    *,
    request: CancellationRequest,
    order_numbers: Sequence[str],
    refunded_minor: int,
    unmatched_minor: int,
    now: datetime,
) -> Message | None:
    """Tell the customer that a whole cancellation request is done, once; unknown customers are told nothing.

    Must run in the caller's transaction.
    """
    customer = request.customer
    if customer is None or not customer.email:
        return None
    message = create_message(
        business_event=f"cancellation-completed:{request.source}:{request.number}",
        channel=Channel.MAIL,
        recipient=customer.email,
        template="cancellation_completed",
        language=customer.language,
        context={
            "cancellation_number": request.number,
            "order_numbers": list(order_numbers),
            "refunded": format_minor(refunded_minor, request.currency),
            "unmatched": format_minor(unmatched_minor, request.currency) if unmatched_minor else "",
            "currency": request.currency,
        },
        now=now,
    )
    enqueue("notifications.tasks.deliver_message", message.pk)
    return message
