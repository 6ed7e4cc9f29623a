"""Every figure that differs is a named row, and nothing else is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from catalog.models import MovementKind
from notifications.states import MessageStatus
from orders.replay.figures import KnownPayment, OrderFigures, PlatformFigures, ProviderFigures, Work
from orders.replay.plan import BatchPlan, plan_batch
from orders.replay.reader import read_file
from orders.replay.reconciliation import count_expected_mails, reconcile
from orders.states import CancellationStatus, OrderStatus, PaymentStatus, RefundStatus, WebhookStatus
from tests.orders.replay.files import write_mutated_file

LEGS = {"P700001": 1, "P700008": 2, "P700014": 1}
"""Refunds of the mutated file by payment."""


@pytest.fixture
def plan(tmp_path: Path) -> BatchPlan:
    return plan_batch(file=read_file(write_mutated_file(tmp_path / "mutated.csv")))


def make_platform(plan: BatchPlan) -> PlatformFigures:
    """A platform that did just what the plan asks for."""
    refunds: Counter[str] = Counter()
    legs = set()
    for document in plan.cancellations:
        for line in document.covered:
            refunds[line.order] += line.refund
            legs.add((document.number, line.order))
    return PlatformFigures(
        orders={
            sale.number: OrderFigures(
                status=OrderStatus.PROCESSED,
                total=sale.total,
                captured=sale.total,
                refunded=refunds[sale.number],
                provider_ids=[f"P{sale.number}"] if sale.total else [],
            )
            for sale in plan.sales
        },
        order_lines=sum(len(sale.lines) for sale in plan.sales),
        captured=sum(sale.total for sale in plan.sales),
        refunded=refunds.total(),
        refund_legs=len(legs),
        price_difference=sum(line.value - line.refund for line in plan.covered),
        unmatched_lines=len(plan.uncovered),
        unmatched_value=sum(line.value for line in plan.uncovered),
        adjustments=sum(adjustment.amount for adjustment in plan.adjustments),
        write_offs=5,
        requests=len(plan.cancellations),
        ledger_clearing=sum(sale.total for sale in plan.sales) - refunds.total(),
        ledger_imbalance=0,
        stock_moved={
            MovementKind.RECEIPT: {item.sku: item.opening for item in plan.stock if item.opening},
            MovementKind.SALE: {item.sku: -item.sold for item in plan.stock if item.sold},
            MovementKind.CANCELLATION: {item.sku: item.returned for item in plan.stock if item.returned},
            MovementKind.WRITE_OFF: {"A100": -5},
        },
        stock_wrong=(),
        payments={
            f"P{sale.number}": KnownPayment(refunds=LEGS.get(f"P{sale.number}", 0), refund_amount=refunds[sale.number])
            for sale in plan.sales
            if sale.total
        },
    )


def make_provider(platform: PlatformFigures) -> dict[str, ProviderFigures]:
    return {
        provider_id: ProviderFigures(
            captured=order.captured,
            refunded=order.refunded,
            refunds_succeeded=LEGS.get(provider_id, 0),
        )
        for order in platform.orders.values()
        for provider_id in order.provider_ids
    }


def make_work(plan: BatchPlan) -> Work:
    return Work(
        orders=Counter({OrderStatus.PROCESSED: 7}),
        payments=Counter({PaymentStatus.CAPTURED: 6}),
        parts=Counter({CancellationStatus.COMPLETED: 4}),
        refunds=Counter({RefundStatus.SETTLED: 4}),
        mails=Counter({MessageStatus.SENT: count_expected_mails(plan)}),
        webhooks=Counter({WebhookStatus.PROCESSED: 10, WebhookStatus.IGNORED: 3}),
    )


def test_a_platform_that_did_all_that_was_asked_reconciles(plan: BatchPlan) -> None:
    platform = make_platform(plan)

    outcome = reconcile(plan=plan, platform=platform, provider=make_provider(platform), work=make_work(plan))

    assert outcome.difference == 0
    assert outcome.differing_orders == ()
    assert [row.name for row in outcome.comparisons if row.difference] == []
    assert outcome.reconciled
    assert sum((step.amount for step in outcome.steps), Decimal(0)) == plan.totals.net


def test_orders_of_other_batches_at_the_provider_are_left_out(plan: BatchPlan) -> None:
    platform = make_platform(plan)
    known = {**platform.payments, "Pother": KnownPayment(refunds=1, refund_amount=99)}
    provider = make_provider(platform) | {"Pother": ProviderFigures(500, 99, 1)}

    outcome = reconcile(plan=plan, platform=replace(platform, payments=known), provider=provider, work=make_work(plan))

    assert outcome.reconciled
    assert outcome.difference == 0


def test_money_at_the_provider_that_the_platform_does_not_know_is_named(plan: BatchPlan) -> None:
    platform = make_platform(plan)
    provider = make_provider(platform) | {
        "ghost1": ProviderFigures(captured=50_000, refunded=1_000, refunds_succeeded=2),
        "session": ProviderFigures(captured=0, refunded=0, refunds_succeeded=0),
    }

    outcome = reconcile(plan=plan, platform=platform, provider=provider, work=make_work(plan))

    assert not outcome.reconciled
    assert [(row.name, row.found) for row in outcome.comparisons if row.difference] == [
        ("provider payments the platform does not know", Decimal(1)),
        ("captured by payments the platform does not know", Decimal(500)),
        ("provider refunds the platform does not know", Decimal(2)),
        ("refunded by refunds the platform does not know", Decimal(10)),
    ]
    assert outcome.difference == 510


def test_a_refund_of_another_batch_that_the_platform_does_not_know_is_named(plan: BatchPlan) -> None:
    platform = make_platform(plan)
    known = {**platform.payments, "Pother": KnownPayment(refunds=1, refund_amount=99)}
    provider = make_provider(platform) | {"Pother": ProviderFigures(captured=500, refunded=198, refunds_succeeded=2)}

    outcome = reconcile(plan=plan, platform=replace(platform, payments=known), provider=provider, work=make_work(plan))

    assert [(row.name, row.found) for row in outcome.comparisons if row.difference] == [
        ("provider refunds the platform does not know", Decimal(1)),
        ("refunded by refunds the platform does not know", Decimal("0.99")),
    ]
    assert outcome.difference == Decimal("0.99")


Change = Callable[[PlatformFigures], PlatformFigures]


@pytest.mark.parametrize(
    ("change", "rows", "difference"),
    [
        (lambda figures: replace(figures, order_lines=figures.order_lines - 1), ["order lines"], "0"),
        (lambda figures: replace(figures, requests=figures.requests + 1), ["cancellation documents"], "0"),
        (lambda figures: replace(figures, unmatched_lines=0), ["unmatched lines"], "0"),
        (lambda figures: replace(figures, refund_legs=99), ["refunds paid out, each once"], "0"),
        (lambda figures: replace(figures, ledger_clearing=0), ["provider clearing account"], "82.77"),
        (lambda figures: replace(figures, ledger_imbalance=1), ["sum of all ledger entries"], "0.01"),
        (lambda figures: replace(figures, write_offs=4), ["write-offs, units"], "0"),
        (
            lambda figures: replace(figures, stock_wrong=("A100",)),
            ["SKUs where opening + movements is not closing"],
            "0",
        ),
        (lambda figures: replace(figures, stock_moved={}), ["SKUs moved otherwise than the file says"], "0"),
        (lambda figures: replace(figures, adjustments=0), ["adjustments"], "200.02"),
        (lambda figures: replace(figures, price_difference=0), ["price difference"], "4.00"),
        (lambda figures: replace(figures, unmatched_value=0), ["unmatched"], "14.68"),
    ],
)
def test_what_differs_is_named(plan: BatchPlan, change: Change, rows: list[str], difference: str) -> None:
    platform = make_platform(plan)

    outcome = reconcile(plan=plan, platform=change(platform), provider=make_provider(platform), work=make_work(plan))

    assert not outcome.reconciled
    assert [row.name for row in outcome.comparisons if row.difference] == rows
    assert outcome.difference == Decimal(difference)


def test_an_order_that_differs_is_named_with_all_three_amounts(plan: BatchPlan) -> None:
    platform = make_platform(plan)
    provider = make_provider(platform)
    provider["P700001"] = replace(provider["P700001"], refunded=0)

    outcome = reconcile(plan=plan, platform=platform, provider=provider, work=make_work(plan))

    assert outcome.differing_orders == ("order 700001 (processed): refunded: file 6.25, platform 6.25, provider 0.00",)
    assert [row.name for row in outcome.comparisons if row.difference] == ["refunded", "provider clearing account"]


def test_stuck_and_missing_orders_are_named(plan: BatchPlan) -> None:
    platform = make_platform(plan)
    orders = dict(platform.orders)
    del orders["700018"]
    orders["700012"] = replace(orders["700012"], status=OrderStatus.PAID)

    outcome = reconcile(
        plan=plan,
        platform=replace(platform, orders=orders),
        provider=make_provider(platform),
        work=make_work(plan),
    )

    assert outcome.differing_orders == ("order 700012 (paid): not processed", "order 700018: not on the platform")
    assert not outcome.reconciled


@pytest.mark.parametrize(
    ("work", "rows"),
    [
        ({"mails": Counter({MessageStatus.SENT: 1})}, ["mails sent"]),
        ({"refunds": Counter({RefundStatus.SETTLED: 3, RefundStatus.FAILED: 1})}, ["tasks failed"]),
        ({"refunds": Counter({RefundStatus.SETTLED: 3, RefundStatus.PENDING: 1})}, ["tasks open"]),
        ({"webhooks": Counter({WebhookStatus.RECEIVED: 1})}, ["tasks open"]),
        ({"orders": Counter({OrderStatus.PROCESSED: 6, OrderStatus.PENDING_PAYMENT: 1})}, ["tasks open"]),
        ({"payments": Counter({PaymentStatus.CREATED: 1})}, ["tasks open"]),
        ({"payments": Counter({PaymentStatus.PENDING: 1})}, ["tasks open"]),
        ({"payments": Counter({PaymentStatus.FAILED: 1})}, ["tasks failed"]),
        ({"payments": Counter({PaymentStatus.ABANDONED: 1})}, ["tasks failed"]),
    ],
)
def test_work_that_is_open_or_failed_is_named(plan: BatchPlan, work: dict[str, Counter[str]], rows: list[str]) -> None:
    platform = make_platform(plan)

    outcome = reconcile(
        plan=plan, platform=platform, provider=make_provider(platform), work=replace(make_work(plan), **work)
    )

    assert [row.name for row in outcome.comparisons if row.difference] == rows
    assert not outcome.reconciled
    assert outcome.difference == 0
