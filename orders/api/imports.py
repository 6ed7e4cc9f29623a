"""Feeds of marketplaces: orders with the feed's own numbers, customers and prices."""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from myproject.api.idempotency import idempotent
from myproject.money import EXPONENTS, format_minor
from orders.actions.customers import CustomerData
from orders.actions.importing import LineData, import_order
from orders.api.common import MayImportOrders, actor_of, request_id
from orders.models import LineKind, Order
from orders.states import OrderStatus

MAX_LINES = 5_000
"""Lines of one document: seven times the longest real invoice."""

MAX_UNITS = 10_000_000
"""Units of one line: over a hundred times the largest real one, and far below what the columns hold."""


class CustomerSerializer(serializers.Serializer[Any]):
    """A customer as the feed knows them. Without a reference it is a guest of this order."""

    reference = serializers.CharField(max_length=64, allow_blank=True, default="", trim_whitespace=False)
    email = serializers.EmailField(max_length=191, allow_blank=True, default="")
    name = serializers.CharField(max_length=150, allow_blank=True, default="")
    country = serializers.CharField(max_length=64, allow_blank=True, default="")
    language = serializers.CharField(max_length=8, default="en")


class OrderLineInputSerializer(serializers.Serializer[Any]):
    """One line. A discount has a negative unit price; goods need a SKU of the catalogue."""

    number = serializers.IntegerField(min_value=1, max_value=MAX_UNITS)
    kind = serializers.ChoiceField(choices=LineKind.choices)
    sku = serializers.CharField(max_length=64, trim_whitespace=False)
    description = serializers.CharField(max_length=255, allow_blank=True, default="", trim_whitespace=False)
    quantity = serializers.IntegerField(min_value=1, max_value=MAX_UNITS)
    unit_price = serializers.DecimalField(max_digits=12, decimal_places=4, help_text="Major units, up to 4 decimals.")


class OrderImportSerializer(serializers.Serializer[Any]):
    """One order of a feed."""

    source = serializers.SlugField(  # type: ignore[assignment]  # a declared field, not the attribute
        max_length=32, help_text="The feed; `web` is the shop itself and refused."
    )
    number = serializers.CharField(max_length=64, trim_whitespace=False)
    customer = CustomerSerializer(allow_null=True, default=None)
    currency = serializers.ChoiceField(choices=sorted(EXPONENTS))
    placed_at = serializers.DateTimeField()
    lines = OrderLineInputSerializer(many=True, allow_empty=False, max_length=MAX_LINES)  # type: ignore[call-arg]


class ImportedOrderSerializer(serializers.Serializer[Any]):
    """What became of an imported order."""

    id = serializers.IntegerField()
    number = serializers.CharField()
    status = serializers.ChoiceField(choices=OrderStatus.choices)
    total = serializers.CharField(help_text="Decimal string in the order's currency.")


class OrderImportView(APIView):
    """Orders of marketplace feeds; for service accounts only."""

    permission_classes = (MayImportOrders,)
    throttle_classes = ()

    @extend_schema(
        operation_id="import_order",
        request=OrderImportSerializer,
        responses={200: ImportedOrderSerializer, 201: ImportedOrderSerializer},
    )
    @idempotent(body=OrderImportSerializer)
    def post(self, request: Request, given: dict[str, Any]) -> Response:
        """Take over one order. 201 for a new one, 200 for the same again, 409 for another under its number."""
        customer = given.pop("customer")
        lines = given.pop("lines")
        order, created = import_order(
            **given,
            customer=CustomerData(**customer) if customer else None,
            lines=[LineData(**line) for line in lines],
            actor=actor_of(request),
            request_id=request_id(),
            now=timezone.now(),
        )
        return Response(_describe(order), status=status.HTTP_201_CREATED if created else status.HTTP_200_OK)


def _describe(order: Order) -> dict[str, Any]:
    return {
        "id": order.pk,
        "number": order.number,
        "status": str(order.status),
        "total": format_minor(order.total_minor, order.currency),
    }
