"""What the endpoints of orders share: who asks."""

from __future__ import annotations

from typing import cast

import structlog
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

from myproject.accounts.models import User
from orders.queries.orders import IMPORT_PERMISSION


class MayImportOrders(BasePermission):
    """Service accounts with the permission `orders.import_orders`; a person never sets a price."""

    message = "Only a service account that may import orders can do this."

    def has_permission(self, request: Request, view: APIView) -> bool:
        """Tell whether the caller may."""
        user = request.user
        return bool(getattr(user, "is_service", False)) and user.has_perm(IMPORT_PERMISSION)


def user_of(request: Request) -> User:
    """Return the signed-in user."""
    return cast(User, request.user)


def actor_of(request: Request) -> str:
    """Return how events name the caller."""
    return f"user:{user_of(request).pk}"


def request_id() -> str:
    """Return the id under which the logs hold the current request."""
    return str(structlog.contextvars.get_contextvars().get("request_id", ""))
