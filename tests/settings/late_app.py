"""The platform's app with children of its pool that take a while to be ready, as on a machine that is very busy."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from celery.signals import worker_process_init

from myproject.celery import app

RECORD = Path(os.environ.get("TEST_RECORD", "/nonexistent/record"))
#: Seconds: longer than the 4 s that Celery gives a child by default.
LATE = 6.0


@worker_process_init.connect
def come_late(**_: Any) -> None:
    """Sleep, if the test asks for it."""
    if RECORD.with_suffix(".late").exists():
        time.sleep(LATE)


@app.task(name="tests.record_process", durable=False)  # the pool alone is tried here: no rows
def record_process() -> None:
    """Does: one line with its process. Twice: two lines. Retries: none. Enqueued by: the test."""
    with RECORD.open("a") as record:
        record.write(f"{os.getpid()}\n")
