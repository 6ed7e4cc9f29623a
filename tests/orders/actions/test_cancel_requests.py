from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from myproject.errors import InvalidInput
from notifications.models import Message
from orders.actions.cancel_requests import CancelledLine, UnmatchedData, import_cancellation, request_cancellation
from orders.actions.customers import CustomerData
from orders.actions.taking_back import find_paid_shares
from orders.errors import LineInvalid, NothingToCancel, OrderDiffers, OrderNotFound
from orders.models import (
    Cancellation,
    CancellationLine,
    CancellationRequest,
    OrderEvent,
    PriceDifference,
    UnmatchedLine,
)
from tests.orders.factories import FEED, NOW, bring_order, line, make_variant

pytestmark = pytest.mark.django_db


def back(order: str = "536365", line_number: int = 1, quantity: int = 2, price: str = "2.55") -> CancelledLine:
    return CancelledLine(order_number=order, line_number=line_number, quantity=quantity, unit_price=Decimal(price))


def bring(*lines: CancelledLine, number: str = "C536379", **changes):
    values: dict[str, Any] = {
        "source": FEED,
        "number": number,
        "customer_reference": "17850",
        "currency": "GBP",
        "reason": "",
        "lines": lines,
        "unmatched": (),
        "requested_at": NOW,
        "actor": "user:7",
        "now": NOW,
    }
    return import_cancellation(**(values | changes))


def nothing_was_written() -> bool:
    return not any(
        model.objects.exists()
        for model in (CancellationRequest, Cancellation, CancellationLine, PriceDifference, UnmatchedLine)
    )


def test_a_document_takes_units_back_from_several_orders(sent):
    make_variant()
    first, second = bring_order(number="1"), bring_order(number="2")

    request, created = bring(back("2"), back("1", quantity=1), back("2", quantity=1))

    assert created
    assert (request.open_parts, request.customer_id, request.completed_at) == (2, first.customer_id, None)
    parts = {part.order_id: part for part in request.parts.all()}
    assert {pk: part.status for pk, part in parts.items()} == {first.pk: "requested", second.pk: "requested"}
    lines = parts[second.pk].lines.order_by("number").values_list("number", "quantity", "amount_minor")
    assert list(lines) == [(1, 2, 510), (2, 1, 255)]
    second.refresh_from_db()
    order_line = second.lines.get()
    assert (second.cancelled_minor, order_line.cancelled_quantity, order_line.cancelled_minor) == (765, 3, 765)
    assert second.version == 2
    assert second.events.get(kind="cancellation.requested").data == {"request": "C536379", "units": 3}
    assert sent() == [
        ("orders.tasks.process_order_cancellation", first.pk),
        ("orders.tasks.process_order_cancellation", second.pk),
    ]


def test_the_difference_between_the_documents_price_and_the_price_paid_is_kept():
    make_variant()
    bring_order(number="1")
    bring_order(number="2")
    bring_order(number="3")

    bring(back("1", price="3.00"), back("2", price="2.00"), back("3", price="2.55"))

    rows = PriceDifference.objects.order_by("pk").values_list("cancellation_line__credited_minor", "amount_minor")
    assert list(rows) == [(600, 90), (400, -110)]


def test_what_no_order_covers_is_kept_beside_the_parts():
    make_variant()
    bring_order()
    unmatched = UnmatchedData(sku="22633", description="HAND WARMER", quantity=3, unit_price=Decimal("0.335"))

    request, _ = bring(back(), unmatched=[unmatched])

    row = request.unmatched_lines.get()
    assert (row.number, row.sku, row.quantity, row.unit_price, row.amount_minor) == (
        1, "22633", 3, Decimal("0.335"), 101,
    )  # fmt: skip


def test_a_document_that_nothing_covers_is_complete_at_once_and_its_customer_is_told(sent):
    make_variant()
    bring_order()
    unmatched = UnmatchedData(sku="D", description="Discount", quantity=1, unit_price=Decimal("27.5"))

    request, _ = bring(number="C1", unmatched=[unmatched])

    assert (request.open_parts, request.completed_at) == (0, NOW)
    message = Message.objects.get()
    assert (message.business_event, message.recipient) == ("cancellation-completed:feed:C1", "c17850@example.com")
    assert (message.context["refunded"], message.context["unmatched"]) == ("0.00", "27.50")
    assert sent() == [("notifications.tasks.deliver_message", message.pk)]


def test_a_document_of_a_customer_who_never_ordered_here_is_kept_and_nobody_is_told(sent):
    unmatched = UnmatchedData(sku="D", description="", quantity=1, unit_price=Decimal("27.5"))

    request, _ = bring(unmatched=[unmatched], customer_reference="12346")

    assert (request.customer, request.completed_at) == (None, NOW)
    assert (Message.objects.count(), sent()) == (0, [])


def test_a_guests_document_reaches_guests_orders_only():
    make_variant()
    bring_order(number="1", customer=None)
    bring_order(number="2")

    assert bring(back("1"), number="C1", customer_reference="")[0].customer is None
    with pytest.raises(LineInvalid) as refused:
        bring(back("1"), back("2"), number="C2", customer_reference="")

    assert refused.value.field == "lines[1].order"
    assert CancellationRequest.objects.count() == 1


def test_the_same_document_again_changes_nothing(sent):
    make_variant()
    order = bring_order()
    first, _ = bring(back())
    events, tasks = OrderEvent.objects.count(), len(sent())

    second, created = bring(back(), actor="user:8")

    assert (second.pk, created) == (first.pk, False)
    assert (order.lines.get().cancelled_quantity, OrderEvent.objects.count(), len(sent())) == (2, events, tasks)


@pytest.mark.parametrize(
    "changes",
    [
        {"lines": (back(quantity=1),)},
        {"lines": (back(price="2.50"),)},
        {"lines": (back(), back())},
        {"unmatched": (UnmatchedData(sku="D", description="", quantity=1, unit_price=Decimal(1)),)},
    ],
)
def test_another_document_under_a_known_number_is_refused(changes):
    make_variant()
    order = bring_order()
    bring(back())

    with pytest.raises(OrderDiffers):
        bring(**({"lines": (back(),)} | changes))

    assert (order.lines.get().cancelled_quantity, CancellationLine.objects.count()) == (2, 1)


@pytest.mark.parametrize(
    ("lines", "changes", "field"),
    [
        ((back(quantity=7),), {}, "lines[0].quantity"),
        ((back(quantity=4), back(quantity=3)), {}, "lines[1].quantity"),
        ((back(), back(line_number=9)), {}, "lines[1].line"),
        ((back(), back("404")), {}, "lines[1].order"),
        ((back(),), {"currency": "EUR"}, "lines[0].order"),
        ((back(),), {"customer_reference": "17851"}, "lines[0].order"),
        ((back(),), {"source": "web"}, "source"),
        ((back(),), {"source": "excess"}, "source"),
        ((back(),), {"source": "Excess"}, "source"),
        ((), {}, "lines"),
    ],
)
def test_a_line_that_cannot_be_taken_back_is_named_and_nothing_is_written(lines, changes, field, sent):
    make_variant()
    order = bring_order()

    with pytest.raises((LineInvalid, NothingToCancel, InvalidInput)) as refused:
        bring(**({"lines": lines} | changes))

    assert refused.value.fields["field"] == field
    assert nothing_was_written()
    order.refresh_from_db()
    assert (order.cancelled_minor, order.lines.get().cancelled_quantity) == (0, 0)
    assert sent() == []


def test_units_of_a_line_that_does_not_divide_evenly_add_up_to_its_total():
    make_variant()
    order = bring_order(line(quantity=3, unit_price=Decimal("0.3333")))  # 1.00 for three

    for number in range(3):
        bring(back(quantity=1, price="0.3333"), number=f"C{number}")

    amounts = list(CancellationLine.objects.order_by("pk").values_list("amount_minor", flat=True))
    assert (sorted(amounts), sum(amounts)) == ([33, 33, 34], 100)
    order.refresh_from_db()
    assert order.cancelled_minor == order.total_minor == 100


def test_a_discount_is_divided_over_what_was_paid_so_that_all_units_are_worth_the_total():
    make_variant()
    order = bring_order(
        line(1, quantity=2, unit_price=Decimal("10")),
        line(2, quantity=1, unit_price=Decimal("5")),
        line(3, kind="discount", sku="D", quantity=1, unit_price=Decimal("-3")),
    )

    assert find_paid_shares(list(order.lines.all())) == {1: 1760, 2: 440, 3: 0}
    request_cancellation(order_id=order.pk, lines={1: 1}, reason="", actor="user:1", now=NOW)
    request_cancellation(order_id=order.pk, lines=None, reason="", actor="user:1", now=NOW)

    order.refresh_from_db()
    assert order.cancelled_minor == order.total_minor == 2200
    assert list(CancellationLine.objects.order_by("pk").values_list("amount_minor", flat=True)) == [880, 880, 440, 0]


def test_a_customer_cancels_some_units_and_then_all_that_is_left(sent):
    make_variant()
    order = bring_order(line(), line(2, quantity=1))

    some = request_cancellation(order_id=order.pk, lines={1: 4}, reason="too many", actor="user:3", now=NOW)
    rest = request_cancellation(order_id=order.pk, lines=None, reason="", actor="user:3", now=NOW)

    assert some.pk != rest.pk
    assert (some.source, some.reason, some.customer_id) == ("web", "too many", order.customer_id)
    taken = CancellationLine.objects.filter(cancellation__request=rest).order_by("number")
    assert list(taken.values_list("order_line__number", "quantity")) == [(1, 2), (2, 1)]
    assert sent() == [("orders.tasks.process_order_cancellation", order.pk)] * 2


@pytest.mark.parametrize("lines", [{1: 2}, None])
def test_a_double_click_makes_one_request(lines):
    make_variant()
    order = bring_order()
    first = request_cancellation(order_id=order.pk, lines=lines, reason="", actor="user:3", now=NOW)

    second = request_cancellation(
        order_id=order.pk, lines=lines, reason="", actor="user:3", now=NOW + timedelta(seconds=1)
    )

    assert second.pk == first.pk
    assert (CancellationRequest.objects.count(), CancellationLine.objects.count()) == (1, 1)


def test_the_same_wish_after_the_first_was_carried_out_is_a_new_one():
    make_variant()
    order = bring_order()
    first = request_cancellation(order_id=order.pk, lines={1: 2}, reason="", actor="user:3", now=NOW)
    CancellationRequest.objects.update(completed_at=NOW, open_parts=0)

    second = request_cancellation(
        order_id=order.pk, lines={1: 2}, reason="", actor="user:3", now=NOW + timedelta(minutes=2)
    )

    assert second.pk != first.pk
    assert order.lines.get().cancelled_quantity == 4


def test_more_units_than_are_left_are_refused():
    make_variant()
    order = bring_order()

    with pytest.raises(NothingToCancel) as refused:
        request_cancellation(order_id=order.pk, lines={1: 7}, reason="", actor="user:3", now=NOW)

    assert refused.value.fields["field"] == "lines[0].quantity"
    assert nothing_was_written()


def test_an_order_of_which_nothing_is_left_cannot_be_cancelled_again():
    make_variant()
    order = bring_order()
    bring(back(quantity=6))

    with pytest.raises(NothingToCancel):
        request_cancellation(order_id=order.pk, lines=None, reason="", actor="user:3", now=NOW)

    assert CancellationRequest.objects.count() == 1


def test_an_order_that_does_not_exist_is_not_found():
    with pytest.raises(OrderNotFound):
        request_cancellation(order_id=404, lines=None, reason="", actor="user:3", now=NOW)


def test_no_line_named_is_refused():
    make_variant()
    order = bring_order()

    with pytest.raises(InvalidInput):
        request_cancellation(order_id=order.pk, lines={}, reason="", actor="user:3", now=NOW)

    assert nothing_was_written()


def test_the_number_of_statements_does_not_depend_on_the_number_of_lines():
    make_variant()
    guest = CustomerData()
    counts = []
    for lines in (2, 40):
        bring_order(*[line(number) for number in range(1, lines + 1)], number=f"o{lines}", customer=guest)
        taken = [back(f"o{lines}", number, price="3") for number in range(1, lines + 1)]
        with CaptureQueriesContext(connection) as queries:
            bring(*taken, number=f"C{lines}", customer_reference="")
        counts.append(len(queries))

    assert counts[0] == counts[1], [query["sql"][:90] for query in queries]


@pytest.mark.mariadb
def test_orders_are_locked_by_primary_key_whatever_order_the_document_names_them_in():
    make_variant()
    for number in ("3", "1", "2"):
        bring_order(number=number)

    with CaptureQueriesContext(connection) as queries:
        bring(back("1"), back("2"), back("3"))

    locks = [query["sql"] for query in queries if query["sql"].endswith("FOR UPDATE")]
    assert len(locks) == 1
    assert "`orders_order`.`id` IN (" in locks[0] and "ORDER BY `orders_order`.`id` ASC" in locks[0]
