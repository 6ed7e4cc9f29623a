"""Moving stock: what is booked, what is refused, which SQL runs in which order."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

from catalog.actions import Movement, VariantSpec, ensure_variants, move_stock
from catalog.errors import InsufficientStock, InvalidMovement, OperationKeyReused, UnknownVariant
from catalog.models import MovementKind, Stock, StockMovement

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def make_variants(*skus: str) -> dict[str, int]:
    return ensure_variants(specs=[VariantSpec(sku=sku, name=f"Thing {sku}") for sku in skus], source="test", now=NOW)


def receipt(variant_id: int, quantity: int, key: str) -> Movement:
    return Movement(variant_id=variant_id, quantity=quantity, kind=MovementKind.RECEIPT, operation_key=key)


def sale(variant_id: int, quantity: int, key: str) -> Movement:
    return Movement(
        variant_id=variant_id, quantity=-quantity, kind=MovementKind.SALE, operation_key=key, reference="O-1"
    )


def on_hand() -> dict[str, int]:
    return dict(Stock.objects.values_list("variant__sku", "on_hand"))


@pytest.mark.django_db
def test_movements_change_the_numbers_and_stay_as_rows() -> None:
    ids = make_variants("A", "B")
    before = {stock.pk: stock.version for stock in Stock.objects.all()}

    with transaction.atomic():
        booked = move_stock(
            movements=[receipt(ids["A"], 10, "r:A"), sale(ids["A"], 3, "s:A"), receipt(ids["B"], 5, "r:B")], now=NOW
        )

    assert booked == 3
    assert on_hand() == {"A": 7, "B": 5}
    assert {stock.pk: stock.version for stock in Stock.objects.all()} == {
        pk: version + 1 for pk, version in before.items()
    }
    rows = StockMovement.objects.order_by("id").values_list(
        "stock_id", "kind", "quantity", "operation_key", "reference", "occurred_at"
    )
    assert list(rows) == [
        (ids["A"], "receipt", 10, "r:A", "", NOW),
        (ids["A"], "sale", -3, "s:A", "O-1", NOW),
        (ids["B"], "receipt", 5, "r:B", "", NOW),
    ]


@pytest.mark.django_db
def test_a_booked_key_is_skipped_and_the_new_ones_of_the_same_call_are_booked() -> None:
    ids = make_variants("A", "B")
    first = [receipt(ids["A"], 10, "r:A")]
    with transaction.atomic():
        move_stock(movements=first, now=NOW)

    with transaction.atomic():
        booked = move_stock(movements=[*first, receipt(ids["B"], 2, "r:B")], now=NOW)

    assert booked == 1
    assert on_hand() == {"A": 10, "B": 2}
    assert list(Stock.objects.order_by("pk").values_list("version", flat=True)) == [2, 2]


@pytest.mark.django_db
def test_all_booked_changes_nothing_and_takes_two_statements() -> None:
    ids = make_variants("A")
    movements = [receipt(ids["A"], 10, "r:A")]
    with transaction.atomic():
        move_stock(movements=movements, now=NOW)

    with transaction.atomic(), CaptureQueriesContext(connection) as queries:
        booked = move_stock(movements=movements, now=NOW)

    assert booked == 0
    assert len(queries) == 2
    assert on_hand() == {"A": 10}
    assert Stock.objects.get().version == 2


@pytest.mark.django_db
def test_keys_that_differ_in_case_only_are_two_facts() -> None:
    ids = make_variants("A")

    with transaction.atomic():
        booked = move_stock(movements=[receipt(ids["A"], 1, "r:a"), receipt(ids["A"], 1, "r:A")], now=NOW)

    assert booked == 2
    assert on_hand() == {"A": 2}


@pytest.mark.django_db
def test_too_little_stock_names_every_sku_and_writes_nothing() -> None:
    ids = make_variants("A", "B", "C")
    with transaction.atomic():
        move_stock(movements=[receipt(pk, 5, f"r:{sku}") for sku, pk in ids.items()], now=NOW)

    with pytest.raises(InsufficientStock) as caught, transaction.atomic():
        move_stock(movements=[sale(ids["A"], 6, "s:A"), sale(ids["B"], 5, "s:B"), sale(ids["C"], 9, "s:C")], now=NOW)

    assert caught.value.shortages == {"A": (5, 6), "C": (5, 9)}
    assert caught.value.message == "Not enough stock of A (5 on hand, 6 asked for), C (5 on hand, 9 asked for)."
    assert on_hand() == {"A": 5, "B": 5, "C": 5}
    assert StockMovement.objects.count() == 3


@pytest.mark.django_db
def test_a_refusal_leaves_the_callers_transaction_usable() -> None:
    ids = make_variants("A")

    with transaction.atomic():
        with pytest.raises(InsufficientStock):
            move_stock(movements=[sale(ids["A"], 1, "s:A")], now=NOW)
        move_stock(movements=[receipt(ids["A"], 1, "r:A")], now=NOW)

    assert on_hand() == {"A": 1}


@pytest.mark.django_db
@pytest.mark.parametrize(("quantity", "variant"), [(4, "A"), (3, "B")])
def test_one_key_for_two_facts_is_refused(quantity: int, variant: str) -> None:
    ids = make_variants("A", "B")
    with transaction.atomic():
        move_stock(movements=[receipt(ids["A"], 3, "r:1")], now=NOW)

    with pytest.raises(OperationKeyReused), transaction.atomic():
        move_stock(movements=[receipt(ids[variant], quantity, "r:1")], now=NOW)

    assert on_hand() == {"A": 3, "B": 0}
    assert StockMovement.objects.count() == 1


@pytest.mark.django_db
def test_a_variant_without_stock_row_is_named() -> None:
    ids = make_variants("A")

    with pytest.raises(UnknownVariant) as caught, transaction.atomic():
        move_stock(movements=[receipt(ids["A"], 3, "r:1"), receipt(987654, 1, "r:2")], now=NOW)

    assert caught.value.fields["variant_ids"] == [987654]
    assert on_hand() == {"A": 0}


@pytest.mark.django_db
def test_zero_units_and_a_key_twice_in_a_call_are_refused() -> None:
    ids = make_variants("A")

    with transaction.atomic():
        with pytest.raises(InvalidMovement) as zero:
            move_stock(movements=[receipt(ids["A"], 0, "r:1")], now=NOW)
        with pytest.raises(InvalidMovement) as doubled:
            move_stock(movements=[receipt(ids["A"], 1, "r:1"), receipt(ids["A"], 1, "r:1")], now=NOW)

    assert (zero.value.field, doubled.value.field) == ("quantity", "operation_key")
    assert StockMovement.objects.count() == 0


@pytest.mark.django_db(transaction=True)
def test_it_refuses_to_run_outside_a_transaction() -> None:
    ids = make_variants("A")

    with pytest.raises(transaction.TransactionManagementError):
        move_stock(movements=[receipt(ids["A"], 1, "r:1")], now=NOW)

    assert on_hand() == {"A": 0}


@pytest.mark.django_db
def test_no_movement_no_statement() -> None:
    with CaptureQueriesContext(connection) as queries:
        assert move_stock(movements=[], now=NOW) == 0

    assert len(queries) == 0


@pytest.mark.django_db
@pytest.mark.parametrize("lines", [1, 27, 150])
def test_four_statements_in_order_however_many_lines(lines: int) -> None:
    ids = make_variants(*(f"S{number}" for number in range(lines)))
    movements = [receipt(pk, 2, f"r:{sku}") for sku, pk in reversed(list(ids.items()))]

    with transaction.atomic(), CaptureQueriesContext(connection) as queries:
        move_stock(movements=movements, now=NOW)

    statements = [query["sql"] for query in queries]
    assert [statement.split()[0] for statement in statements] == ["SELECT", "SELECT", "INSERT", "UPDATE"]
    lock = statements[0].replace("`", '"')
    assert 'FROM "catalog_stock"' in lock
    assert lock.startswith('SELECT "catalog_stock"."variant_id" ')
    assert "ORDER BY 1 ASC" in lock  # by the first column: the primary key
    assert [statement for statement in statements if "FOR UPDATE" in statement] == (
        statements[:1] if connection.vendor == "mysql" else []
    )


@pytest.mark.django_db
def test_the_longest_real_order_fits() -> None:
    ids = make_variants(*(f"S{number}" for number in range(675)))

    with transaction.atomic():
        booked = move_stock(movements=[receipt(pk, 3, f"r:{sku}") for sku, pk in ids.items()], now=NOW)

    assert booked == 675
    assert set(on_hand().values()) == {3}


@pytest.mark.django_db
def test_the_database_itself_refuses_stock_below_zero_and_empty_movements() -> None:
    ids = make_variants("A")

    with pytest.raises(IntegrityError), transaction.atomic():
        Stock.objects.filter(pk=ids["A"]).update(on_hand=-1)
    with pytest.raises(IntegrityError), transaction.atomic():
        StockMovement.objects.create(stock_id=ids["A"], kind="sale", quantity=0, operation_key="z", occurred_at=NOW)

    assert on_hand() == {"A": 0}
