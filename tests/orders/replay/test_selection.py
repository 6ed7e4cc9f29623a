"""Rows that fit neither their invoice nor the platform are rejected before anything is sent."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
from rest_framework.serializers import DecimalField

from myproject.sandbox.money import format_amount, parse_amount
from orders.actions.importing import LARGEST_MINOR
from orders.api import imports
from orders.replay import plan as planning
from orders.replay import reader
from orders.replay.plan import BatchPlan, plan_batch
from orders.replay.reader import read_file
from orders.replay.selection import LARGEST_AMOUNT, MAX_LINES
from tests.orders.replay.files import DAY, write_retail_file


def plan_lines(folder: Path, *lines: str) -> BatchPlan:
    return plan_batch(file=read_file(write_retail_file(folder / "rows.csv", *lines)))


def name_rejections(plan: BatchPlan) -> list[tuple[int, str]]:
    return [(rejection.line_number, rejection.reason) for rejection in plan.rejections]


def test_the_limits_are_those_of_the_platform_and_of_the_provider() -> None:
    price = imports.OrderLineInputSerializer().fields["unit_price"]

    assert parse_amount(format_amount(LARGEST_AMOUNT)) == LARGEST_AMOUNT
    assert parse_amount(format_amount(LARGEST_AMOUNT + 1)) is None
    assert LARGEST_AMOUNT <= LARGEST_MINOR
    assert MAX_LINES == imports.MAX_LINES
    assert reader.MAX_QUANTITY == imports.MAX_UNITS
    assert price.run_validation(str(reader.MAX_UNIT_PRICE)) == reader.MAX_UNIT_PRICE
    assert isinstance(price, DecimalField)
    assert price.decimal_places == reader.PRICE_DECIMALS


def test_a_row_above_the_largest_amount_is_rejected_and_one_below_is_not(tmp_path: Path) -> None:
    plan = plan_lines(
        tmp_path,
        f"1,X,,1000,{DAY},9999999.9999,a,",  # 9,999,999,999.90
        f"2,X,,1001,{DAY},9999999.9999,a,",
        f"C3,X,,-10000000,{DAY},1000,a,",
        f"A4,B,,1,{DAY},5,,",
        f"A4,B,,-10000000,{DAY},1000,,",
    )

    assert name_rejections(plan) == [(line, "amount is above 9999999999.99") for line in (3, 4, 6)]
    assert [rejection.value for rejection in plan.rejections][1] == Decimal(-10_000_000_000)
    assert [sale.total for sale in plan.sales] == [999_999_999_990]
    assert plan.cancellations == ()
    assert [adjustment.amount for adjustment in plan.adjustments] == [500]


def test_every_row_of_a_sale_whose_total_is_too_large_is_rejected(tmp_path: Path) -> None:
    plan = plan_lines(
        tmp_path,
        f"1,X,,1000,{DAY},5000000,a,",
        f"2,X,,1,{DAY},1,a,",
        f"1,Y,,1000,{DAY},5000000,a,",
    )

    assert name_rejections(plan) == [(line, "the total of sale 1 is above 9999999999.99") for line in (2, 4)]
    assert [sale.number for sale in plan.sales] == ["2"]


def test_every_row_of_a_sale_with_too_many_lines_is_rejected(tmp_path: Path) -> None:
    rows = [f"1,X,,1,{DAY},1,a,"] * MAX_LINES
    longest = plan_lines(tmp_path, *rows)
    too_long = plan_lines(tmp_path, *rows, f"1,X,,1,{DAY},1,a,", f"2,X,,1,{DAY},1,a,")

    assert longest.rejections == ()
    assert len(too_long.rejections) == MAX_LINES + 1
    assert {rejection.reason for rejection in too_long.rejections} == {"sale 1 has more than 5000 lines"}
    assert [sale.number for sale in too_long.sales] == ["2"]


def test_a_cancellation_of_too_many_pieces_is_rejected_and_leaves_its_sales_to_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planning, "MAX_LINES", 3)
    plan = plan_lines(
        tmp_path,
        *[f"{number},X,,1,{DAY},1,a," for number in range(4)],
        f"C8,X,,-4,{DAY},1,a,",  # one row, four orders
        f"C9,X,,-1,{DAY},1,a,",
    )

    assert name_rejections(plan) == [(6, "cancellation C8 has more than 3 lines")]
    assert [(document.number, document.orders) for document in plan.cancellations] == [("C9", ("3",))]


@pytest.mark.parametrize(
    ("customers", "chosen", "rejected"),
    [
        (("typo", "b", "b"), "b", [2]),
        (("b", "typo", "b"), "b", [3]),
        (("a", "b"), "a", [3]),
        (("", "b", "b"), "b", [2]),
    ],
)
def test_most_rows_of_an_invoice_decide_its_customer(
    tmp_path: Path, customers: tuple[str, ...], chosen: str, rejected: list[int]
) -> None:
    plan = plan_lines(tmp_path, *[f"1,X,,1,{DAY},1,{customer}," for customer in customers])

    assert [sale.customer for sale in plan.sales] == [chosen]
    assert name_rejections(plan) == [(line, "customer is not that of most rows of invoice 1") for line in rejected]


def test_a_row_that_is_rejected_for_its_signs_has_no_say_in_the_customer(tmp_path: Path) -> None:
    plan = plan_lines(tmp_path, f"1,X,,-1,{DAY},1,a,", f"1,X,,-1,{DAY},1,a,", f"1,X,,1,{DAY},1,b,")

    assert [sale.customer for sale in plan.sales] == ["b"]
