"""Many jobs at once, written by the database itself: MariaDB's sequence tables make the numbers."""

from __future__ import annotations

import time

from django.db import connection

#: Rows of one INSERT: a transaction of this size takes about a second.
CHUNK = 50_000
#: Dirty pages of a server that has nothing left to write from a bulk load.
CALM = 200
BODY = '\'[[\', seq, \'], {}, {"callbacks": null, "errbacks": null, "chain": null, "chord": null}]\''


def load_jobs(*, count: int, state: int, due_in: float, prefix: str = "00000000", queue: str = "default") -> None:
    """Insert `count` jobs of `benchmarks.touch` in one state, due in so many seconds (in the past when negative).

    The ids count up, as the platform's own do. `prefix` (eight hexadecimal digits) keeps several loads apart.
    """
    for start in range(1, count + 1, CHUNK):
        end = min(start + CHUNK - 1, count)
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO jobs_job (id, app, task, queue, priority, state, due_at, created_at, body)"
                f" SELECT CONCAT(%s, '-0000-7000-8000-', LPAD(HEX(seq), 12, '0')), 'myproject', 'benchmarks.touch', %s,"
                f" 5, %s, UTC_TIMESTAMP(6) + INTERVAL %s + seq / 1000000 SECOND, UTC_TIMESTAMP(6), CONCAT({BODY})"
                f" FROM seq_{start}_to_{end}",
                (prefix, queue, state, due_in),
            )


def load_outbox(*, count: int) -> None:
    """Insert `count` rows into the outbox that the reference's loop reads."""
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE TABLE bench_outbox")
        cursor.execute(f"INSERT INTO bench_outbox (order_id) SELECT seq FROM seq_1_to_{int(count)}")


def forget_jobs() -> None:
    """Empty the table of jobs."""
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE TABLE jobs_job")


def count_jobs(*, states: list[int]) -> int:
    """Return how many jobs are in one of the states."""
    marks = ",".join(["%s"] * len(states))
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT COUNT(*) FROM jobs_job WHERE state IN ({marks})", states)
        return int(cursor.fetchone()[0])


def analyze() -> None:
    """Refresh the optimizer's statistics, which a bulk load leaves behind."""
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE TABLE jobs_job")
        cursor.fetchall()


def make_due() -> None:
    """Make every open job one that the relay has to publish now."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE jobs_job SET state = 0, due_at = UTC_TIMESTAMP(6) - INTERVAL 60 SECOND WHERE state IN (0, 1, 2)"
        )


def settle(*, timeout: float = 120) -> None:
    """Wait until the server has written a bulk load to disk: its flushing would be measured with everything else."""
    end = time.monotonic() + timeout
    with connection.cursor() as cursor:
        cursor.execute(
            "SET GLOBAL innodb_max_dirty_pages_pct = 0, innodb_io_capacity_max = 20000, innodb_io_capacity = 20000"
        )
        while time.monotonic() < end:
            cursor.execute("SHOW GLOBAL STATUS LIKE 'Innodb_buffer_pool_pages_dirty'")
            if int(cursor.fetchone()[1]) < CALM:
                break
            time.sleep(0.2)
        cursor.execute("SET GLOBAL innodb_max_dirty_pages_pct = DEFAULT, innodb_io_capacity = DEFAULT")
