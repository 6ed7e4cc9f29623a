"""The outside world: a receiver with its own ledger, which nobody who may be killed keeps in memory.

The ledger is a file of JSON lines, appended under a lock and forced to disk before the caller gets its answer: what the
receiver answered has happened, whoever dies next. With a key the receiver does a thing once and says "already" from
then on; without a key it does what it is told as often as it is told, as a mail server does.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

VARIABLE = "FAULTS_ORACLE"


class Oracle:
    """The receiver. Any process that knows the file may call it."""

    def __init__(self, path: Path | str | None = None) -> None:
        """Use the ledger at `path`, by default the one that the environment names."""
        self.path = Path(path or os.environ[VARIABLE])

    def apply(self, key: str, *, keyed: bool = True) -> bool:
        """Do the thing called `key`; return False when the receiver knew the key and did nothing."""
        with self._locked() as ledger:
            known = keyed and any(line["key"] == key and line["applied"] for line in _lines(ledger))
            self._append(ledger, key=key, applied=not known)
            return not known

    def knows(self, key: str) -> bool:
        """Tell whether the thing was done: what a lookup asks."""
        return key in self.applied()

    def applied(self) -> Counter[str]:
        """Return how often each thing was done."""
        return self._count(applied=True)

    def refused(self) -> Counter[str]:
        """Return how often the receiver was asked for what it had done already."""
        return self._count(applied=False)

    def clear(self) -> None:
        """Begin an empty ledger."""
        self.path.write_text("")

    def _count(self, *, applied: bool) -> Counter[str]:
        with self._locked() as ledger:
            return Counter(line["key"] for line in _lines(ledger) if line["applied"] is applied)

    @contextmanager
    def _locked(self) -> Iterator[int]:
        ledger = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            fcntl.flock(ledger, fcntl.LOCK_EX)
            yield ledger
        finally:
            os.close(ledger)

    @staticmethod
    def _append(ledger: int, *, key: str, applied: bool) -> None:
        os.write(ledger, json.dumps({"key": key, "applied": applied, "pid": os.getpid()}).encode() + b"\n")
        os.fsync(ledger)


def _lines(ledger: int) -> list[dict[str, Any]]:
    size = os.fstat(ledger).st_size
    return [json.loads(line) for line in os.pread(ledger, size, 0).splitlines()]
