from __future__ import annotations

from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from myproject.errors import InvalidInput
from myproject.money import MoneyError
from orders.actions.customers import CustomerData
from orders.actions.importing import import_order
from orders.errors import LineInvalid, OrderDiffers
from orders.models import Customer, Order, OrderEvent, OrderLine
from tests.orders.factories import FEED, NOW, PLACED, bring_order, line, make_variant
from tests.orders.threads import in_threads

pytestmark = pytest.mark.django_db


def given(*lines, **changes):
    values = {
        "source": FEED,
        "number": "536365",
        "customer": CustomerData(reference="17850", email="c17850@example.com"),
        "currency": "GBP",
        "placed_at": PLACED,
        "lines": lines or (line(),),
        "actor": "user:7",
        "now": NOW,
    }
    return values | changes


def test_an_order_is_taken_over_with_its_lines_and_waits_for_payment(sent):
    variant = make_variant()
    make_variant("22633")

    order, created = import_order(
        **given(
            line(),
            line(2, sku="22633", quantity=3, unit_price=Decimal("0.335")),
            line(3, kind="discount", sku="D", quantity=1, unit_price=Decimal("-2.00")),
            line(4, kind="postage", sku="POST", quantity=1, unit_price=Decimal("18.00")),
        )
    )

    assert created
    assert (order.status, order.total_minor, order.currency) == ("pending_payment", 1530 + 101 - 200 + 1800, "GBP")
    lines = list(order.lines.values_list("number", "kind", "sku", "variant_id", "quantity", "total_minor"))
    assert lines[0] == (1, "goods", "85123A", variant.pk, 6, 1530)
    assert [total for *_, total in lines] == [1530, 101, -200, 1800]
    assert [variant_id for *_, variant_id, _, _ in lines[2:]] == [None, None]
    assert sent() == []


def test_an_import_is_audited_with_who_and_under_which_request():
    make_variant()

    order, _ = import_order(**given(request_id="r-1"))

    event = order.events.get()
    assert (event.kind, event.actor, event.data) == ("order.imported", "user:7", {"lines": 1, "request_id": "r-1"})


def test_the_same_order_again_changes_nothing():
    make_variant()
    first, _ = import_order(**given())

    second, created = import_order(**given(actor="user:8"))

    assert (second.pk, created) == (first.pk, False)
    assert (Order.objects.count(), OrderLine.objects.count(), OrderEvent.objects.count()) == (1, 1, 1)


@pytest.mark.parametrize(
    ("changes", "differing"),
    [
        ({"currency": "EUR"}, "currency"),
        ({"placed_at": NOW}, "placed_at"),
        ({"customer": CustomerData(reference="17851")}, "customer"),
        ({"customer": None}, "customer"),
        ({"lines": (line(quantity=5),)}, "lines"),
        ({"lines": (line(description="something else"),)}, "lines"),
        ({"lines": (line(), line(2))}, "lines"),
    ],
)
def test_another_order_under_a_known_number_is_refused(changes, differing):
    make_variant()
    order, _ = import_order(**given())

    with pytest.raises(OrderDiffers) as refused:
        import_order(**given(**changes))

    assert refused.value.fields["field"] == differing
    order.refresh_from_db()
    assert (order.currency, order.total_minor, order.lines.count(), order.events.count()) == ("GBP", 1530, 1, 1)


def test_numbers_that_differ_in_case_are_two_orders():
    make_variant()

    upper, _ = import_order(**given(number="W1A"))
    lower, _ = import_order(**given(number="W1a"))

    assert upper.pk != lower.pk


def test_codes_that_differ_in_case_are_two_articles():
    upper, lower = make_variant("85123A"), make_variant("85123a")

    order, _ = import_order(**given(line(), line(2, sku="85123a")))

    assert list(order.lines.values_list("variant_id", flat=True)) == [upper.pk, lower.pk]


def test_an_order_that_costs_nothing_is_paid_at_once_and_processed(sent):
    make_variant()

    order, _ = import_order(**given(line(kind="gift", unit_price=Decimal(0))))

    assert (order.status, order.paid_at) == ("paid", NOW)
    assert sent() == [("orders.tasks.process_order", order.pk)]


def test_customers_of_a_feed_are_made_once_and_guests_each_their_own():
    make_variant()
    known = CustomerData(reference="17850", email="c17850@example.com")

    first = bring_order(number="1", customer=known)
    second = bring_order(number="2", customer=known)
    guest = bring_order(number="3", customer=None)
    other_guest = bring_order(number="4", customer=CustomerData(country="France"))

    assert first.customer_id == second.customer_id
    assert len({first.customer_id, guest.customer_id, other_guest.customer_id}) == 3
    assert guest.customer.is_guest and other_guest.customer.is_guest and not first.customer.is_guest


def test_what_is_known_of_a_customer_stays_and_what_is_missing_is_filled_in():
    make_variant()
    bring_order(number="1", customer=CustomerData(reference="17850", country="France"))

    bring_order(number="2", customer=CustomerData(reference="17850", country="Spain", email="c@example.com"))

    customer = Customer.objects.get(external_reference="17850")
    assert (customer.country, customer.email) == ("France", "c@example.com")


@pytest.mark.parametrize(
    ("lines", "field"),
    [
        ([line(), line(2, sku="unknown")], "lines[1].sku"),
        ([line(), line(1, description="twice")], "lines[1].number"),
        ([line(unit_price=Decimal("-1"))], "lines[0].unit_price"),
        ([line(kind="discount", unit_price=Decimal("1"))], "lines[0].unit_price"),
        ([line(kind="gift", unit_price=Decimal("1"))], "lines[0].unit_price"),
        ([line(kind="discount", sku="D", unit_price=Decimal("-1"))], "lines"),
        ([line(quantity=10_000_000, unit_price=Decimal("99999999")), line(2, quantity=1)], "lines"),
        ([], "lines"),
    ],
)
def test_a_line_that_cannot_be_taken_is_named_and_nothing_is_written(lines, field):
    make_variant()

    with pytest.raises((LineInvalid, InvalidInput)) as refused:
        import_order(**given(lines=lines))

    assert refused.value.field == field
    assert (Order.objects.count(), Customer.objects.count(), OrderEvent.objects.count()) == (0, 0, 0)


@pytest.mark.parametrize("source", ["web", "Web", "excess", "EXCESS"])
def test_a_feed_cannot_bring_orders_of_the_shop_itself(source):
    make_variant()

    with pytest.raises(InvalidInput) as refused:
        import_order(**given(source=source))

    assert refused.value.field == "source"
    assert Order.objects.count() == 0


def test_an_unknown_currency_is_refused():
    make_variant()

    with pytest.raises(MoneyError, match=r"^currency: read 'JPY'"):
        import_order(**given(currency="JPY"))

    assert Order.objects.count() == 0


def test_the_number_of_statements_does_not_depend_on_the_number_of_lines():
    make_variant()
    bring_order(number="first")

    counts = []
    for lines in (2, 60):
        with CaptureQueriesContext(connection) as queries:
            bring_order(*[line(number) for number in range(1, lines + 1)], number=f"order {lines}")
        counts.append(len(queries))

    # order by number, articles, savepoint, customer, order, lines, event, release
    assert counts == [8, 8], [query["sql"][:90] for query in queries]


@pytest.mark.mariadb
@pytest.mark.django_db(transaction=True)
def test_the_same_order_and_customer_at_the_same_moment_are_made_once(sent):
    make_variant()
    made: list[tuple[int, bool]] = []

    def bring(number: str):
        def work() -> None:
            order, created = import_order(**given(number=number))
            made.append((order.pk, created))

        return work

    errors = in_threads(bring("1"), bring("1"), bring("2"), bring("2"))

    assert errors == []
    assert sorted(created for _, created in made) == [False, False, True, True]
    assert (Order.objects.count(), OrderLine.objects.count(), Customer.objects.count()) == (2, 2, 1)
    assert OrderEvent.objects.filter(kind="order.imported").count() == 2
