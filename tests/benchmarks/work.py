"""The transactions that are measured: the same code in every arm.

Order and payment are written with the ORM, as applications do: an order and its two lines in one `bulk_create`; a
lock, an update and a ledger entry. The order is also there as raw SQL, where the job's share is larger.
"""

from __future__ import annotations

import itertools
import os
import time

from django.db import connection, models

TABLES = (
    "CREATE TABLE IF NOT EXISTS bench_order (id BIGINT AUTO_INCREMENT PRIMARY KEY, number VARCHAR(40) NOT NULL UNIQUE,"
    " status VARCHAR(20) NOT NULL, total BIGINT NOT NULL,"
    " created_at DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6)) ENGINE=InnoDB",
    "CREATE TABLE IF NOT EXISTS bench_line (id BIGINT AUTO_INCREMENT PRIMARY KEY, order_id BIGINT NOT NULL,"
    " sku VARCHAR(40) NOT NULL, quantity INT NOT NULL, price BIGINT NOT NULL, KEY (order_id)) ENGINE=InnoDB",
    "CREATE TABLE IF NOT EXISTS bench_entry (id BIGINT AUTO_INCREMENT PRIMARY KEY, order_id BIGINT NOT NULL,"
    " amount BIGINT NOT NULL, at DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6), KEY (order_id)) ENGINE=InnoDB",
    "CREATE TABLE IF NOT EXISTS bench_outbox (id BIGINT AUTO_INCREMENT PRIMARY KEY, order_id BIGINT NOT NULL)"
    " ENGINE=InnoDB",
    "CREATE TABLE IF NOT EXISTS bench_ready (worker VARCHAR(80) PRIMARY KEY, at DATETIME(6) NOT NULL) ENGINE=InnoDB",
)
_numbers = itertools.count()


class Order(models.Model):
    """An order, for the ORM's part of the work."""

    number = models.CharField(max_length=40)
    status = models.CharField(max_length=20)
    total = models.BigIntegerField()

    class Meta:
        app_label = "benchmarks"
        db_table = "bench_order"
        managed = False

    def __str__(self) -> str:
        return self.number


class OrderLine(models.Model):
    """One line of an order."""

    order_id = models.BigIntegerField()
    sku = models.CharField(max_length=40)
    quantity = models.IntegerField()
    price = models.BigIntegerField()

    class Meta:
        app_label = "benchmarks"
        db_table = "bench_line"
        managed = False

    def __str__(self) -> str:
        return f"{self.quantity} {self.sku}"


class Entry(models.Model):
    """A ledger entry; the database stamps it, which is how rates are measured."""

    order_id = models.BigIntegerField()
    amount = models.BigIntegerField()

    class Meta:
        app_label = "benchmarks"
        db_table = "bench_entry"
        managed = False

    def __str__(self) -> str:
        return f"{self.order_id}: {self.amount}"


def create_tables() -> None:
    """Make the tables of the benchmarks in the process's database."""
    with connection.cursor() as cursor:
        for statement in TABLES:
            cursor.execute(statement)


def place_order() -> int:
    """Write an order with two lines, in the caller's transaction, and return its id."""
    order = Order._default_manager.create(number=_number(), status="new", total=4990)
    OrderLine._default_manager.bulk_create(
        [
            OrderLine(order_id=order.pk, sku="sku-1", quantity=1, price=1990),
            OrderLine(order_id=order.pk, sku="sku-2", quantity=2, price=1500),
        ]
    )
    return order.pk


def place_order_raw() -> int:
    """Do the same in two statements of raw SQL."""
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO bench_order (number, status, total) VALUES (%s, 'new', 4990)", (_number(),))
        order_id = int(cursor.lastrowid)
        cursor.execute(
            "INSERT INTO bench_line (order_id, sku, quantity, price) VALUES (%s, %s, 1, 1990), (%s, %s, 2, 1500)",
            (order_id, "sku-1", order_id, "sku-2"),
        )
    return order_id


def write_outbox(order_id: int) -> None:
    """Write the smallest row that could promise anything: one statement, one column, nothing indexed but the key."""
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO bench_outbox (order_id) VALUES (%s)", (order_id,))


def _number() -> str:
    return f"{os.getpid()}-{time.monotonic_ns()}-{next(_numbers)}"


def take_payment(order_id: int) -> None:
    """Lock the order, mark it paid and write the ledger entry, in the caller's transaction."""
    order = Order._default_manager.select_for_update().get(pk=order_id)
    order.status = "paid"
    order.save(update_fields=["status"])
    Entry._default_manager.create(order_id=order_id, amount=order.total)


def make_orders(count: int) -> list[int]:
    """Insert `count` orders at once and return their ids."""
    stamp = f"{os.getpid()}-{time.monotonic_ns()}"
    Order._default_manager.bulk_create(
        [Order(number=f"{stamp}-{number}", status="new", total=4990) for number in range(count)], batch_size=1000
    )
    return list(Order._default_manager.filter(number__startswith=stamp).order_by("id").values_list("id", flat=True))


def entries() -> tuple[int, int, float]:
    """Return how many ledger entries there are, for how many orders, and the seconds from the first to the last."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT COUNT(*), COUNT(DISTINCT order_id), COALESCE(TIMESTAMPDIFF(MICROSECOND, MIN(at), MAX(at)), 0)"
            " FROM bench_entry"
        )
        count, orders, microseconds = cursor.fetchone()
    return int(count), int(orders), int(microseconds) / 1e6


def forget_entries() -> None:
    """Empty the ledger for the next round."""
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE TABLE bench_entry")
        cursor.execute("TRUNCATE TABLE bench_ready")


def note_ready(worker: str) -> None:
    """Write down, by the database's clock, that a worker has just become ready."""
    with connection.cursor() as cursor:
        cursor.execute("REPLACE INTO bench_ready (worker, at) VALUES (%s, NOW(6))", (worker,))


def since_ready(worker: str) -> tuple[float, float] | None:
    """Return the seconds from a worker's being ready to the first entry after it and to the last; None before both."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT TIMESTAMPDIFF(MICROSECOND, r.at, MIN(e.at)), TIMESTAMPDIFF(MICROSECOND, r.at, MAX(e.at))"
            " FROM bench_ready r JOIN bench_entry e ON e.at > r.at WHERE r.worker = %s GROUP BY r.at",
            (worker,),
        )
        row = cursor.fetchone()
    return (row[0] / 1e6, row[1] / 1e6) if row else None
