"""What a person sees while a replay runs: a bar in a terminal, plain lines anywhere else. Always on standard error."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

PLAIN_LINE_SECONDS = 5.0
"""A log that is read later needs a sign of life, not every step."""


class Watcher(Protocol):
    """Who is told how far a run has come."""

    def begin(self, name: str, total: int) -> None:
        """Say that a phase of ``total`` steps begins."""

    def reach(self, done: int) -> None:
        """Say how many steps of the phase are done."""

    def note(self, text: str) -> None:
        """Say something that is worth a line of its own."""


class TerminalWatcher:
    """A progress bar per phase."""

    def __init__(self) -> None:
        self._progress = Progress(
            TextColumn("{task.description:<28}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            refresh_per_second=4,
        )
        self._task: TaskID | None = None

    def __enter__(self) -> TerminalWatcher:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def begin(self, name: str, total: int) -> None:
        """Add a bar."""
        self._task = self._progress.add_task(name, total=total)

    def reach(self, done: int) -> None:
        """Move the bar."""
        if self._task is not None:
            self._progress.update(self._task, completed=done)

    def note(self, text: str) -> None:
        """Print a line above the bars."""
        self._progress.console.print(text, markup=False, highlight=False)


class PlainWatcher:
    """A line when a phase begins and ends, and every few seconds between."""

    def __init__(self) -> None:
        self._name = ""
        self._total = 0
        self._shown = -1
        self._last = 0.0

    def __enter__(self) -> PlainWatcher:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def begin(self, name: str, total: int) -> None:
        """Start a phase; its first line comes with the first step."""
        self._name, self._total, self._shown, self._last = name, total, -1, 0.0

    def reach(self, done: int) -> None:
        """Print a line, at most one every PLAIN_LINE_SECONDS and one when the phase is complete."""
        now = time.monotonic()
        if done != self._shown and (done >= self._total or now - self._last >= PLAIN_LINE_SECONDS):
            self._shown, self._last = done, now
            self.note(f"{self._name}: {done} of {self._total}")

    def note(self, text: str) -> None:
        """Print a line."""
        print(text, file=sys.stderr, flush=True)


def choose_watcher() -> TerminalWatcher | PlainWatcher:
    """Return the bar for a terminal and plain lines for a file or a pipe."""
    return TerminalWatcher() if sys.stderr.isatty() else PlainWatcher()
