"""The passes of pytest that make up one run: what each selects, and which of them run at the same time."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.servers.processes import ROOT, clean_environment, python
from tests.suite.checks import REPORTS

# What a person or CI may set for pytest itself; everything else of the caller's environment stays outside.
FOR_PYTEST = (
    "CI",
    "COLUMNS",
    "TERM",
    "NO_COLOR",
    "FORCE_COLOR",
    "PY_COLORS",
    "HYPOTHESIS_PROFILE",
    "FAULTS_BUDGET_FACTOR",
)
WORKERS = 2
"""One per core: these tests compute."""

PROCESS_WORKERS = 2
"""One at a time these tests took 276 s, of which one core was busy for 172: they wait, so two fit beside the above."""


@dataclass(frozen=True)
class Pass:
    """One call of pytest: which tests (`marks`, `paths`), on how many workers, with which variables."""

    name: str
    marks: str = ""
    paths: tuple[str, ...] = ()
    workers: int = WORKERS
    coverage: bool = False
    beside: bool = False
    """Whether it runs beside the checks and the passes that compute; what it prints comes after them."""
    env: Mapping[str, str] = field(default_factory=dict)

    @property
    def junit(self) -> str:
        """The file that holds the pass's results."""
        return str(REPORTS / "junit" / f"{self.name}.xml")

    def command(self, *, seed: int, arguments: list[str]) -> list[str]:
        """Return the command line."""
        command = [python(), "-m", "pytest", f"--randomly-seed={seed}", f"--junitxml={self.junit}"]
        command += ["-o", f"cache_dir={REPORTS / 'pytest'}-beside"] if self.beside else []
        if self.workers:
            command += ["-n", str(self.workers), "--dist", "loadfile", "--no-loadscope-reorder"]
        else:
            command += ["-n", "0"]
        if self.marks:
            command += ["-m", self.marks]
        if self.coverage:
            command += ["--cov", "--cov-report="]
        return [*command, *self.paths, *arguments]

    def start(self, *, seed: int, arguments: list[str]) -> Running:
        """Start pytest: in front of the caller, or with its output in a file when it runs beside other passes."""
        environment = clean_environment(
            **{name: os.environ[name] for name in FOR_PYTEST if name in os.environ},
            PYTHONUNBUFFERED="1",
            FAULTS_SEED=str(seed),
            COVERAGE_FILE=str(REPORTS / "coverage" / f"data.{self.name}"),
            **self.env,
        )
        return Running(self, self.command(seed=seed, arguments=arguments), environment)


class Running:
    """A pass that has been started. `end` must be called, whatever happens."""

    def __init__(self, of: Pass, command: list[str], environment: Mapping[str, str]) -> None:
        """Start it."""
        self.of = of
        self._began, self._ended = time.monotonic(), 0.0
        self._output: Path | None = None
        if of.beside:
            self._output = REPORTS / f"{of.name}.log"
            with self._output.open("wb") as output:
                self._popen = subprocess.Popen(
                    command, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT
                )
        else:
            self._popen = subprocess.Popen(command, cwd=ROOT, env=environment)
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()

    @property
    def seconds(self) -> float:
        """How long the pass has taken, or takes already."""
        return (self._ended or time.monotonic()) - self._began

    def wait(self) -> int:
        """Show what it printed and prints, wait for its end and return its exit status."""
        if self._output is None:
            self._watcher.join()
            return self._popen.returncode
        with self._output.open("rb") as output:
            while True:
                over = not self._watcher.is_alive()
                sys.stdout.write(output.read().decode(errors="replace"))
                sys.stdout.flush()
                if over:
                    return self._popen.returncode
                self._watcher.join(0.5)

    def end(self) -> None:
        """End it as Ctrl-C does, when it is still running."""
        if not self._watcher.is_alive():
            return
        self._popen.send_signal(signal.SIGINT)
        self._watcher.join(30)
        if self._watcher.is_alive():
            self._popen.kill()
            self._watcher.join()

    def _watch(self) -> None:
        self._popen.wait()
        self._ended = time.monotonic()


@contextlib.contextmanager
def running(passes: list[Pass], *, seed: int, arguments: list[str]) -> Iterator[list[Running]]:
    """Start passes for the length of the block; one that still runs at its end is ended."""
    started: list[Running] = []
    try:
        for one in passes:
            started.append(one.start(seed=seed, arguments=arguments))
        yield started
    finally:
        for left in started:
            left.end()


ALONE = "alone"
"""The pass that begins when all others are over."""

FAST = Pass("fast", "not server and not serial and not alone and not slow and not mariadb")


def full_run(urls: Mapping[str, str], *, coverage: bool = True) -> list[Pass]:
    """Return the passes of a whole run, given the addresses of the servers that are up.

    Those that wait for real processes run `beside` those that compute; what must be alone comes when both are over.
    """
    quick, slow = "not serial and not alone", "serial and not alone"
    passes = [
        Pass("processes", f"{slow} and not mariadb", workers=PROCESS_WORKERS, coverage=coverage, beside=True, env=urls),
        Pass("sqlite", f"{quick} and not mariadb", coverage=coverage, env=urls),
    ]
    if "TEST_MARIADB_URL" in urls:
        database = {"DATABASE_URL": urls["TEST_MARIADB_URL"]}
        passes.append(Pass("mariadb", f"database and {quick} and not sqlite", env={**urls, **database}))
    return [*passes, Pass(ALONE, "alone and not mariadb", workers=0, coverage=coverage, env=urls)]


def faults_run(*, long: bool) -> Pass:
    """Return the pass of `./test faults`: the fault tests alone, in their quick or their long form."""
    env = {"FAULTS_LONG": "1"} if long else {}
    return Pass("faults", paths=("tests/faults",), workers=PROCESS_WORKERS, env=env)
