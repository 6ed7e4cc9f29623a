"""Cancellations: a customer's, of one order, and a feed's documents."""

from __future__ import annotations

import uuid
from typing import Any

from django.db.models import QuerySet
from django.urls import reverse
from django.utils import timezone
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import generics, serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from myproject.api.idempotency import idempotent
from myproject.api.receipts import record_receipt
from myproject.money import EXPONENTS, format_minor
from orders.actions.cancel_requests import (
    CancelledLine,
    UnmatchedData,
    import_cancellation,
    request_cancellation,
)
from orders.api.common import MayImportOrders, actor_of, user_of
from orders.api.imports import MAX_LINES, MAX_UNITS
from orders.models import Cancellation, CancellationRequest
from orders.queries.orders import find_order, sum_cancelled
from orders.states import CancellationStatus

TASK = "orders.tasks.process_order_cancellation"


class CancelledLineSerializer(serializers.Serializer[Any]):
    """Units of one line of one order, at the document's own price."""

    order = serializers.CharField(max_length=64, trim_whitespace=False, help_text="The order's number in the feed.")
    line = serializers.IntegerField(min_value=1, max_value=MAX_UNITS)
    quantity = serializers.IntegerField(min_value=1, max_value=MAX_UNITS)
    unit_price = serializers.DecimalField(max_digits=12, decimal_places=4, min_value=0)


class UnmatchedLineSerializer(serializers.Serializer[Any]):
    """Units that the document takes back and no order covers: kept, and nothing is refunded for them."""

    sku = serializers.CharField(max_length=64, trim_whitespace=False)
    description = serializers.CharField(max_length=255, allow_blank=True, default="", trim_whitespace=False)
    quantity = serializers.IntegerField(min_value=1, max_value=MAX_UNITS)
    unit_price = serializers.DecimalField(max_digits=12, decimal_places=4, min_value=0)


class CancellationImportSerializer(serializers.Serializer[Any]):
    """One cancellation document of a feed; it may reach into several orders of one customer."""

    source = serializers.SlugField(max_length=32)  # type: ignore[assignment]  # a declared field, not the attribute
    number = serializers.CharField(max_length=64, trim_whitespace=False)
    customer = serializers.CharField(
        max_length=64,
        allow_blank=True,
        default="",
        trim_whitespace=False,
        help_text="The customer's reference in the feed; empty for a guest.",
    )
    customer_email = serializers.EmailField(
        max_length=191, allow_blank=True, default="", help_text="Where a customer who never ordered here is told of it."
    )
    currency = serializers.ChoiceField(choices=sorted(EXPONENTS))
    reason = serializers.CharField(max_length=191, allow_blank=True, default="")
    requested_at = serializers.DateTimeField()
    lines = CancelledLineSerializer(many=True, default=list, max_length=MAX_LINES)  # type: ignore[call-arg]
    unmatched = UnmatchedLineSerializer(many=True, default=list, max_length=MAX_LINES)  # type: ignore[call-arg]


class ImportedCancellationSerializer(serializers.Serializer[Any]):
    """What became of an imported cancellation document."""

    id = serializers.IntegerField()
    number = serializers.CharField()
    status = serializers.ChoiceField(choices=CancellationStatus.choices)
    total = serializers.CharField(help_text="The value of the units at the price that was paid, decimal string.")


class CancellationImportView(APIView):
    """Cancellation documents of marketplace feeds; for service accounts only."""

    permission_classes = (MayImportOrders,)
    throttle_classes = ()

    @extend_schema(
        operation_id="import_cancellation",
        request=CancellationImportSerializer,
        responses={200: ImportedCancellationSerializer, 202: ImportedCancellationSerializer},
    )
    @idempotent(body=CancellationImportSerializer)
    def post(self, request: Request, given: dict[str, Any]) -> Response:
        """Take over one document. 202 for a new one, 200 for the same again, 409 for another under its number."""
        made, created = import_cancellation(
            source=given["source"],
            number=given["number"],
            customer_reference=given["customer"],
            customer_email=given["customer_email"],
            currency=given["currency"],
            reason=given["reason"],
            lines=[
                CancelledLine(
                    order_number=line["order"],
                    line_number=line["line"],
                    quantity=line["quantity"],
                    unit_price=line["unit_price"],
                )
                for line in given["lines"]
            ],
            unmatched=[UnmatchedData(**line) for line in given["unmatched"]],
            requested_at=given["requested_at"],
            actor=actor_of(request),
            now=timezone.now(),
        )
        return Response(_describe(made), status=status.HTTP_202_ACCEPTED if created else status.HTTP_200_OK)


class WishedLineSerializer(serializers.Serializer[Any]):
    """Units of one line that the customer gives back."""

    line = serializers.IntegerField(min_value=1)
    quantity = serializers.IntegerField(min_value=1, max_value=MAX_UNITS)


class CancellationWishSerializer(serializers.Serializer[Any]):
    """What a customer wants to cancel; without lines, all that is left of the order."""

    reason = serializers.CharField(max_length=191, allow_blank=True, default="")
    lines = WishedLineSerializer(  # type: ignore[call-arg]
        many=True, required=False, allow_null=True, default=None, allow_empty=False, max_length=MAX_LINES
    )

    def validate_lines(self, lines: list[dict[str, int]] | None) -> dict[int, int] | None:
        """Return units by line number; a line may be named once."""
        if lines is None:
            return None
        wanted = {line["line"]: line["quantity"] for line in lines}
        if len(wanted) < len(lines):
            raise serializers.ValidationError("A line is named twice.")
        return wanted


class AcceptedCancellationSerializer(serializers.Serializer[Any]):
    """A cancellation that is being carried out."""

    id = serializers.IntegerField()
    number = serializers.CharField()
    status = serializers.ChoiceField(choices=CancellationStatus.choices)
    total = serializers.CharField(help_text="The value of the units at the price that was paid, decimal string.")
    status_url = serializers.CharField(help_text="Where the state of the work is told.")


class CancellationSerializer(serializers.ModelSerializer[Cancellation]):
    """One cancellation of an order."""

    number = serializers.CharField(source="request.number")
    reason = serializers.CharField(source="request.reason")
    requested_at = serializers.DateTimeField(source="request.requested_at")
    refund = serializers.SerializerMethodField()

    class Meta:
        model = Cancellation
        fields = ("id", "number", "reason", "status", "refund", "requested_at", "processed_at", "completed_at")
        read_only_fields = fields

    def get_refund(self, cancellation: Cancellation) -> str:
        """What goes back to the customer."""
        return format_minor(cancellation.refund_minor, cancellation.request.currency)


@extend_schema_view(get=extend_schema(operation_id="list_order_cancellations"))
class OrderCancellationView(generics.ListAPIView[Cancellation]):
    """The cancellations of one order of the caller's."""

    serializer_class = CancellationSerializer
    queryset = Cancellation.objects.none()

    def get_queryset(self) -> QuerySet[Cancellation]:
        """Return the cancellations of an order that is the caller's to see."""
        order = find_order(user=user_of(self.request), order_id=self.kwargs["pk"])
        return order.cancellations.select_related("request")

    @extend_schema(
        operation_id="cancel_order",
        request=CancellationWishSerializer,
        responses={202: AcceptedCancellationSerializer},
    )
    @idempotent()
    def post(self, request: Request, pk: int) -> Response:
        """Cancel units of the order, or all that is left of it; the work goes on after the answer."""
        wish = CancellationWishSerializer(data=request.data)
        wish.is_valid(raise_exception=True)
        user, now, task_id = user_of(request), timezone.now(), str(uuid.uuid4())
        order = find_order(user=user, order_id=pk)
        made = request_cancellation(
            order_id=order.pk,
            lines=wish.validated_data["lines"],
            reason=wish.validated_data["reason"],
            actor=actor_of(request),
            task_id=task_id,
            now=now,
        )
        record_receipt(task_id=task_id, task_name=TASK, user=user, subject=order.number, now=now)
        url = request.build_absolute_uri(reverse("task", args=[task_id]))
        body = {**_describe(made), "status_url": url}
        return Response(body, status=status.HTTP_202_ACCEPTED, headers={"Location": url})


def _describe(made: CancellationRequest) -> dict[str, Any]:
    done = made.completed_at is not None
    return {
        "id": made.pk,
        "number": made.number,
        "status": str(CancellationStatus.COMPLETED if done else CancellationStatus.REQUESTED),
        "total": format_minor(sum_cancelled(request=made), made.currency),
    }
