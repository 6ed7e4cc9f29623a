"""What holds for every test: own servers, own marks, no network inside a transaction, nothing left behind."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings

from tests.servers.pool import POOL, ServerPool
from tests.servers.processes import MARK, end_survivors

pytest_plugins = [
    "tests.isolation",
    "tests.servers.fixtures",
    "tests.suite.distribution",
    "tests.suite.uncovered",
    "tests.promises",
    "myproject.jobs.pytest_plugin",
]

FAULTS = Path(__file__).resolve().parent / "faults"
POOL_FOLDER = "MYPROJECT_TEST_POOL"
DATABASE_FIXTURES = {"db", "transactional_db", "django_db_setup", "django_db_reset_sequences", "live_server"}
SERVER_FIXTURES = {
    "any_database_url", "mariadb_server", "platform", "rabbitmq_server", "redis_server", "sandbox_server",
    "server_url", "start_process", "valkey_server", "web_server", "worker",
}  # fmt: skip


def is_main(config: pytest.Config) -> bool:
    """Tell whether this is the process that was started, not an xdist worker of it."""
    return not hasattr(config, "workerinput")


def pytest_configure(config: pytest.Config) -> None:
    """Make the pool of servers; xdist workers inherit its folder and the mark of this run."""
    if is_main(config):
        os.environ[MARK] = f"{os.environ.get(MARK, 'pytest')}-{uuid.uuid4().hex[:8]}"
        config.stash[POOL] = ServerPool.create()
        os.environ[POOL_FOLDER] = str(config.stash[POOL].folder)
        # WhiteNoise warns about a folder that is not there with every request.
        Path(settings.STATIC_ROOT).mkdir(parents=True, exist_ok=True)
    else:
        config.stash[POOL] = ServerPool(Path(os.environ[POOL_FOLDER]))


@pytest.hookimpl(wrapper=True)
def pytest_sessionfinish(session: pytest.Session) -> Iterator[None]:
    """Stop the servers of this run and fail it when a process that it started is still there."""
    yield
    if not is_main(session.config):
        return
    session.config.stash[POOL].stop()
    survivors = end_survivors(os.environ[MARK])
    for pid, command in survivors.items():
        print(f"\nleft behind and killed: {pid} {command[:150]}")
    if survivors:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Add the marks that follow from the fixtures a test asks for."""
    on_mysql = settings.DATABASES["default"]["ENGINE"].endswith("mysql")
    for item in items:
        fixtures = set(getattr(item, "fixturenames", ()))
        if item.get_closest_marker("django_db") or fixtures & DATABASE_FIXTURES:
            item.add_marker(pytest.mark.database)
        if fixtures & SERVER_FIXTURES:
            item.add_marker(pytest.mark.server)
        if "platform" in fixtures or FAULTS in item.path.parents:
            item.add_marker(pytest.mark.serial)
        if item.get_closest_marker("mariadb") and not on_mysql:
            item.add_marker(pytest.mark.skip("needs DATABASE_URL=mysql://...; ./test runs it in its MariaDB pass"))
        if item.get_closest_marker("sqlite") and on_mysql:
            item.add_marker(pytest.mark.skip("is about SQLite; ./test runs it in its SQLite pass"))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Have shared tasks belong to the project's app, whichever app a test before this one has left as the current."""
    from myproject.celery import app

    app.set_current()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Refuse network calls inside a transaction, in every test that does not give a reason to allow them."""
    if item.get_closest_marker("network_in_transaction"):
        yield
        return
    from tests.servers.transactions import guarded

    with guarded():
        yield
