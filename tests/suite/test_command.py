"""What a run does when the machine lacks a server, how it ends, and what it says about its time."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.servers.pool import ServerPool
from tests.servers.processes import NotAvailable
from tests.suite import command, report
from tests.suite.command import start_servers
from tests.suite.report import Tally


class PoolWithout(ServerPool):
    """A pool on a machine that has every server but one."""

    missing = ""

    def url(self, name: str) -> str:
        if name == self.missing:
            raise NotAvailable(f"{name} is not installed")
        return f"{name}://127.0.0.1:1/0"


@pytest.fixture
def pool(tmp_path: Path) -> PoolWithout:
    return PoolWithout(tmp_path)


def test_servers_are_handed_on_by_variable(pool: PoolWithout) -> None:
    assert start_servers(pool, Tally()) == {
        "TEST_REDIS_URL": "redis://127.0.0.1:1/0",
        "TEST_VALKEY_URL": "valkey://127.0.0.1:1/0",
        "TEST_MARIADB_URL": "mariadb://127.0.0.1:1/0",
        "TEST_RABBITMQ_URL": "rabbitmq://127.0.0.1:1/0",
    }


def test_missing_mariadb_is_listed_with_its_pass(pool: PoolWithout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    pool.missing, tally = "mariadb", Tally()
    urls = start_servers(pool, tally)
    assert urls is not None
    assert "TEST_MARIADB_URL" not in urls
    assert tally.skipped == {"server mariadb is missing: mariadb is not installed": ["the whole pass on MariaDB"]}


@pytest.mark.parametrize("name", ["redis", "valkey", "mariadb", "rabbitmq"])
def test_ci_refuses_to_run_without_a_server_and_says_which(
    name: str, pool: PoolWithout, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CI", "true")
    pool.missing = name
    assert start_servers(pool, Tally()) is None
    assert f"CI must have the server {name}, and it is missing: {name} is not installed" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["mariadb", "mysql"])
def test_a_database_that_was_asked_for_and_is_missing_ends_the_run(
    name: str, pool: PoolWithout, capsys: pytest.CaptureFixture[str]
) -> None:
    pool.missing = name
    with pytest.raises(SystemExit) as ended:
        command.chosen_run(pool, [f"--{name}", "tests/jobs"])
    assert ended.value.code == 2
    assert f" is missing: {name} is not installed" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["mariadb", "mysql"])
def test_what_asks_for_mariadb_gets_the_database_that_was_chosen(
    name: str, pool: PoolWithout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "server_version", lambda name: "1.2")
    url = f"{name}://127.0.0.1:1/0"
    [chosen] = command.chosen_run(pool, [f"--{name}", "tests/jobs"])
    assert (chosen.name, dict(chosen.env)) == (
        name,
        {"DATABASE_URL": url, "TEST_MARIADB_URL": url, "FAULTS_DATABASE": name},
    )


@dataclass(frozen=True)
class FakePass:
    """A pass that ends as told instead of running pytest, and says so in `told`."""

    ends: int | type[BaseException]
    name: str = "chosen"
    junit: str = "never-written.xml"
    coverage: bool = False
    beside: bool = False
    told: list[str] = field(default_factory=list)

    def start(self, *, seed: int, arguments: list[str]) -> FakeRunning:
        self.told.append(f"{self.name} begins")
        return FakeRunning(self)


class FakeRunning:
    """What `FakePass.start` returns."""

    def __init__(self, of: FakePass) -> None:
        self.of, self.seconds = of, 1.0

    def wait(self) -> int:
        if isinstance(self.of.ends, int):
            self.of.told.append(f"{self.of.name} is over")
            return self.of.ends
        raise self.of.ends

    def end(self) -> None:
        self.of.told.append(f"{self.of.name} is ended")


@pytest.fixture
def run_with(pool: PoolWithout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Return a function that makes a run of some passes, whose servers and processes are nobody's."""
    monkeypatch.setattr(command, "end_survivors", lambda mark: {})
    monkeypatch.setattr(report, "REPORTS", tmp_path)

    def run(*passes: FakePass) -> int:
        monkeypatch.setattr(command, "chosen_run", lambda pool, arguments: list(passes))
        return command.run(["--randomly-seed=7", "tests/some"], pool)

    return run


@pytest.mark.parametrize("status", [1, 2, 130])
def test_pytest_that_ends_by_itself_has_failed_and_is_reported(
    status: int, run_with: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_with(FakePass(status)) == 1
    printed = capsys.readouterr().out.splitlines()
    assert printed[-1] == "0 passed, 1 failed, 0 skipped"
    assert f"  pytest ended with status {status} [chosen]" in printed
    assert "  ./test --randomly-seed=7" in printed


def test_a_run_is_interrupted_by_its_own_signal(run_with: Callable[..., int]) -> None:
    with pytest.raises(KeyboardInterrupt):
        run_with(FakePass(KeyboardInterrupt))


def test_a_pass_beside_the_others_is_shown_after_them_and_what_is_alone_waits_for_it(
    run_with: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    told: list[str] = []
    beside = FakePass(0, name="processes", beside=True, told=told)

    assert run_with(beside, FakePass(0, name="sqlite", told=told), FakePass(0, name="alone", told=told)) == 0

    assert [line for line in told if not line.endswith("is ended")] == [
        "processes begins",
        "sqlite begins",
        "sqlite is over",
        "processes is over",
        "alone begins",
        "alone is over",
    ]
    assert re.findall(r"=== Tests: (\w+)$", capsys.readouterr().out, re.MULTILINE) == ["sqlite", "processes", "alone"]


def test_an_interrupted_run_ends_what_runs_beside(run_with: Callable[..., int]) -> None:
    beside = FakePass(0, name="processes", beside=True)
    with pytest.raises(KeyboardInterrupt):
        run_with(beside, FakePass(KeyboardInterrupt, name="sqlite"))
    assert beside.told == ["processes begins", "processes is ended"]


def test_a_failure_beside_the_others_fails_the_run(
    run_with: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_with(FakePass(1, name="processes", beside=True), FakePass(0, name="sqlite")) == 1
    assert "  pytest ended with status 1 [processes]" in capsys.readouterr().out.splitlines()


def test_a_run_says_how_long_it_and_each_part_took(
    run_with: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_with(FakePass(0)) == 0
    printed = capsys.readouterr().out
    assert re.search(r"^=== Tests: chosen took \d+ s$", printed, re.MULTILINE)
    assert re.search(r"^Time: \d+ s \(chosen \d+ s\)$", printed, re.MULTILINE)
