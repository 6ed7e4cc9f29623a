"""The fixtures that give a test a real server or a whole platform. A server that is missing skips the test by name."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import pytest

from tests.servers import mariadb, programs, redis
from tests.servers.platform import Platform
from tests.servers.pool import POOL
from tests.servers.processes import NotAvailable, Process, clean_environment, free_port
from tests.servers.smtp import SmtpServer


@dataclass(frozen=True)
class RedisServer:
    """A running Redis or Valkey. `name` says which."""

    name: str
    url: str

    def fresh_url(self) -> str:
        """Return the URL of an empty database; the next three numbers are empty and free too."""
        return redis.fresh_database_url(self.url)


@dataclass(frozen=True)
class RabbitServer:
    """A running RabbitMQ node. Tests share its virtual host: give queues names of their own and delete them."""

    url: str


class MariadbServer:
    """A running MariaDB. The databases made here are dropped at the end of the test run."""

    def __init__(self, url: str) -> None:
        """Use the server behind `url`."""
        self.url = url
        self.made: list[str] = []

    def fresh_url(self) -> str:
        """Create an empty database and return its URL."""
        self.made.append(mariadb.fresh_database(self.url))
        return self.made[-1]


def missing(name: str, reason: object) -> NoReturn:
    """Skip the test because the machine has no such server; with CI=true, fail it."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"required server {name} is missing: {reason}", pytrace=False)
    pytest.skip(f"server {name} is missing: {reason}")


@pytest.fixture(scope="session")
def server_url(pytestconfig: pytest.Config) -> Callable[[str], str]:
    """Return a function from a server's name to its address, which starts the server when it is not up."""

    def url(name: str) -> str:
        try:
            return pytestconfig.stash[POOL].url(name)
        except NotAvailable as reason:
            missing(name, reason)

    return url


@pytest.fixture(scope="session")
def redis_server(server_url: Callable[[str], str]) -> RedisServer:
    """A real Redis."""
    return RedisServer("redis", server_url("redis"))


@pytest.fixture(scope="session")
def valkey_server(server_url: Callable[[str], str]) -> RedisServer:
    """A real Valkey."""
    return RedisServer("valkey", server_url("valkey"))


@pytest.fixture(scope="session")
def rabbitmq_server(server_url: Callable[[str], str]) -> RabbitServer:
    """A real RabbitMQ node."""
    return RabbitServer(server_url("rabbitmq"))


@pytest.fixture(scope="session")
def mariadb_server(server_url: Callable[[str], str]) -> Iterator[MariadbServer]:
    """A real MariaDB."""
    server = MariadbServer(server_url("mariadb"))
    yield server
    for url in server.made:
        mariadb.drop_database(url)


@pytest.fixture(params=["sqlite", "mariadb"])
def any_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database, once on SQLite and once on MariaDB: for programs started as processes."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'platform.sqlite3'}"
    server: MariadbServer = request.getfixturevalue("mariadb_server")
    return server.fresh_url()


@pytest.fixture
def smtp_server() -> Iterator[SmtpServer]:
    """A real SMTP server that keeps its mails in `.messages`."""
    with SmtpServer() as server:
        yield server


@pytest.fixture
def start_process(tmp_path: Path) -> Iterator[Callable[[Process], Process]]:
    """Return a function that notes a process, so that it is stopped when the test ends."""
    started: list[Process] = []

    def note(process: Process) -> Process:
        started.append(process)
        return process

    yield note
    for process in reversed(started):
        process.stop()


@pytest.fixture
def worker(start_process: Callable[[Process], Process], tmp_path: Path) -> Callable[..., Process]:
    """Return a function like `programs.start_worker` whose workers are stopped when the test ends."""

    def start(*, env: dict[str, str], queues: list[str], **options: Any) -> Process:
        options.setdefault("folder", tmp_path / "logs")
        return start_process(programs.start_worker(env=clean_environment() | env, queues=queues, **options))

    return start


@pytest.fixture
def web_server(start_process: Callable[[Process], Process], tmp_path: Path) -> Callable[..., str]:
    """Return a function that starts gunicorn with a given environment and returns its address."""

    def start(*, env: dict[str, str], **options: Any) -> str:
        process, url = programs.start_web(env=clean_environment() | env, folder=tmp_path / "logs", **options)
        start_process(process)
        return url

    return start


@pytest.fixture
def sandbox_server(start_process: Callable[[Process], Process], tmp_path: Path) -> Callable[..., str]:
    """Return a function that starts the provider's stand-in, by default on a free port, and returns its address."""

    def start(*, env: dict[str, str] | None = None) -> str:
        settings = {
            "SANDBOX_HOST": "127.0.0.1",
            "SANDBOX_PORT": str(free_port()),
            "SANDBOX_DATABASE": str(tmp_path / "sandbox.sqlite3"),
        }
        process, url = programs.start_sandbox(
            env=clean_environment() | settings | (env or {}), folder=tmp_path / "logs"
        )
        start_process(process)
        return url

    return start


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Callable[..., Platform]]:
    """Return a function that builds a whole platform (see `tests.servers.platform.Platform`) and starts it."""
    built: list[Platform] = []

    def build(*, start: bool = True, **options: Any) -> Platform:
        built.append(Platform(folder=tmp_path / f"platform{len(built)}", **options))
        return built[-1].start() if start else built[-1]

    yield build
    for one in built:
        one.stop()
