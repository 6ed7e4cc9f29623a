"""Moving stock: the one way in which a number of units changes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import connection, transaction

from catalog.errors import InsufficientStock, InvalidMovement, OperationKeyReused, UnknownVariant
from catalog.models import Stock, StockMovement, Variant

#: Rows of one UPDATE. Three parameters each stay far below SQLite's 32,766; the longest real order has 675 lines.
UPDATE_BATCH = 1_000


@dataclass(frozen=True, kw_only=True)
class Movement:
    """Units of a variant that come (positive) or go (negative), once per `operation_key` (for example order:12:line:3).

    `kind` is one of `catalog.models.MovementKind`; `reference` names the order, cancellation or batch.
    """

    variant_id: int
    quantity: int
    kind: str
    operation_key: str
    reference: str = ""


def move_stock(*, movements: Sequence[Movement], now: datetime) -> int:
    """Book `movements` and change the stock rows with them, all or nothing; return how many were new.

    Safe to run twice: a key that was booked is skipped. Locks the stock rows by primary key, so that callers queue
    and never deadlock; takes four statements, two when there is nothing to do. Must run in the caller's transaction,
    after the order's and the payments' locks. Raises InsufficientStock (nothing is written), UnknownVariant,
    InvalidMovement and OperationKeyReused.
    """
    if not connection.in_atomic_block:
        raise transaction.TransactionManagementError("move_stock needs the caller's transaction.")
    _check(movements)
    if not movements:
        return 0
    variant_ids = sorted({movement.variant_id for movement in movements})
    on_hand = _lock_stock(variant_ids)
    fresh = _not_yet_booked(movements)
    if not fresh:
        return 0
    changes: Counter[int] = Counter()
    for movement in fresh:
        changes[movement.variant_id] += movement.quantity
    after = {variant_id: on_hand[variant_id] + change for variant_id, change in sorted(changes.items())}
    _check_shortages(on_hand=on_hand, after=after)
    StockMovement.objects.bulk_create(
        StockMovement(
            stock_id=movement.variant_id,
            kind=movement.kind,
            quantity=movement.quantity,
            operation_key=movement.operation_key,
            reference=movement.reference,
            occurred_at=now,
        )
        for movement in fresh
    )
    _write_stock({pk: units for pk, units in after.items() if units != on_hand[pk]}, now=now)
    return len(fresh)


def _check(movements: Sequence[Movement]) -> None:
    keys: set[str] = set()
    for movement in movements:
        if movement.quantity == 0:
            raise InvalidMovement(f"{movement.operation_key}: a movement of zero units.", field="quantity")
        if movement.operation_key in keys:
            raise InvalidMovement(f"{movement.operation_key} stands twice in one call.", field="operation_key")
        keys.add(movement.operation_key)


def _lock_stock(variant_ids: Sequence[int]) -> dict[int, int]:
    """Lock the rows in order of their primary key and return the units on hand."""
    rows = Stock.objects.select_for_update().filter(pk__in=variant_ids).order_by("pk").values_list("pk", "on_hand")
    on_hand = dict(rows)
    if len(on_hand) < len(variant_ids):
        absent = [variant_id for variant_id in variant_ids if variant_id not in on_hand]
        raise UnknownVariant(f"No stock row of variant {', '.join(map(str, absent))}.", variant_ids=absent)
    return on_hand


def _not_yet_booked(movements: Sequence[Movement]) -> list[Movement]:
    """Return the movements whose key is new. Read under the lock: nobody else can be booking the same fact."""
    keys = [movement.operation_key for movement in movements]
    booked = {
        key: (stock_id, quantity)
        for key, stock_id, quantity in StockMovement.objects.filter(operation_key__in=keys).values_list(
            "operation_key", "stock_id", "quantity"
        )
    }
    for movement in movements:
        before = booked.get(movement.operation_key)
        if before is not None and before != (movement.variant_id, movement.quantity):
            raise OperationKeyReused(
                f"{movement.operation_key} was booked as {before[1]} units of variant {before[0]}, "
                f"now as {movement.quantity} of variant {movement.variant_id}.",
                operation_key=movement.operation_key,
            )
    return [movement for movement in movements if movement.operation_key not in booked]


def _check_shortages(*, on_hand: Mapping[int, int], after: Mapping[int, int]) -> None:
    short = [variant_id for variant_id, units in after.items() if units < 0]
    if short:
        skus = dict(Variant.objects.filter(pk__in=short).values_list("pk", "sku"))
        raise InsufficientStock({skus[pk]: (on_hand[pk], on_hand[pk] - after[pk]) for pk in short})


def _write_stock(units: Mapping[int, int], *, now: datetime) -> None:
    """Write the new numbers and raise the versions, one statement per thousand rows.

    Plain SQL: built through Case and When the same statement made an order of 27 lines take 2.6 times as long
    (measured on SQLite: 25 ms instead of 9.5 on a busy machine).
    """
    quote = connection.ops.quote_name
    table, key = quote(Stock._meta.db_table), quote("variant_id")
    moment = connection.ops.adapt_datetimefield_value(now)
    rows = sorted(units.items())
    with connection.cursor() as cursor:
        for start in range(0, len(rows), UPDATE_BATCH):
            batch = rows[start : start + UPDATE_BATCH]
            cases = " ".join(["WHEN %s THEN %s"] * len(batch))
            keys = ", ".join(["%s"] * len(batch))
            cursor.execute(
                f"UPDATE {table} SET {quote('on_hand')} = CASE {key} {cases} END, "
                f"{quote('version')} = {quote('version')} + 1, {quote('updated_at')} = %s WHERE {key} IN ({keys})",
                [*(value for row in batch for value in row), moment, *(pk for pk, _ in batch)],
            )
