"""Orders as their owners see them, and paying them."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.utils import timezone
from drf_spectacular.utils import extend_schema, extend_schema_field, extend_schema_view
from rest_framework import generics, serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from myproject.api.idempotency import idempotent
from myproject.money import format_minor
from orders.actions.payments import start_payment
from orders.actions.place import place_order
from orders.api.common import actor_of, user_of
from orders.models import Order, OrderEvent, OrderLine, Payment
from orders.queries.orders import find_order, visible_orders
from orders.states import PaymentStatus


class OrderSummarySerializer(serializers.ModelSerializer[Order]):
    """One order in a list; amounts are decimal strings in its currency."""

    total = serializers.SerializerMethodField()
    cancelled = serializers.SerializerMethodField()

    class Meta:
        model = Order
        fields = (
            "id", "source", "number", "status", "currency", "total", "cancelled",
            "placed_at", "paid_at", "processed_at",
        )  # fmt: skip
        read_only_fields = fields

    def get_total(self, order: Order) -> str:
        """What the order costs."""
        return format_minor(order.total_minor, order.currency)

    def get_cancelled(self, order: Order) -> str:
        """What cancellations took off."""
        return format_minor(order.cancelled_minor, order.currency)


class OrderLineSerializer(serializers.ModelSerializer[OrderLine]):
    """One line of an order."""

    total = serializers.SerializerMethodField()

    class Meta:
        model = OrderLine
        fields = ("number", "kind", "sku", "description", "quantity", "cancelled_quantity", "unit_price", "total")
        read_only_fields = fields

    def get_total(self, line: OrderLine) -> str:
        """The line's total."""
        return format_minor(line.total_minor, self.context["currency"])


class OrderSerializer(OrderSummarySerializer):
    """One order with its lines."""

    lines = serializers.SerializerMethodField()

    class Meta(OrderSummarySerializer.Meta):
        fields = (*OrderSummarySerializer.Meta.fields, "lines")  # type: ignore[assignment]  # one more than its base
        read_only_fields = fields  # type: ignore[assignment]

    @extend_schema_field(OrderLineSerializer(many=True))
    def get_lines(self, order: Order) -> list[dict[str, Any]]:
        """The lines in order."""
        rows = OrderLineSerializer(order.lines.all(), many=True, context={"currency": order.currency}).data
        return list(rows)


class OrderEventSerializer(serializers.ModelSerializer[OrderEvent]):
    """Something that happened to an order."""

    class Meta:
        model = OrderEvent
        fields = ("id", "kind", "subject", "from_status", "to_status", "occurred_at")
        read_only_fields = fields


class PaymentSerializer(serializers.Serializer[Any]):
    """A payment that the customer can make."""

    payment_link = serializers.CharField(help_text="The provider's page.")
    provider_order_id = serializers.CharField()
    status = serializers.ChoiceField(choices=PaymentStatus.choices)


class CheckoutSerializer(serializers.Serializer[Any]):
    """Which cart becomes an order."""

    cart = serializers.IntegerField(min_value=1, help_text="The id of the caller's cart.")


@extend_schema_view(get=extend_schema(operation_id="list_orders"))
class OrderListView(generics.ListAPIView[Order]):
    """The caller's orders, newest first, and placing one."""

    serializer_class = OrderSummarySerializer
    queryset = Order.objects.none()

    def get_queryset(self) -> QuerySet[Order]:
        """Return the orders that are the caller's to see."""
        return visible_orders(user=user_of(self.request))

    @extend_schema(
        operation_id="place_order",
        request=CheckoutSerializer,
        responses={201: OrderSerializer},
    )
    @idempotent()
    def post(self, request: Request) -> Response:
        """Make an order of the cart at the shop's prices; the same cart again gives the same order."""
        wish = CheckoutSerializer(data=request.data)
        wish.is_valid(raise_exception=True)
        order = place_order(cart_id=wish.validated_data["cart"], user=user_of(request), now=timezone.now())
        return Response(OrderSerializer(order).data, status=status.HTTP_201_CREATED)


@extend_schema_view(get=extend_schema(operation_id="read_order"))
class OrderView(generics.RetrieveAPIView[Order]):
    """One order of the caller's; another's is a 404."""

    serializer_class = OrderSerializer
    queryset = Order.objects.none()

    def get_object(self) -> Order:
        """Return the order with its lines."""
        return find_order(user=user_of(self.request), order_id=self.kwargs["pk"])


@extend_schema_view(get=extend_schema(operation_id="list_order_events"))
class OrderEventListView(generics.ListAPIView[OrderEvent]):
    """The history of one order, newest first."""

    serializer_class = OrderEventSerializer
    queryset = OrderEvent.objects.none()

    def get_queryset(self) -> QuerySet[OrderEvent]:
        """Return the events of an order that is the caller's to see."""
        return find_order(user=user_of(self.request), order_id=self.kwargs["pk"]).events.all()


class OrderPaymentView(APIView):
    """Paying an order."""

    @extend_schema(operation_id="start_payment", request=None, responses={201: PaymentSerializer})
    @idempotent(atomic=False)
    def post(self, request: Request, pk: int) -> Response:
        """Open the provider's page for the order; asked again, the open one is returned."""
        order = find_order(user=user_of(request), order_id=pk)
        payment = start_payment(order_id=order.pk, actor=actor_of(request), now=timezone.now())
        return Response(_describe(payment), status=status.HTTP_201_CREATED)


def _describe(payment: Payment) -> dict[str, str]:
    return {
        "payment_link": payment.payment_link,
        "provider_order_id": payment.provider_order_id,
        "status": str(payment.status),
    }
