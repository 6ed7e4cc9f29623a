"""Tasks that a worker of `test_database.py` is started with: they tell which database connection they ran on."""

from __future__ import annotations

import os

from django.db import connection

from myproject.celery import app

__all__ = ("app",)


@app.task(name="tests.jobs.connection_number", durable=False)  # its database has no tables
def connection_number() -> list[int]:
    """Return the process and its connection's number, after long enough for another process to be busy."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT CONNECTION_ID(), SLEEP(0.05)")
        return [os.getpid(), cursor.fetchone()[0]]
