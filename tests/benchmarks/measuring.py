"""Long-lived processes that measure on command: one with the platform's settings, one with stock Celery's.

Two settings cannot live in one process, and starting a process for each round would measure imports. The parent sends
a function's path and arguments as one line of JSON and gets the result as one line.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import subprocess
import sys
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.servers.processes import ROOT, die_with_parent, python


class MeasuringFailed(Exception):
    """A measuring process reported an exception or ended. Read by who runs the benchmarks: holds its traceback."""


class Measurer:
    """A process that runs functions of `tests.benchmarks` on command."""

    def __init__(self, side: str, *, env: Mapping[str, str], folder: Path) -> None:
        """Start the process for `side`: the module of `tests.benchmarks` that sets up Django and Celery."""
        folder.mkdir(parents=True, exist_ok=True)
        self.side, self.log_file = side, folder / f"measuring-{side}-{id(self):x}.log"
        with self.log_file.open("ab") as output:
            self.popen = subprocess.Popen(
                [python(), "-m", "tests.benchmarks.measuring", side],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                env=dict(env),
                cwd=ROOT,
                text=True,
                preexec_fn=die_with_parent,
            )

    def call(self, function: str, **arguments: Any) -> Any:
        """Run `module:function` of this package in the process and return what it returned."""
        if self.popen.stdin is None or self.popen.stdout is None:
            raise MeasuringFailed("the process has no pipes")
        with contextlib.suppress(BrokenPipeError):
            self.popen.stdin.write(json.dumps([function, arguments]) + "\n")
            self.popen.stdin.flush()
        line = self.popen.stdout.readline()
        if not line:
            raise MeasuringFailed(f"{self.side} ended:\n{self.log_file.read_text(errors='replace')[-3000:]}")
        answer = json.loads(line)
        if "error" in answer:
            raise MeasuringFailed(f"{self.side}, {function}:\n{answer['error']}")
        return answer["value"]

    def stop(self) -> None:
        """End the process by closing its input."""
        if self.popen.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self.popen.stdin.close()
        try:
            self.popen.wait(15)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait(15)
        if self.popen.stdout is not None:
            self.popen.stdout.close()


@contextlib.contextmanager
def measurer(side: str, *, env: Mapping[str, str], folder: Path) -> Iterator[Measurer]:
    """Start a measuring process and end it when the context does."""
    process = Measurer(side, env=env, folder=folder)
    try:
        yield process
    finally:
        process.stop()


def serve(side: str) -> None:
    """Serve calls from standard input until it is closed."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints must not look like an answer
    importlib.import_module(f"tests.benchmarks.{side}")
    for line in sys.stdin:
        function, arguments = json.loads(line)
        module, _, name = function.partition(":")
        try:
            value = getattr(importlib.import_module(f"tests.benchmarks.{module}"), name)(**arguments)
            answer = {"value": value}
        except Exception:
            answer = {"error": traceback.format_exc()}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    serve(sys.argv[1])
