"""The file against the platform, the provider, the ledger, the stock and the mails: every difference is a named row."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from catalog.models import MovementKind
from myproject.money import to_decimal
from notifications.states import MessageStatus
from orders.replay.figures import OrderFigures, PlatformFigures, ProviderFigures, Work
from orders.replay.plan import BatchPlan
from orders.replay.selection import CURRENCY
from orders.states import OrderStatus


class Unit(StrEnum):
    """What a comparison counts."""

    MONEY = "money"
    COUNT = "count"


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two sources that must agree on one figure; money in major units, exact."""

    name: str
    first: str
    """Where the first value comes from, for example "file"."""
    second: str
    expected: Decimal
    found: Decimal
    unit: Unit = Unit.MONEY

    @property
    def difference(self) -> Decimal:
        """What the second source lacks."""
        return self.expected - self.found


@dataclass(frozen=True, slots=True)
class Step:
    """One named part of the way from the file's net to what the platform holds; the steps add up to the net."""

    name: str
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """The whole comparison of one batch."""

    steps: tuple[Step, ...]
    comparisons: tuple[Comparison, ...]
    differing_orders: tuple[str, ...]
    """A sentence per order that is stuck or differs."""
    difference: Decimal

    @property
    def reconciled(self) -> bool:
        """Whether nothing is left unexplained."""
        return (
            self.difference == 0
            and not self.differing_orders
            and all(comparison.difference == 0 for comparison in self.comparisons)
        )


def reconcile(
    *,
    plan: BatchPlan,
    platform: PlatformFigures,
    provider: Mapping[str, ProviderFigures],
    work: Work,
) -> Reconciliation:
    """Compare everything with everything. Pure: what it is given is all it looks at."""
    steps = _explain_net(plan, platform)
    comparisons = (
        *_compare_documents(plan, platform),
        *_compare_money(plan, platform, select_batch(platform, provider)),
        *_compare_unknown(platform, provider),
        *_compare_stock(plan, platform),
        Comparison(
            "mails sent",
            "file",
            "platform",
            Decimal(count_expected_mails(plan)),
            Decimal(work.mails[MessageStatus.SENT]),
            Unit.COUNT,
        ),
        Comparison("tasks failed", "none", "platform", Decimal(0), Decimal(work.failed), Unit.COUNT),
        Comparison("tasks open", "none", "platform", Decimal(0), Decimal(work.open), Unit.COUNT),
    )
    unexplained = abs(plan.totals.net - sum((step.amount for step in steps), Decimal(0)))
    between = sum((abs(row.difference) for row in comparisons if row.unit is Unit.MONEY), Decimal(0))
    return Reconciliation(
        steps=steps,
        comparisons=comparisons,
        differing_orders=tuple(_name_differing_orders(plan, platform, provider)),
        difference=unexplained + between,
    )


def count_expected_mails(plan: BatchPlan) -> int:
    """One mail per order and per cancellation with a known customer."""
    customers = [sale.customer for sale in plan.sales] + [document.customer for document in plan.cancellations]
    return sum(bool(customer) for customer in customers)


def _money(minor: int) -> Decimal:
    return to_decimal(minor, CURRENCY)


def _explain_net(plan: BatchPlan, platform: PlatformFigures) -> tuple[Step, ...]:
    """What the file's net is made of, by the platform's own figures; only the rounding is the file's."""
    return (
        Step("captured for orders", _money(platform.captured)),
        Step("refunded for cancellations", -_money(platform.refunded)),
        Step("price difference of cancellations, not refunded", -_money(platform.price_difference)),
        Step("cancelled without a sale in this file", -_money(platform.unmatched_value)),
        Step("adjustments", _money(platform.adjustments)),
        Step("rounding of prices with more than two decimals", plan.rounding),
    )


def select_batch(platform: PlatformFigures, provider: Mapping[str, ProviderFigures]) -> list[ProviderFigures]:
    """Return what the provider recorded for the payments of this batch."""
    ours = (provider_id for order in platform.orders.values() for provider_id in order.provider_ids)
    return [provider[provider_id] for provider_id in ours if provider_id in provider]


def _compare_documents(plan: BatchPlan, platform: PlatformFigures) -> list[Comparison]:
    def count(name: str, expected: int, found: int) -> Comparison:
        return Comparison(name, "file", "platform", Decimal(expected), Decimal(found), Unit.COUNT)

    return [
        count("orders", len(plan.sales), len(platform.orders)),
        count("order lines", sum(len(sale.lines) for sale in plan.sales), platform.order_lines),
        count("cancellation documents", len(plan.cancellations), platform.requests),
        count("unmatched lines", len(plan.uncovered), platform.unmatched_lines),
    ]


def _compare_money(plan: BatchPlan, platform: PlatformFigures, provider: list[ProviderFigures]) -> list[Comparison]:
    sold = _money(sum(sale.total for sale in plan.sales))
    refunded = _money(sum(line.refund for line in plan.covered))
    difference = _money(sum(line.value - line.refund for line in plan.covered))
    uncovered = _money(sum(line.value for line in plan.uncovered))
    adjusted = _money(sum(adjustment.amount for adjustment in plan.adjustments))
    provider_captured = _money(sum(line.captured for line in provider))
    provider_refunded = _money(sum(line.refunded for line in provider))
    paid_out = sum(line.refunds_succeeded for line in provider)
    return [
        Comparison("captured", "file", "platform", sold, _money(platform.captured)),
        Comparison("captured", "platform", "provider", _money(platform.captured), provider_captured),
        Comparison("refunded", "file", "platform", refunded, _money(platform.refunded)),
        Comparison("refunded", "platform", "provider", _money(platform.refunded), provider_refunded),
        Comparison(
            "refunds paid out, each once",
            "platform",
            "provider",
            Decimal(platform.refund_legs),
            Decimal(paid_out),
            Unit.COUNT,
        ),
        Comparison("price difference", "file", "platform", difference, _money(platform.price_difference)),
        Comparison("unmatched", "file", "platform", uncovered, _money(platform.unmatched_value)),
        Comparison("adjustments", "file", "platform", adjusted, _money(platform.adjustments)),
        Comparison(
            "provider clearing account",
            "provider",
            "ledger",
            provider_captured - provider_refunded,
            _money(platform.ledger_clearing),
        ),
        Comparison("sum of all ledger entries", "zero", "ledger", Decimal(0), _money(platform.ledger_imbalance)),
    ]


def _compare_unknown(platform: PlatformFigures, provider: Mapping[str, ProviderFigures]) -> list[Comparison]:
    """Look for money in the provider's whole record that no row of the platform stands for, in any currency."""
    payments = captured = refunds = refunded = 0
    for provider_id, line in provider.items():
        known = platform.payments.get(provider_id)
        if known is None:
            payments += line.captured > 0
            captured += line.captured
        refunds += max(0, line.refunds_succeeded - (known.refunds if known else 0))
        refunded += max(0, line.refunded - (known.refund_amount if known else 0))

    def expect_none(name: str, found: Decimal, unit: Unit) -> Comparison:
        return Comparison(name, "none", "provider", Decimal(0), found, unit)

    return [
        expect_none("provider payments the platform does not know", Decimal(payments), Unit.COUNT),
        expect_none("captured by payments the platform does not know", _money(captured), Unit.MONEY),
        expect_none("provider refunds the platform does not know", Decimal(refunds), Unit.COUNT),
        expect_none("refunded by refunds the platform does not know", _money(refunded), Unit.MONEY),
    ]


def _compare_stock(plan: BatchPlan, platform: PlatformFigures) -> list[Comparison]:
    """Count the SKUs whose movements are not the file's, and those whose movements do not explain what is on hand."""
    wrong = 0
    for item in plan.stock:
        expected = {
            MovementKind.RECEIPT: item.opening,
            MovementKind.SALE: -item.sold,
            MovementKind.CANCELLATION: item.returned,
            MovementKind.WRITE_OFF: -item.written_off,
        }
        wrong += any(platform.stock_moved.get(kind, {}).get(item.sku, 0) != units for kind, units in expected.items())
    written_off = sum(item.written_off for item in plan.stock)
    return [
        Comparison(
            "write-offs, units", "file", "platform", Decimal(written_off), Decimal(platform.write_offs), Unit.COUNT
        ),
        Comparison("SKUs moved otherwise than the file says", "none", "stock", Decimal(0), Decimal(wrong), Unit.COUNT),
        Comparison(
            "SKUs where opening + movements is not closing",
            "none",
            "stock",
            Decimal(0),
            Decimal(len(platform.stock_wrong)),
            Unit.COUNT,
        ),
    ]


def _name_differing_orders(
    plan: BatchPlan, platform: PlatformFigures, provider: Mapping[str, ProviderFigures]
) -> list[str]:
    refunds: defaultdict[str, int] = defaultdict(int)
    for line in plan.covered:
        refunds[line.order] += line.refund
    named = []
    for sale in plan.sales:
        order = platform.orders.get(sale.number)
        if order is None:
            named.append(f"order {sale.number}: not on the platform")
            continue
        reasons = _find_order_differences(sale.total, refunds[sale.number], order, provider)
        if reasons:
            named.append(f"order {sale.number} ({order.status}): {'; '.join(reasons)}")
    return named


def _find_order_differences(
    total: int, refund: int, order: OrderFigures, provider: Mapping[str, ProviderFigures]
) -> list[str]:
    recorded = [provider[provider_id] for provider_id in order.provider_ids if provider_id in provider]
    figures = (
        ("captured", total, order.captured, sum(line.captured for line in recorded)),
        ("refunded", refund, order.refunded, sum(line.refunded for line in recorded)),
    )
    reasons = [
        f"{name}: file {_money(expected)}, platform {_money(found)}, provider {_money(theirs)}"
        for name, expected, found, theirs in figures
        if not expected == found == theirs
    ]
    if order.status not in (OrderStatus.PROCESSED, OrderStatus.CANCELLED):
        reasons.append("not processed")
    return reasons
