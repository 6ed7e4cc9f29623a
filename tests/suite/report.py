"""What is said at the end: what failed and how to run it again, what was skipped and why, and one line of numbers."""

from __future__ import annotations

import contextlib
import shlex
import time
import xml.etree.ElementTree as ElementTree
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.suite.checks import REPORTS, Outcome

# More names than this of one reason are counted instead of listed; the junit file holds them all.
LISTED = 12

# The option that runs a pass's tests again, and the passes.
RERUN = (
    ("", {"sqlite", "processes", "alone", "fast", "chosen"}),
    (" --mariadb", {"mariadb"}),
    (" --mysql", {"mysql"}),
    (" faults", {"faults"}),
)


@dataclass
class Tally:
    """The counted results of a run."""

    passed: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)
    skipped: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    checks: list[Outcome] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)

    @contextlib.contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Keep how long the block took as the part `name` of the run."""
        began = time.monotonic()
        try:
            yield
        finally:
            self.seconds[name] = time.monotonic() - began

    def add_check(self, outcome: Outcome) -> None:
        """Count a check as one test."""
        self.checks.append(outcome)
        if outcome.skipped:
            self.skipped[outcome.skipped].append(outcome.name)
        elif outcome.passed:
            self.passed += 1
        else:
            self.failed.append(("", outcome.name))

    def add_pass(self, name: str, junit: Path, *, status: int) -> None:
        """Count the results of one call of pytest; a call that ended badly without a failed test counts as one."""
        before = len(self.failed)
        if junit.exists():
            for case in ElementTree.parse(junit).getroot().iter("testcase"):
                self._add_case(name, case)
        # 5 is "no tests were selected", which a narrow selection may be.
        if status not in (0, 5) and len(self.failed) == before:
            self.failed.append((name, f"pytest ended with status {status}"))

    def _add_case(self, name: str, case: ElementTree.Element) -> None:
        title = node_id(case)
        skipped = case.find("skipped")
        if case.find("failure") is not None or case.find("error") is not None:
            if (name, title) not in self.failed:
                self.failed.append((name, title))
        elif skipped is not None and skipped.get("type") != "pytest.xfail":
            self.skipped[skipped.get("message", "no reason given")].append(title)
        else:
            self.passed += 1

    @property
    def skipped_count(self) -> int:
        """How many tests and checks could not be done."""
        return sum(len(names) for names in self.skipped.values())

    def lines(self, *, seed: int) -> list[str]:
        """Return the report; the last line is the one that machines read."""
        lines: list[str] = []
        if self.skipped:
            lines += ["", "Skipped:"]
            for reason, names in sorted(self.skipped.items()):
                lines.append(f"  {reason} ({len(names)})")
                lines += [f"    {name}" for name in sorted(set(names))[:LISTED]]
        if self.failed:
            lines += ["", "Failed:"]
            for name, title in self.failed:
                lines.append(f"  {title}" + (f" [{name}]" if name else ""))
            rerun = rerun_line(self.failed, seed=seed)
            if rerun:
                lines += ["", "Run again with the same seed:", *rerun]
        counts = f"{self.passed} passed, {len(self.failed)} failed, {self.skipped_count} skipped"
        return [*lines, "", counts]


def rerun_line(failed: list[tuple[str, str]], *, seed: int) -> list[str]:
    """Return one command per database that runs the failed tests again in the same order."""
    commands = []
    for option, names in RERUN:
        titles = sorted({title for name, title in failed if name in names and title.startswith("tests/")})
        if titles:
            chosen = " ".join(shlex.quote(title) for title in titles[:LISTED])
            commands.append(f"  ./test{option} --randomly-seed={seed} {chosen}")
        elif any(name in names for name, _ in failed):
            commands.append(f"  ./test{option} --randomly-seed={seed}")
    return commands


def node_id(case: ElementTree.Element) -> str:
    """Return the name under which pytest runs a test case of a junit file again."""
    module, name = case.get("classname", ""), case.get("name", "")
    parts = (module or name).split(".")
    for cut in range(len(parts), 0, -1):
        path = Path(*parts[:cut]).with_suffix(".py")
        if path.exists():  # a file that could not be imported has its own name and no class
            return "::".join([str(path), *parts[cut:], *([name] if module else [])])
    return f"{module}.{name}".strip(".")


def merge_junit(names: list[str]) -> None:
    """Write the results of all passes into one file."""
    merged = ElementTree.Element("testsuites")
    for name in names:
        file = REPORTS / "junit" / f"{name}.xml"
        if file.exists():
            for suite in ElementTree.parse(file).getroot().iter("testsuite"):
                suite.set("name", name)
                merged.append(suite)
    ElementTree.ElementTree(merged).write(REPORTS / "junit.xml", encoding="utf-8", xml_declaration=True)
