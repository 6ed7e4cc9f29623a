"""A pass as a process: its output, its end, and what is done with one that still runs."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.servers.processes import clean_environment, wait_until
from tests.suite import passes
from tests.suite.passes import Pass, Running, running

SPEAK = "print('first'); print('second'); raise SystemExit(3)"
SLEEP = "import sys, time; print('up', flush=True)\ntry: time.sleep(600)\nexcept KeyboardInterrupt: sys.exit(7)"


@pytest.fixture(autouse=True)
def reports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(passes, "REPORTS", tmp_path)
    return tmp_path


def start(code: str, one: Pass) -> Running:
    return Running(one, [sys.executable, "-c", code], clean_environment())


@pytest.mark.parametrize("beside", [True, False])
def test_what_a_pass_prints_is_shown_and_its_status_returned(beside: bool, capfd: pytest.CaptureFixture[str]) -> None:
    one = start(SPEAK, Pass("quick", beside=beside))

    assert one.wait() == 3
    assert capfd.readouterr().out == "first\nsecond\n"


def test_a_pass_beside_is_silent_until_it_is_waited_for(reports: Path, capfd: pytest.CaptureFixture[str]) -> None:
    one = start(SPEAK, Pass("quick", beside=True))
    wait_until(lambda: "second" in (reports / "quick.log").read_text(), timeout=60, what="the output")

    assert capfd.readouterr().out == ""
    one.wait()
    assert capfd.readouterr().out == "first\nsecond\n"


def test_what_still_runs_at_the_end_is_interrupted(reports: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Pass, "command", lambda self, *, seed, arguments: [sys.executable, "-c", SLEEP])
    with running([Pass("sleeper", beside=True)], seed=1, arguments=[]) as (one,):
        wait_until(lambda: "up" in (reports / "sleeper.log").read_text(), timeout=60, what="the sleeper")
    assert one.wait() == 7
