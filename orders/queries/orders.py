"""Orders as their owners may see them."""

from __future__ import annotations

from django.db.models import Exists, OuterRef, QuerySet, Sum

from myproject.accounts.models import User
from orders.errors import OrderNotFound
from orders.models import CancellationLine, CancellationRequest, Order, OrderEvent

IMPORT_PERMISSION = "orders.import_orders"


def visible_orders(*, user: User) -> QuerySet[Order]:
    """Return the orders that are a user's to see: a customer's own, and a service account's that it brought itself."""
    if user.is_service:
        brought = OrderEvent.objects.filter(order=OuterRef("pk"), kind="order.imported", actor=f"user:{user.pk}")
        return Order.objects.filter(Exists(brought))
    return Order.objects.filter(customer__user=user)


def find_order(*, user: User, order_id: int) -> Order:
    """Return one order that is the user's to see. Raises OrderNotFound, for another's order too."""
    order = visible_orders(user=user).filter(pk=order_id).first()
    if order is None:
        raise OrderNotFound("There is no such order, or it is not yours to see.")
    return order


def sum_cancelled(*, request: CancellationRequest) -> int:
    """Return the value of a cancellation request at the price that was paid, in minor units."""
    lines = CancellationLine.objects.filter(cancellation__request=request)
    return lines.aggregate(total=Sum("amount_minor"))["total"] or 0
