"""Amounts are exact: what is split adds up, what is read is never rounded in silence."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from myproject import money


@pytest.mark.parametrize(
    ("price", "quantity", "minor"),
    [("2.55", 6, 1530), ("0.001", 5, 1), ("0.001", 4, 0), ("0.125", 1, 13), ("-0.125", 1, -13), ("1.005", 3, 302)],
)
def test_a_line_is_rounded_once_half_away_from_zero(price, quantity, minor):
    assert money.line_total(Decimal(price), quantity, "GBP") == minor


@pytest.mark.parametrize("value", ["12.505", "abc", "NaN", "Infinity", "", None])
def test_an_amount_that_is_not_exact_is_refused_naming_the_field(value):
    with pytest.raises(money.MoneyError, match=r"^amount: "):
        money.parse_minor(value, "GBP", field="amount")


@pytest.mark.parametrize(
    ("value", "minor"), [("12.5", 1250), (12.5, 1250), (12, 1200), (Decimal("0.01"), 1), ("-3", -300)]
)
def test_amounts_are_read_from_text_and_numbers(value, minor):
    assert money.parse_minor(value, "GBP", field="amount") == minor


def test_an_unknown_currency_is_refused():
    with pytest.raises(money.MoneyError, match="currency"):
        money.format_minor(1, "XXX")


def test_amounts_are_written_with_the_currencys_decimals():
    assert [money.format_minor(minor, "GBP") for minor in (0, 1, -1, 123456)] == ["0.00", "0.01", "-0.01", "1234.56"]


@given(st.integers(-(10**12), 10**12), st.lists(st.integers(0, 10**6), min_size=1, max_size=30))
def test_an_allocation_adds_up_and_stays_within_one_unit_of_the_exact_share(total, weights):
    parts = money.allocate(total, weights)
    assert sum(parts) == total
    whole = sum(weights)
    if whole:
        assert all(abs(part * whole - total * weight) < whole for part, weight in zip(parts, weights, strict=True))


@given(st.integers(0, 10**9), st.integers(1, 500), st.data())
def test_partial_cancellations_of_a_line_add_up_to_what_was_paid(total, quantity, data):
    taken, amounts = 0, []
    while taken < quantity:
        count = data.draw(st.integers(1, quantity - taken))
        amounts.append(money.share_of_units(total, quantity, taken, count))
        taken += count
    assert sum(amounts) == total
    assert min(amounts) >= 0


@pytest.mark.parametrize(("first", "count"), [(0, 0), (-1, 1), (2, 2), (3, 1)])
def test_units_outside_of_a_line_are_refused(first, count):
    with pytest.raises(money.MoneyError):
        money.share_of_units(100, 3, first, count)
