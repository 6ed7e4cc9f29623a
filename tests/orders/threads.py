"""Doing things at the same moment."""

from __future__ import annotations

import threading
from collections.abc import Callable

from django.db import connections


def in_threads(*works: Callable[[], object]) -> list[BaseException]:
    """Run the works at the same moment, each on a connection of its own; return what they raised."""
    gate = threading.Barrier(len(works))
    errors: list[BaseException] = []

    def run(work: Callable[[], object]) -> None:
        try:
            gate.wait(timeout=60)
            work()
        except BaseException as error:
            errors.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=(work,), daemon=True) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    return errors
