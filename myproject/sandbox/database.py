"""Writing: one transaction at a time in this process, and the background woken once it is committed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import transaction

from .background.wakeup import wake_background

# SQLite lets one transaction write and makes the others sleep and try again. Waiting here instead is fair, wakes at
# once and costs no processor time; other processes (`record`, `migrate`) are still met by SQLite's own busy timeout.
_writing = threading.RLock()


@contextmanager
def writing(*, wakes_background: bool = False) -> Iterator[None]:
    """Hold the write transaction; nested use joins the outer one. `wakes_background`: rows may have become due."""
    with _writing, transaction.atomic(savepoint=False):
        if wakes_background:
            transaction.on_commit(wake_background)
        yield
