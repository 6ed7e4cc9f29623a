"""What invoices and lines are, by number, code, price and sign."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from orders.models import LineKind
from orders.replay.classification import (
    InvoiceKind,
    classify_invoice,
    classify_line,
    find_sign_error,
    is_write_off,
)
from orders.replay.reader import RetailRow


def make_row(*, invoice: str = "700001", code: str = "85123A", quantity: int = 1, price: str = "1.00") -> RetailRow:
    return RetailRow(
        line_number=2,
        invoice=invoice,
        stock_code=code,
        description="",
        quantity=quantity,
        invoiced_at=datetime(2011, 2, 1, tzinfo=UTC),
        unit_price=Decimal(price),
        customer="",
        country="",
    )


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        ("536365", InvoiceKind.ORDINARY),
        ("C536379", InvoiceKind.CANCELLATION),
        ("A563185", InvoiceKind.ADJUSTMENT),
        ("c536379", InvoiceKind.ORDINARY),
    ],
)
def test_the_first_letter_says_what_an_invoice_is(number: str, kind: InvoiceKind) -> None:
    assert classify_invoice(number) is kind


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("85123A", LineKind.GOODS),
        ("DCGS0003", LineKind.GOODS),
        ("PADS", LineKind.GOODS),
        ("post", LineKind.GOODS),
        ("POST", LineKind.POSTAGE),
        ("DOT", LineKind.POSTAGE),
        ("C2", LineKind.POSTAGE),
        ("M", LineKind.FEE),
        ("m", LineKind.FEE),
        ("BANK CHARGES", LineKind.FEE),
        ("AMAZONFEE", LineKind.FEE),
        ("CRUK", LineKind.FEE),
        ("S", LineKind.FEE),
        ("B", LineKind.FEE),
        ("gift_0001_20", LineKind.VOUCHER),
        ("gift_0001_", LineKind.GOODS),
        ("D", LineKind.FEE),  # adds money, so it takes none off
    ],
)
def test_the_code_says_what_a_line_with_a_price_is(code: str, kind: LineKind) -> None:
    assert classify_line(make_row(code=code)) is kind


def test_a_discount_is_a_line_that_takes_money_off() -> None:
    assert classify_line(make_row(code="D", quantity=-1)) is LineKind.DISCOUNT


@pytest.mark.parametrize("code", ["85123A", "POST", "D"])
def test_what_costs_nothing_is_a_gift(code: str) -> None:
    assert classify_line(make_row(code=code, price="0.0")) is LineKind.GIFT


@pytest.mark.parametrize(("quantity", "price", "expected"), [(-1, "0", True), (1, "0", False), (-1, "0.01", False)])
def test_a_write_off_takes_units_away_at_price_zero(quantity: int, price: str, expected: bool) -> None:
    assert is_write_off(make_row(quantity=quantity, price=price)) is expected


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (make_row(), None),
        (make_row(quantity=0), "quantity is zero"),
        (make_row(invoice="A1", quantity=0), "quantity is zero"),
        (make_row(price="-0.01"), "unit price is negative outside an adjustment"),
        (make_row(invoice="C1", quantity=-1, price="-1"), "unit price is negative outside an adjustment"),
        (make_row(invoice="A1", price="-11062.06"), None),
        (make_row(invoice="A1", quantity=-1), None),
        (make_row(invoice="C1", quantity=1), "cancellation line with a positive quantity"),
        (make_row(invoice="C1", quantity=-1), None),
        (make_row(invoice="C1", quantity=-1, price="0"), None),
        (make_row(quantity=-1), "priced line with a negative quantity in an ordinary invoice"),
        (make_row(quantity=-1, price="0"), None),
        (make_row(code="D", quantity=-1), None),
    ],
)
def test_signs_that_contradict_the_invoice_are_named(row: RetailRow, reason: str | None) -> None:
    assert find_sign_error(row) == reason
