"""The platform's app as the workers of these tests load it, with tasks that write down the order they ran in."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from myproject.celery import app

RECORD = Path(os.environ.get("TEST_RECORD", "/nonexistent/record"))


def write_down(label: str) -> None:
    """Append one line: a single write of a short line is atomic."""
    with RECORD.open("a") as record:
        record.write(f"{label}\n")


@app.task(name="tests.record", durable=False)  # the transport alone is tried here: no rows
def record(label: str) -> None:
    write_down(label)


@app.task(name="tests.retry_once", bind=True, max_retries=1, durable=False)
def retry_once(self: Any, label: str) -> None:
    write_down(f"{label} run {self.request.retries + 1} priority {self.request.delivery_info['priority']}")
    if self.request.retries == 0:
        raise self.retry(countdown=0)
