from __future__ import annotations

import pytest

from orders.actions.adjustments import record_adjustment
from orders.errors import OrderDiffers
from orders.models import FinancialAdjustment, LedgerEntry
from tests.orders.factories import FEED, NOW

pytestmark = pytest.mark.django_db


def record(**changes):
    values = {
        "source": FEED, "number": "A563185", "line": 1, "description": "Adjust bad debt", "amount_minor": 1106206,
        "currency": "GBP", "occurred_at": NOW, "actor": "test", "now": NOW,
    }  # fmt: skip
    return record_adjustment(**(values | changes))


@pytest.mark.parametrize("amount", [1106206, -1106206])
def test_an_adjustment_is_booked_with_its_sign(amount):
    row, created = record(amount_minor=amount)

    assert (created, row.amount_minor) == (True, amount)
    entries = LedgerEntry.objects.order_by("leg").values_list("account", "amount_minor", "transaction__operation_key")
    key = "adjustment:feed:A563185:1"
    assert list(entries) == [("receivables", amount, key), ("bad_debt", -amount, key)]


def test_the_same_line_again_changes_nothing():
    first, _ = record()

    second, created = record()

    assert (second.pk, created) == (first.pk, False)
    assert (FinancialAdjustment.objects.count(), LedgerEntry.objects.count()) == (1, 2)


def test_another_amount_under_a_known_number_is_refused():
    record()

    with pytest.raises(OrderDiffers):
        record(amount_minor=1)

    assert FinancialAdjustment.objects.get().amount_minor == 1106206
    assert LedgerEntry.objects.count() == 2


def test_an_adjustment_of_nothing_is_kept_and_books_nothing():
    assert record(amount_minor=0)[1]

    assert (FinancialAdjustment.objects.count(), LedgerEntry.objects.count()) == (1, 0)
