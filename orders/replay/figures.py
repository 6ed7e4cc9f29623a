"""What the platform and the provider believe about one batch: read from the database and from the provider's record."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import httpx
from django.db.models import Count, F, Q, QuerySet, Sum

from catalog.models import MovementKind, Stock, StockMovement
from myproject.money import to_minor
from notifications.models import Message
from notifications.states import MessageStatus
from orders.models import (
    Account,
    Cancellation,
    CancellationRequest,
    FinancialAdjustment,
    LedgerEntry,
    Order,
    OrderLine,
    Payment,
    PriceDifference,
    Refund,
    UnmatchedLine,
    WebhookEvent,
)
from orders.states import CancellationStatus, OrderStatus, PaymentStatus, RefundStatus, WebhookStatus


@dataclass(slots=True)
class OrderFigures:
    """One order as the platform knows it; money in minor units."""

    status: str
    total: int
    captured: int = 0
    refunded: int = 0
    provider_ids: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class ProviderFigures:
    """One order as the provider recorded it."""

    captured: int
    refunded: int
    refunds_succeeded: int


@dataclass(frozen=True, slots=True)
class KnownPayment:
    """What the platform knows of one payment, of whatever batch or of the shop; money in minor units."""

    refunds: int
    """Refund rows in any status: a refund is known from its plan on."""
    refund_amount: int


@dataclass(frozen=True, slots=True)
class Work:
    """What workers have done and still owe for one batch: rows by status, each status being the trace of a task."""

    orders: Counter[str]
    payments: Counter[str]
    """Payments of the batch; failed and given up ones only while their order has not been paid by another."""
    parts: Counter[str]
    """Parts of cancellations, one per order that a document reaches."""
    refunds: Counter[str]
    mails: Counter[str]
    webhooks: Counter[str]

    @property
    def run(self) -> int:
        """Tasks whose effect is recorded: a look-up, an order, a cancellation, a refund or a mail each."""
        return (
            self.webhooks[WebhookStatus.PROCESSED]
            + self.orders_processed
            + self.parts[CancellationStatus.PROCESSED]
            + self.parts[CancellationStatus.COMPLETED]
            + self.refunds[RefundStatus.SETTLED]
            + self.mails[MessageStatus.SENT]
        )

    @property
    def failed(self) -> int:
        """Tasks that failed for good: a payment that left its order unpaid, a refund, a mail."""
        return (
            self.payments[PaymentStatus.FAILED]
            + self.payments[PaymentStatus.ABANDONED]
            + self.refunds[RefundStatus.FAILED]
            + self.mails[MessageStatus.FAILED]
        )

    @property
    def open(self) -> int:
        """Tasks that are still owed."""
        refunds_open = self.refunds.total() - self.refunds[RefundStatus.SETTLED] - self.refunds[RefundStatus.FAILED]
        return (
            self.webhooks[WebhookStatus.RECEIVED]
            + self.payments[PaymentStatus.CREATED]
            + self.payments[PaymentStatus.PENDING]
            + self.orders[OrderStatus.PENDING_PAYMENT]
            + self.orders[OrderStatus.PAID]
            + self.parts[CancellationStatus.REQUESTED]
            + refunds_open
            + self.mails_open
        )

    @property
    def orders_processed(self) -> int:
        """Orders that have been through `process_order`."""
        return self.orders[OrderStatus.PROCESSED] + self.orders[OrderStatus.CANCELLED]

    @property
    def mails_open(self) -> int:
        """Mails that wait or are being sent."""
        return self.mails[MessageStatus.PENDING] + self.mails[MessageStatus.SENDING]


@dataclass(frozen=True, slots=True)
class PlatformFigures:
    """One batch as the platform's database has it; money in minor units."""

    orders: Mapping[str, OrderFigures]
    order_lines: int
    captured: int
    refunded: int
    refund_legs: int
    price_difference: int
    unmatched_lines: int
    unmatched_value: int
    adjustments: int
    write_offs: int
    requests: int
    ledger_clearing: int
    ledger_imbalance: int
    stock_moved: Mapping[str, Mapping[str, int]]
    """Units per movement kind and SKU."""
    stock_wrong: tuple[str, ...]
    """SKUs whose number on hand is not the sum of all their movements."""
    payments: Mapping[str, KnownPayment]
    """Every payment the platform has, not this batch's alone, by its id at the provider."""


def read_platform(*, source: str) -> PlatformFigures:
    """Return the figures of the batch whose orders and documents carry ``source``."""
    orders = _read_orders(source)
    differences = PriceDifference.objects.filter(cancellation_line__cancellation__request__source=source)
    unmatched = UnmatchedLine.objects.filter(request__source=source)
    entries = LedgerEntry.objects.filter(transaction__order__source=source)
    moved = _read_movements(source)
    settled = Refund.objects.filter(cancellation__order__source=source, status=RefundStatus.SETTLED)
    return PlatformFigures(
        orders=orders,
        order_lines=OrderLine.objects.filter(order__source=source).count(),
        captured=sum(order.captured for order in orders.values()),
        refunded=settled.aggregate(total=Sum("amount_minor", default=0))["total"],
        refund_legs=settled.filter(amount_minor__gt=0).count(),
        price_difference=differences.aggregate(total=Sum("amount_minor", default=0))["total"],
        unmatched_lines=unmatched.count(),
        unmatched_value=unmatched.aggregate(total=Sum("amount_minor", default=0))["total"],
        adjustments=FinancialAdjustment.objects.filter(source=source).aggregate(total=Sum("amount_minor", default=0))[
            "total"
        ],
        write_offs=-sum(moved.get(MovementKind.WRITE_OFF, {}).values()),
        requests=CancellationRequest.objects.filter(source=source).count(),
        ledger_clearing=entries.filter(account=Account.PROVIDER_CLEARING).aggregate(
            total=Sum("amount_minor", default=0)
        )["total"],
        ledger_imbalance=entries.aggregate(total=Sum("amount_minor", default=0))["total"],
        stock_moved=moved,
        stock_wrong=_find_wrong_stock(),
        payments=_read_known_payments(),
    )


def _messages(source: str) -> QuerySet[Message]:
    return Message.objects.filter(
        Q(business_event__startswith=f"order-confirmed:{source}:")
        | Q(business_event__startswith=f"cancellation-completed:{source}:")
    )


def _count(rows: QuerySet[Any]) -> Counter[str]:
    return Counter(dict(rows.order_by().values_list("status").annotate(Count("pk"))))


def _read_orders(source: str) -> dict[str, OrderFigures]:
    orders = {
        number: OrderFigures(status=status, total=total)
        for number, status, total in Order.objects.filter(source=source).values_list("number", "status", "total_minor")
    }
    payments = Payment.objects.filter(order__source=source).values_list(
        "order__number", "provider_order_id", "captured_minor", "refunded_minor"
    )
    for number, provider_id, captured, refunded in payments:
        order = orders[number]
        order.captured += captured
        order.refunded += refunded
        order.provider_ids.append(provider_id)
    return orders


def _read_movements(source: str) -> dict[str, dict[str, int]]:
    """Add up the batch's movements by kind and SKU; each names the batch, the order or the document it belongs to."""
    moved: defaultdict[str, dict[str, int]] = defaultdict(dict)
    rows = (
        StockMovement.objects.filter(reference__startswith=source)
        .values_list("kind", "stock__variant__sku")
        .annotate(units=Sum("quantity"))
    )
    for kind, sku, units in rows:
        moved[kind][sku] = units
    return dict(moved)


def _find_wrong_stock() -> tuple[str, ...]:
    rows = Stock.objects.annotate(moved=Sum("movements__quantity", default=0)).exclude(on_hand=F("moved"))
    return tuple(rows.order_by("variant__sku").values_list("variant__sku", flat=True))


def _read_known_payments() -> dict[str, KnownPayment]:
    rows = Payment.objects.order_by().annotate(
        refund_rows=Count("refunds", filter=Q(refunds__amount_minor__gt=0)),
        refund_sum=Sum("refunds__amount_minor", default=0),
    )
    return {
        provider_id: KnownPayment(refunds=count, refund_amount=amount)
        for provider_id, count, amount in rows.values_list("provider_order_id", "refund_rows", "refund_sum")
    }


def count_work(*, source: str) -> Work:
    """Return what workers have done and still owe for the batch; a few counts, cheap enough to ask while waiting."""
    orders = _count(Order.objects.filter(source=source))
    parts = _count(Cancellation.objects.filter(order__source=source))
    refunds = _count(Refund.objects.filter(cancellation__order__source=source, payment__isnull=False))
    mails = _count(_messages(source))
    payments = Payment.objects.filter(order__source=source)
    ours = payments.values("provider_order_id")
    superseded = Q(status__in=(PaymentStatus.FAILED, PaymentStatus.ABANDONED)) & ~Q(
        order__status=OrderStatus.PENDING_PAYMENT
    )
    webhooks = _count(WebhookEvent.objects.filter(provider_order_id__in=ours))
    tried = _count(payments.exclude(superseded))
    return Work(orders=orders, payments=tried, parts=parts, refunds=refunds, mails=mails, webhooks=webhooks)


def read_provider(*, base_url: str, api_key: str, merchant_id: str) -> dict[str, ProviderFigures]:
    """Return the provider's own record, per order it knows. Raises httpx.HTTPError when it cannot be read."""
    response = httpx.get(
        f"{base_url}/sandbox/record/totals",
        auth=(api_key, ""),
        headers={"x-merchantid": merchant_id},
        timeout=30,
        trust_env=False,
    )
    response.raise_for_status()
    return {
        line["order_id"]: ProviderFigures(
            captured=to_minor(Decimal(line["captured"]), line["currency"]),
            refunded=to_minor(Decimal(line["refunded"]), line["currency"]),
            refunds_succeeded=line["refunds_succeeded"],
        )
        for line in response.json()["orders"]
    }


def count_waiting_webhooks(*, base_url: str) -> int:
    """Return how many webhooks the stand-in has yet to deliver; 0 when it does not tell."""
    try:
        found = httpx.get(f"{base_url}/health", timeout=5, trust_env=False).json()
    except (httpx.HTTPError, ValueError):
        return 0
    return int(found.get("webhooks_waiting", 0))
