"""The caller's cart."""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from orders.actions.carts import open_cart, set_cart_line
from orders.api.common import user_of
from orders.queries.carts import describe_cart

MAX_UNITS_IN_CART = 10_000
"""Units of one line: a person who wants more talks to somebody."""


class CartQuantitySerializer(serializers.Serializer[Any]):
    """How many units; zero takes the article out."""

    quantity = serializers.IntegerField(min_value=0, max_value=MAX_UNITS_IN_CART)


class CartLineSerializer(serializers.Serializer[Any]):
    """One article in a cart, at today's price."""

    sku = serializers.CharField()
    name = serializers.CharField()
    quantity = serializers.IntegerField()
    unit_price = serializers.DecimalField(max_digits=12, decimal_places=4, allow_null=True)
    total = serializers.CharField(allow_null=True)
    available = serializers.BooleanField(help_text="Whether so many units are on hand now.")


class CartSerializer(serializers.Serializer[Any]):
    """A cart; amounts are decimal strings of `currency`."""

    id = serializers.IntegerField()
    currency = serializers.CharField(allow_null=True)
    total = serializers.CharField(allow_null=True)
    lines = CartLineSerializer(many=True)


class CartView(APIView):
    """The caller's open cart."""

    @extend_schema(operation_id="read_cart", responses=CartSerializer)
    def get(self, request: Request) -> Response:
        """Return the cart; an empty one is made at the first look."""
        cart = open_cart(user=user_of(request))
        return Response(CartSerializer(describe_cart(cart=cart)).data)


class CartLineView(APIView):
    """One article in the caller's cart."""

    @extend_schema(operation_id="set_cart_line", request=CartQuantitySerializer, responses=CartSerializer)
    def put(self, request: Request, sku: str) -> Response:
        """Set the number of units; the same request again changes nothing."""
        wanted = CartQuantitySerializer(data=request.data)
        wanted.is_valid(raise_exception=True)
        return self._set(request, sku, wanted.validated_data["quantity"])

    @extend_schema(operation_id="delete_cart_line", request=None, responses={200: CartSerializer})
    def delete(self, request: Request, sku: str) -> Response:
        """Take the article out; one that is not in the cart is no error."""
        return self._set(request, sku, 0)

    def _set(self, request: Request, sku: str, quantity: int) -> Response:
        cart = set_cart_line(user=user_of(request), sku=sku, quantity=quantity, now=timezone.now())
        return Response(CartSerializer(describe_cart(cart=cart)).data)
