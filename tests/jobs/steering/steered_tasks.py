"""Tasks of real workers that are told to stop: each notes that it began and waits until it is let go."""

from __future__ import annotations

import os
import time
from pathlib import Path

from django.db import connection

from myproject.celery import FIXUPS, PlatformCelery

app = PlatformCelery("myproject", set_as_current=False, fixups=FIXUPS)
app.config_from_object("django.conf:settings", namespace="CELERY")
app.conf.update(worker_redirect_stdouts=False)
if "REDIS_URL" in os.environ:
    app.conf.update(broker_read_url=os.environ["REDIS_URL"], broker_write_url=os.environ["REDIS_URL"])

#: Seconds after which a body gives up waiting.
LONGEST = 120.0


def _write(name: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO auth_group (name) VALUES (%s)", [name])


def _wait(folder: str, name: str) -> None:
    place = Path(folder)
    (place / f"{name}.began").touch()
    end = time.monotonic() + LONGEST
    while not (place / f"{name}.go").exists() and time.monotonic() < end:
        time.sleep(0.02)


@app.task(shared=False, name="steered.write")
def write(folder: str, name: str) -> str:
    """Write a row, then wait: one transaction."""
    _write(name)
    _wait(folder, name)
    return name


@app.task(shared=False, name="steered.call", mode="lease", on_unknown="resend", lease=30.0)
def call(folder: str, name: str) -> str:
    """Wait outside of a transaction, then write a row."""
    _wait(folder, name)
    _write(name)
    return name
