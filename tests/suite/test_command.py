"""What a run does when the machine lacks a server."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.servers.pool import ServerPool
from tests.servers.processes import NotAvailable
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
