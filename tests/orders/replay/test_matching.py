"""Which sale a cancellation takes back: the rule, word for word, and against a slow reading of it."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from orders.replay.matching import match_cancellations
from orders.replay.reader import RetailRow


def make_rows(*specs: tuple[str, str, str, int]) -> list[RetailRow]:
    """Rows from (invoice, customer, code, quantity), numbered as in a file."""
    return [
        RetailRow(
            line_number=line_number,
            invoice=invoice,
            stock_code=code,
            description="",
            quantity=quantity,
            invoiced_at=datetime(2011, 2, 1, tzinfo=UTC),
            unit_price=Decimal("1.00"),
            customer=customer,
            country="",
        )
        for line_number, (invoice, customer, code, quantity) in enumerate(specs, start=2)
    ]


def takes(rows: list[RetailRow]) -> list[list[tuple[int, int]]]:
    """Per cancellation line: (line of the sale, units)."""
    return [[(take.sale.line_number, take.units) for take in match.takes] for match in match_cancellations(rows)]


def test_the_line_that_stands_last_is_taken_first_until_the_quantity_is_covered() -> None:
    rows = make_rows(("1", "a", "X", 5), ("2", "a", "X", 3), ("C3", "a", "X", -4))

    assert takes(rows) == [[(3, 3), (2, 1)]]


def test_a_later_cancellation_finds_only_what_is_left() -> None:
    rows = make_rows(("1", "a", "X", 5), ("C2", "a", "X", -4), ("3", "a", "X", 1), ("C4", "a", "X", -9))

    assert takes(rows) == [[(2, 4)], [(4, 1), (2, 1)]]
    assert [(match.cancelled, match.covered, match.uncovered) for match in match_cancellations(rows)] == [
        (4, 4, 0),
        (9, 2, 7),
    ]


def test_a_sale_that_stands_later_covers_nothing() -> None:
    assert takes(make_rows(("C1", "a", "X", -1), ("2", "a", "X", 1))) == [[]]


def test_customers_are_kept_apart_and_guests_are_one() -> None:
    rows = make_rows(
        ("1", "a", "X", 1), ("2", "", "X", 1), ("3", "", "X", 1), ("C4", "b", "X", -1), ("C5", "", "X", -2)
    )

    assert takes(rows) == [[], [(4, 1), (3, 1)]]


def test_codes_that_differ_in_case_are_kept_apart() -> None:
    rows = make_rows(("1", "a", "x", 1), ("C2", "a", "X", -1), ("C3", "a", "x", -1))

    assert takes(rows) == [[], [(2, 1)]]


def test_adjustments_write_offs_and_discounts_cover_nothing() -> None:
    rows = make_rows(("A1", "a", "X", 1), ("2", "a", "X", -1), ("C3", "a", "X", -1))

    assert takes(rows) == [[]]


line_specs = st.lists(
    st.tuples(
        st.sampled_from(["1", "2", "C3", "C4", "A5"]),
        st.sampled_from(["", "a"]),
        st.sampled_from(["X", "x"]),
        st.integers(min_value=1, max_value=6),
    ).map(lambda spec: (*spec[:3], -spec[3] if spec[0].startswith("C") else spec[3])),
    max_size=30,
)


@given(line_specs)
def test_it_equals_a_slow_reading_of_the_rule(specs: list[tuple[str, str, str, int]]) -> None:
    rows = make_rows(*specs)
    left = {row.line_number: row.quantity for row in rows if row.invoice in ("1", "2")}
    expected: list[list[tuple[int, int]]] = []
    for cancellation in rows:
        if not cancellation.invoice.startswith("C"):
            continue
        wanted, found = -cancellation.quantity, []
        for sale in reversed(rows):
            fits = (sale.customer, sale.stock_code) == (cancellation.customer, cancellation.stock_code)
            if sale.line_number < cancellation.line_number and fits and wanted and left.get(sale.line_number):
                units = min(wanted, left[sale.line_number])
                left[sale.line_number] -= units
                wanted -= units
                found.append((sale.line_number, units))
        expected.append(found)

    assert takes(rows) == expected


@given(line_specs)
def test_no_sale_gives_back_more_than_it_sold(specs: list[tuple[str, str, str, int]]) -> None:
    rows = make_rows(*specs)
    given_back: dict[int, int] = {}
    for match in match_cancellations(rows):
        assert 0 <= match.covered <= match.cancelled
        for take in match.takes:
            assert take.units > 0
            given_back[take.sale.line_number] = given_back.get(take.sale.line_number, 0) + take.units

    assert all(given_back.get(row.line_number, 0) <= row.quantity for row in rows if row.quantity > 0)
