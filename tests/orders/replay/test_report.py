"""The object for programs and the table for people say the same."""

from __future__ import annotations

import io
import json
from decimal import Decimal
from typing import Any

import pytest
from rich.console import Console

from orders.replay.report import print_tables, select_object, write_money
from tests.orders.replay.files import MUTATED_FIGURES


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        ("0", "0.00"),
        ("12.5", "12.50"),
        ("1308957.28", "1308957.28"),
        ("9747747.9340", "9747747.934"),
        ("-206153.420", "-206153.42"),
        ("1E+3", "1000.00"),
    ],
)
def test_money_is_written_with_at_least_two_decimals(amount: str, text: str) -> None:
    assert write_money(Decimal(amount)) == text


def test_the_object_has_just_the_keys_of_the_contract(report: dict[str, Any]) -> None:
    stored = json.loads(json.dumps(report))  # as the database gives it back

    assert select_object(stored) == {
        **MUTATED_FIGURES,
        "seconds": 2.0,
        "orders_per_second": 3.5,
        "tasks_per_second": 16.0,
    }


def test_the_table_ends_with_the_difference(report: dict[str, Any]) -> None:
    page = io.StringIO()

    print_tables(report, console=Console(file=page, width=140))

    lines = page.getvalue().rstrip().splitlines()
    assert lines[-1] == "difference 0.00"
    assert not any("NOT RECONCILED" in line for line in lines)
    assert any("captured for orders" in line and "108.87" in line for line in lines)
    assert any("line 19: quantity is not a whole number: '2.5'" in line for line in lines)


@pytest.mark.parametrize(
    ("comparisons", "differing", "line"),
    [
        (2, ["order 1: not on the platform"], "NOT RECONCILED: 2 figures differ"),
        (1, [], "NOT RECONCILED: 1 figure differs"),
        (0, ["invoice 1 was refused: 422"], "NOT RECONCILED: 1 order or invoice is stuck"),
    ],
)
def test_the_table_says_in_words_that_figures_differ(
    report: dict[str, Any], comparisons: int, differing: list[str], line: str
) -> None:
    page = io.StringIO()
    for number in range(comparisons):
        report["comparisons"][number][-1] = "1"

    print_tables(report | {"differing": differing}, console=Console(file=page, width=140))

    assert page.getvalue().rstrip().splitlines()[-2:] == [line, "difference 0.00"]
