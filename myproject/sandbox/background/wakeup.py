"""The bell that a committed request rings for the background, so that nothing is polled."""

from __future__ import annotations

import threading

_bell = threading.Event()


def wake_background() -> None:
    """Say that something may be due."""
    _bell.set()


def await_bell(*, timeout: float | None) -> None:
    """Wait for the bell, at most `timeout` seconds, and silence it."""
    _bell.wait(timeout)
    _bell.clear()
