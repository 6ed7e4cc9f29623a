"""The outcome of a replay as one object for programs and as a table for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from rich.console import Console
from rich.table import Table

from myproject.money import to_decimal
from notifications.states import MessageStatus
from orders.queries.batches import NOTHING, describe_difference
from orders.replay.figures import PlatformFigures, ProviderFigures, Work
from orders.replay.plan import BatchPlan
from orders.replay.reconciliation import Comparison, Reconciliation, Unit, select_batch
from orders.replay.selection import CURRENCY

KEYS = (
    "file",
    "platform",
    "provider",
    "cancellation_lines",
    "unmatched",
    "rounding",
    "rejected",
    "tasks",
    "mails",
    "difference",
    "seconds",
    "orders_per_second",
    "tasks_per_second",
)
"""What `--json` prints, in this order; the stored report holds the rows of the table besides."""

LISTED = 10_000
"""Rejected rows and differing orders that are kept and shown: about 1 MB, which every database takes in one value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How fast this run was; a run that went on with another's work counts its own part only."""

    seconds: float
    orders: int
    tasks: int

    def per_second(self, done: int) -> float:
        """Return a rate with one decimal."""
        return round(done / self.seconds, 1) if self.seconds else 0.0


def write_money(amount: Decimal) -> str:
    """A decimal string with at least two decimals, and more only where they say something."""
    text = f"{amount:f}"
    whole, _, decimals = text.partition(".")
    return f"{whole}.{decimals.rstrip('0').ljust(2, '0')}"


def build_report(
    *,
    plan: BatchPlan,
    platform: PlatformFigures,
    provider: Mapping[str, ProviderFigures],
    work: Work,
    reconciliation: Reconciliation,
    trouble: Sequence[str],
    pace: Pace,
) -> dict[str, Any]:
    """Return the object of `--json` and, beside it, the rows of the table, so that a later run prints the same."""
    recorded = select_batch(platform, provider)
    totals, matches = plan.totals, plan.matches
    return {
        "file": {
            "lines": totals.lines,
            "invoices": totals.invoices,
            "sales": totals.sales,
            "cancellations": totals.cancellations,
            "net": write_money(totals.net),
            "cancelled": write_money(totals.cancelled),
        },
        "platform": {
            "orders": len(platform.orders),
            "order_lines": platform.order_lines,
            "captured": _minor(platform.captured),
            "refunded": _minor(platform.refunded),
            "price_difference": _minor(platform.price_difference),
            "write_offs": platform.write_offs,
            "adjustments": _minor(platform.adjustments),
        },
        "provider": {
            "captured": _minor(sum(line.captured for line in recorded)),
            "refunded": _minor(sum(line.refunded for line in recorded)),
        },
        "cancellation_lines": {"whole": matches.whole, "part": matches.part, "none": matches.none},
        "unmatched": {"lines": platform.unmatched_lines, "value": _minor(platform.unmatched_value)},
        "rounding": write_money(plan.rounding),
        "rejected": {"rows": len(plan.rejections)},
        "tasks": {"run": work.run, "failed": work.failed, "open": work.open},
        "mails": work.mails[MessageStatus.SENT],
        "difference": write_money(reconciliation.difference),
        "seconds": round(pace.seconds, 1),
        "orders_per_second": pace.per_second(pace.orders),
        "tasks_per_second": pace.per_second(pace.tasks),
        "steps": [[step.name, write_money(step.amount)] for step in reconciliation.steps],
        "comparisons": [_describe(comparison) for comparison in reconciliation.comparisons],
        "rejections": [
            [rejection.line_number, rejection.reason, "" if rejection.value is None else write_money(rejection.value)]
            for rejection in plan.rejections[:LISTED]
        ],
        "differing": [*trouble, *reconciliation.differing_orders][:LISTED],
    }


def select_object(report: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `--json` prints of a stored report."""
    return {key: report[key] for key in KEYS}


def print_tables(report: Mapping[str, Any], *, console: Console) -> None:
    """Print the reconciliation; the last line is the difference, and the line above it says when a figure differs."""
    console.print(_table_of_steps(report))
    console.print(_table_of_comparisons(report["comparisons"]))
    rejected = [f"line {line}: {reason}{value and f' ({value})'}" for line, reason, value in report["rejections"]]
    _print_list(console, f"Rejected rows: {report['rejected']['rows']}", rejected)
    _print_list(console, "Stuck or differing:", report["differing"])
    pace = f"{report['seconds']} s, {report['orders_per_second']} orders/s, {report['tasks_per_second']} tasks/s"
    tasks = report["tasks"]
    console.print(
        f"{report['mails']} mails; tasks: {tasks['run']} run, {tasks['failed']} failed, {tasks['open']} open; {pace}",
        highlight=False,
        soft_wrap=True,
    )
    differing = describe_difference(report)
    if differing:
        console.print(f"NOT RECONCILED: {differing}", highlight=False, style="bold red")
    console.print(f"difference {report['difference']}", highlight=False)


def _minor(amount: int) -> str:
    return write_money(to_decimal(amount, CURRENCY))


def _describe(comparison: Comparison) -> list[str]:
    def write(value: Decimal) -> str:
        return write_money(value) if comparison.unit is Unit.MONEY else f"{int(value)}"

    return [
        comparison.name,
        f"{comparison.first} / {comparison.second}",
        write(comparison.expected),
        write(comparison.found),
        write(comparison.difference),
    ]


def _table_of_steps(report: Mapping[str, Any]) -> Table:
    file = report["file"]
    table = Table(title=f"{file['lines']} lines, {file['invoices']} invoices", title_justify="left", show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for name, amount in report["steps"]:
        table.add_row(name, amount)
    table.add_section()
    table.add_row("net of the file", file["net"])
    return table


def _table_of_comparisons(rows: Sequence[Sequence[str]]) -> Table:
    table = Table("figure", "first / second")
    for heading in ("first", "second", "difference"):
        table.add_column(heading, justify="right")
    for row in rows:
        wrong = row[-1] not in NOTHING
        table.add_row(*row, style="bold red" if wrong else None)
    return table


def _print_list(console: Console, title: str, lines: Sequence[str]) -> None:
    if not lines:
        return
    console.print(title, highlight=False)
    for line in lines:
        console.print(f"  {line}", highlight=False, markup=False, soft_wrap=True)
