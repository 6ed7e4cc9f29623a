"""The passes of pytest that make up one run, and what each selects."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field

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
)
WORKERS = "2"


@dataclass(frozen=True)
class Pass:
    """One call of pytest: which tests (`marks`), on how many workers, with which variables."""

    name: str
    marks: str = ""
    parallel: bool = True
    coverage: bool = False
    env: Mapping[str, str] = field(default_factory=dict)

    @property
    def junit(self) -> str:
        """The file that holds the pass's results."""
        return str(REPORTS / "junit" / f"{self.name}.xml")

    def command(self, *, seed: int, arguments: list[str]) -> list[str]:
        """Return the command line."""
        command = [python(), "-m", "pytest", f"--randomly-seed={seed}", f"--junitxml={self.junit}"]
        command += ["-n", WORKERS, "--dist", "loadfile"] if self.parallel else ["-n", "0"]
        if self.marks:
            command += ["-m", self.marks]
        if self.coverage:
            command += ["--cov", "--cov-report="]
        return command + arguments

    def run(self, *, seed: int, arguments: list[str]) -> int:
        """Run pytest in front of the caller and return its exit status; Ctrl-C and TERM end it as Ctrl-C does."""
        environment = clean_environment(
            **{name: os.environ[name] for name in FOR_PYTEST if name in os.environ},
            PYTHONUNBUFFERED="1",
            COVERAGE_FILE=str(REPORTS / "coverage" / f"data.{self.name}"),
            **self.env,
        )
        with subprocess.Popen(self.command(seed=seed, arguments=arguments), cwd=ROOT, env=environment) as child:
            try:
                return child.wait()
            except BaseException:
                child.send_signal(signal.SIGINT)
                try:
                    child.wait(30)
                except subprocess.TimeoutExpired:
                    child.kill()
                raise


FAST = Pass("fast", "not server and not serial and not slow and not mariadb")


def full_run(urls: Mapping[str, str]) -> list[Pass]:
    """Return the passes of a whole run, given the addresses of the servers that are up."""
    passes = [Pass("sqlite", "not serial and not mariadb", coverage=True, env=urls)]
    if "TEST_MARIADB_URL" in urls:
        database = {"DATABASE_URL": urls["TEST_MARIADB_URL"]}
        passes.append(Pass("mariadb", "database and not serial and not sqlite", env={**urls, **database}))
    passes.append(Pass("serial", "serial and not mariadb", parallel=False, coverage=True, env=urls))
    return passes
