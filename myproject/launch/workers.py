"""Pings the workers of both Celery apps: `python -m myproject.launch.workers SECONDS main:orders cart:cart ...`.

The one file here that runs inside the virtual environment. It prints the workers that stayed silent, one per line with
the seconds that it waited, and ends with 3 when there are any.
"""

from __future__ import annotations

import sys
import time

import django

from myproject.celery import abandon_cart_app, app

APPS = {"main": app, "cart": abandon_cart_app}


def find_silent(expected: set[str], *, timeout: float) -> set[str]:
    """Return those of `expected` (each `app:name`) that did not answer within `timeout` seconds."""
    missing = set(expected)
    deadline = time.monotonic() + timeout
    while missing and time.monotonic() < deadline:
        for label, celery_app in APPS.items():
            wanted = {node for node in missing if node.startswith(f"{label}:")}
            if not wanted:
                continue
            try:
                replies = celery_app.control.ping(timeout=1.0)
            except OSError:
                time.sleep(0.5)  # the broker is on its way
                continue
            missing -= {f"{label}:{node.partition('@')[0]}" for reply in replies or [] for node in reply}
    return missing


if __name__ == "__main__":
    django.setup()  # the platform's way of sending knows its tables
    began = time.monotonic()
    silent = find_silent(set(sys.argv[2:]), timeout=float(sys.argv[1]))
    waited = time.monotonic() - began
    print("\n".join(f"{node} {waited:.1f}" for node in sorted(silent)))
    sys.exit(3 if silent else 0)
