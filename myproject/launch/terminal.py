"""What a person sees, and the programs that are run to their end in front of them."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

# A replay that is asked to end finishes the orders in its hands first; what takes longer is ended for it.
PATIENCE_AFTER_INTERRUPT = 15.0


class Terminal:
    """Prints steps and lines on one stream: standard output, or the error stream when the output must stay pure."""

    def __init__(self, stream: IO[str]) -> None:
        """Print on `stream`; it is asked once whether it is a terminal."""
        self.stream = stream
        self.is_live = stream.isatty() and os.environ.get("TERM") != "dumb"

    def line(self, text: str = "") -> None:
        """Print one line."""
        print(text, file=self.stream, flush=True)

    @contextlib.contextmanager
    def step(self, text: str) -> Iterator[None]:
        """Show that `text` is going on, with the seconds counting in a terminal, and how long it took at the end."""
        began = time.monotonic()
        done = threading.Event()
        ticker = threading.Thread(target=self._tick, args=(text, began, done), daemon=True)
        if self.is_live:
            ticker.start()
        try:
            yield
        except BaseException:
            self._end_step(done, ticker)
            raise
        self._end_step(done, ticker)
        self.line(f"  {text:<58} {time.monotonic() - began:6.1f} s")

    def _tick(self, text: str, began: float, done: threading.Event) -> None:
        while True:
            print(f"\r  {text:<58} {time.monotonic() - began:6.0f} s", end="", file=self.stream, flush=True)
            if done.wait(1):
                return

    def _end_step(self, done: threading.Event, ticker: threading.Thread) -> None:
        done.set()
        if self.is_live:
            ticker.join()
            print("\r\x1b[2K", end="", file=self.stream, flush=True)


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Within the block a hang-up or a TERM ends the command as Ctrl-C does. A hang-up that nohup ignores stays so."""

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    before = {}
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            before[number] = signal.signal(number, interrupt)
    # A shell starts background jobs with SIGINT ignored; whoever sends one by hand still means it.
    before[signal.SIGINT] = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Within the block a second Ctrl-C is not heard: what is being cleared away must be cleared to the end."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run_program(
    command: Sequence[str | Path],
    *,
    env: Mapping[str, str],
    folder: Path,
    output: IO[bytes] | IO[str] | None = None,
    errors: IO[bytes] | IO[str] | int | None = None,
) -> int:
    """Run `command` to its end and return its exit status; both streams are ours unless others are given.

    The program gets a session of its own, so that Ctrl-C reaches this process only, which passes it on exactly once.
    """
    with subprocess.Popen(
        [str(part) for part in command],
        env=dict(env),
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=errors,
        start_new_session=True,
    ) as child:
        try:
            return child.wait()
        except BaseException:
            with undisturbed():
                _end(child)
            raise


def _end(child: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(PATIENCE_AFTER_INTERRUPT)
            break
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def human_stream(*, json_output: bool) -> IO[str]:
    """Return where people read: the error stream when standard output belongs to the JSON object."""
    return sys.stderr if json_output else sys.stdout
