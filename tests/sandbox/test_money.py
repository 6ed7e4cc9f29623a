"""Decimal text to minor units and back."""

from decimal import Decimal

import pytest

from myproject.sandbox.money import format_amount, parse_amount, to_json_number


@pytest.mark.parametrize(
    ("value", "minor"),
    [("1", 100), ("1.5", 150), ("0.01", 1), ("9999999999.99", 999_999_999_999), (3, 300), (Decimal("2.50"), 250)],
)
def test_amount_is_read_as_minor_units(value: object, minor: int) -> None:
    assert parse_amount(value) == minor


@pytest.mark.parametrize("value", ["1.234", "", "-1", "+1", "1,5", "1e2", "١", "10000000000", True, None, 1.5, ["1"]])
def test_other_forms_are_no_amount(value: object) -> None:
    assert parse_amount(value) is None


@pytest.mark.parametrize(("minor", "text"), [(0, "0.00"), (5, "0.05"), (1999, "19.99"), (-5, "-0.05"), (-100, "-1.00")])
def test_amount_is_written_with_two_places(minor: int, text: str) -> None:
    assert format_amount(minor) == text


@pytest.mark.parametrize("minor", [1, 10, 1005, 130_895_728, 999_999_999_999])
def test_json_number_is_exact(minor: int) -> None:
    assert Decimal(repr(to_json_number(minor))) * 100 == minor
