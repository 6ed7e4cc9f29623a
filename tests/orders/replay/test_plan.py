"""What a file asks for, to the penny: the shipped file, a mutated one, and the division of paid totals."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orders.models import LineKind
from orders.replay.plan import BatchPlan, FileTotals, MatchTotals, plan_batch
from orders.replay.reader import read_file
from tests.orders.replay.files import DAY, SHIPPED, write_mutated_file, write_retail_file


@pytest.fixture(scope="module")
def shipped() -> BatchPlan:
    return plan_batch(file=read_file(SHIPPED))


@pytest.fixture
def mutated(tmp_path: Path) -> BatchPlan:
    return plan_batch(file=read_file(write_mutated_file(tmp_path / "mutated.csv")))


def test_the_shipped_file_has_the_known_totals(shipped: BatchPlan) -> None:
    assert shipped.totals == FileTotals(
        lines=77_628,
        invoices=3_501,
        sales=2_915,
        cancellations=586,
        net=Decimal("1308957.28"),
        cancelled=Decimal("-206153.42"),
    )
    assert shipped.rejections == ()
    assert shipped.adjustments == ()
    assert shipped.rounding == 0


def test_the_shipped_file_asks_for_the_known_orders(shipped: BatchPlan) -> None:
    assert len(shipped.sales) == 2_749
    assert len([sale for sale in shipped.sales if sale.total > 0]) == 2_645
    assert sum(sale.total for sale in shipped.sales) == 151_511_070
    assert max(len(sale.lines) for sale in shipped.sales) == 675
    assert len(shipped.write_offs) == 166
    gifts = [line for sale in shipped.sales for line in sale.lines if line.kind is LineKind.GIFT]
    assert len(gifts) + len(shipped.write_offs) == 413


def test_the_shipped_file_matches_as_known(shipped: BatchPlan) -> None:
    assert shipped.matches == MatchTotals(whole=821, part=15, none=593)
    assert sum(line.value for line in shipped.covered) == 11_336_123
    assert sum(line.refund for line in shipped.covered) == 11_286_177
    assert sum(line.value - line.refund for line in shipped.covered) == 49_946
    assert sum(line.value for line in shipped.uncovered) == 9_279_219


def test_the_shipped_file_has_the_known_refund_legs(shipped: BatchPlan) -> None:
    legs: dict[tuple[str, str], int] = {}
    for document in shipped.cancellations:
        for line in document.covered:
            legs[document.number, line.order] = legs.get((document.number, line.order), 0) + line.refund

    assert len([amount for amount in legs.values() if amount == 0]) == 1
    assert len([amount for amount in legs.values() if 0 < amount < 100]) == 2
    assert len([document for document in shipped.cancellations if len(document.orders) > 1]) == 38
    assert max(len(document.orders) for document in shipped.cancellations) == 8
    reached = [order for document in shipped.cancellations for order in document.orders]
    assert len([order for order in set(reached) if reached.count(order) > 1]) == 40


def test_the_mutated_file_has_its_totals(mutated: BatchPlan) -> None:
    # 12.50 + 10.00 + 5.00 + 0.003 + 8.00, 18.00, 2.345, 35.00, 17.02, 1.00 sold; 0.00 given;
    # 3.75 + 2.00, 6.00, 0.67, 3.015, 20.00 cancelled; -100.005 adjusted.
    assert mutated.totals == FileTotals(
        lines=38,
        invoices=16,
        sales=11,
        cancellations=5,
        net=Decimal("-26.572"),
        cancelled=Decimal("-35.435"),
    )
    # 0.003, -0.005 (2.345 booked as 2.35), 0.005 (-100.005 as -100.01), +0.005 (1.675 taken back as 1.68)
    assert mutated.rounding == Decimal("0.008")


def test_the_mutated_file_rejects_each_bad_row_with_its_reason(mutated: BatchPlan) -> None:
    assert [(rejection.line_number, rejection.reason) for rejection in mutated.rejections] == [
        (19, "quantity is not a whole number: '2.5'"),
        (20, "unit price is not a number: 'cheap'"),
        (21, "invoice date does not exist: '2011-02-30 09:00:00'"),
        (22, "invoice number is missing"),
        (23, "stock code is missing"),
        (24, "7 columns instead of 8"),
        (25, "quantity is zero"),
        (26, "unit price is negative outside an adjustment"),
        (27, "cancellation line with a positive quantity"),
        (28, "priced line with a negative quantity in an ordinary invoice"),
        (29, "customer is not that of most rows of invoice 700004"),
        (30, "the total of sale 700013 would be negative"),
        (31, "the total of sale 700013 would be negative"),
        (37, "quotation marks do not pair up: unexpected end of data"),
        (39, "unit price has more than 4 decimals: '1.00001'"),
    ]


def test_the_mutated_file_asks_for_its_orders(mutated: BatchPlan) -> None:
    assert [(sale.number, sale.customer, sale.total) for sale in mutated.sales] == [
        ("700001", "15001", 3550),
        ("700004", "15002", 1800),
        ("700008", "", 235),
        ("700012", "15003", 0),
        ("700014", "15004", 3500),
        ("700016", "", 1702),
        ("700018", "", 100),
    ]
    scattered = mutated.sales[0]
    assert [(line.position, line.row.line_number, line.kind) for line in scattered.lines] == [
        (1, 2, LineKind.GOODS),
        (2, 3, LineKind.GOODS),
        (3, 4, LineKind.POSTAGE),
        (4, 5, LineKind.GOODS),
        (5, 16, LineKind.GOODS),
    ]
    assert [adjustment.amount for adjustment in mutated.adjustments] == [1106206, -1106206, -10001]
    assert [(row.stock_code, row.quantity) for row in mutated.write_offs] == [("A100", -5)]


def test_a_discount_is_shared_by_the_lines_it_was_given_on(mutated: BatchPlan) -> None:
    lines = mutated.sales[4].lines

    assert [(line.kind, line.total, line.paid) for line in lines] == [
        (LineKind.GOODS, 2000, 1750),
        (LineKind.DISCOUNT, -500, 0),
        (LineKind.GOODS, 2000, 1750),
    ]


def test_the_mutated_file_asks_for_its_cancellations(mutated: BatchPlan) -> None:
    assert mutated.matches == MatchTotals(whole=4, part=1, none=1)
    assert [
        (document.number, line.order, line.position, line.units, line.value, line.refund)
        for document in mutated.cancellations
        for line in document.covered
    ] == [
        ("C700002", "700001", 1, 3, 375, 375),
        ("C700002", "700001", 2, 1, 200, 250),
        ("C700009", "700008", 1, 2, 67, 67),
        ("C700010", "700008", 1, 5, 168, 168),
        ("C700015", "700014", 3, 1, 2000, 1750),
    ]
    assert [(line.row.invoice, line.units, line.value) for line in mutated.uncovered] == [
        ("C700003", 2, 600),
        ("C700010", 4, 134),
    ]


def test_the_mutated_file_opens_with_all_that_will_leave(mutated: BatchPlan) -> None:
    stock = {
        item.sku: (item.opening, item.sold, item.returned, item.written_off, item.closing) for item in mutated.stock
    }

    assert stock == {
        "A100": (15, 10, 3, 5, 3),
        "a100": (4, 4, 1, 0, 1),
        "PADS": (3, 3, 0, 0, 0),
        "B200": (6, 6, 0, 0, 0),
        "C300": (7, 7, 7, 0, 7),
        "D400": (2, 2, 0, 0, 0),
        "E500": (0, 0, 0, 0, 0),
        "F600": (2, 2, 1, 0, 1),
        "H800": (1, 1, 0, 0, 0),
    }


def test_names_come_from_the_first_description_that_says_something(tmp_path: Path) -> None:
    lines = [f"{number},X,{name},1,{DAY},1,," for number, name in ((1, ""), (2, "  BOX "), (3, "LID"))]

    plan = plan_batch(file=read_file(write_retail_file(tmp_path / "names.csv", *lines)))

    assert [item.name for item in plan.stock] == ["BOX"]


def test_money_of_the_file_equals_the_plans_pieces(shipped: BatchPlan, mutated: BatchPlan) -> None:
    for plan in (shipped, mutated):
        pieces = (
            sum(sale.total for sale in plan.sales)
            + sum(adjustment.amount for adjustment in plan.adjustments)
            - sum(line.value for line in plan.covered)
            - sum(line.value for line in plan.uncovered)
        )
        assert plan.totals.net - Decimal(pieces).scaleb(-2) == plan.rounding


prices = st.integers(min_value=0, max_value=50_000).map(lambda thousandths: Decimal(thousandths).scaleb(-3))


@given(
    sales=st.lists(st.tuples(st.integers(1, 9), prices), min_size=1, max_size=4),
    discount=st.integers(0, 4_000),
    steps=st.lists(st.integers(1, 9), max_size=12),
)
def test_what_is_refunded_adds_up_to_what_was_paid(
    tmp_path_factory: pytest.TempPathFactory, sales: list[tuple[int, Decimal]], discount: int, steps: list[int]
) -> None:
    lines = [f"1,X,,{quantity},{DAY},{price},a," for quantity, price in sales]
    if discount:
        lines.append(f"1,D,,-1,{DAY},{Decimal(discount).scaleb(-2)},a,")
    lines += [f"C{number},X,,-{units},{DAY},1.00,a," for number, units in enumerate(steps)]
    path = tmp_path_factory.getbasetemp() / "pro-rating.csv"
    plan = plan_batch(file=read_file(write_retail_file(path, *lines)))
    if not plan.sales:
        assert plan.rejections  # the discount is larger than the sale
        return
    order = plan.sales[0]
    refunded = sum(line.refund for line in plan.covered)

    assert sum(line.paid for line in order.lines) == order.total
    assert all(line.refund >= 0 for line in plan.covered)
    assert refunded <= order.total
    if sum(steps) >= sum(quantity for quantity, _ in sales):
        assert refunded == order.total
