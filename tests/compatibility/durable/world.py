"""Everything that durable tasks need: a database, a broker, the relay, a worker, and a client in the tests' process."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import redis
from celery import _state
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.utils import load_backend

from myproject.celery import PlatformCelery
from myproject.settings.base import read_database
from tests.compatibility.durable.tasks import register
from tests.compatibility.tasks_for_tests import WROTE
from tests.servers import programs
from tests.servers.processes import ROOT, Process, clean_environment, python, wait_until

QUEUES = ("default", "durable_other", "durable.math")


def neighbour(url: str, offset: int) -> str:
    """Return the URL of the database `offset` numbers further on."""
    address, _, number = url.rpartition("/")
    return f"{address}/{int(number) + offset}"


class World:
    """Programs that share a database and a broker, and a Celery app of the tests' process that uses the same two."""

    def __init__(self, *, folder: Path, database_url: str, broker_url: str) -> None:
        """Describe it; `start` starts it."""
        self.folder, self.broker_url = folder, broker_url
        self.env = clean_environment(
            DJANGO_SETTINGS_MODULE="myproject.settings.test",
            STATE_DIR=str(folder / "state"),
            DATABASE_URL=database_url,
            REDIS_URL=broker_url,
            ABANDON_CART_REDIS_URL=neighbour(broker_url, 3),
            TESTS_NOTEBOOK_URL=neighbour(broker_url, 2),
            LOG_FORMAT="json",
        )
        (folder / "state").mkdir(parents=True, exist_ok=True)
        self.processes: dict[str, Process] = {}
        self.notebook = redis.Redis.from_url(self.env["TESTS_NOTEBOOK_URL"], decode_responses=True)
        self.app = self.new_client()
        self.tasks: SimpleNamespace = register(self.app)
        settings = {**connections.databases[DEFAULT_DB_ALIAS], **read_database(database_url)}
        self._database = load_backend(settings["ENGINE"]).DatabaseWrapper(settings, DEFAULT_DB_ALIAS)

    def new_client(self) -> PlatformCelery:
        """Return an app as another process of the project would make it."""
        app = PlatformCelery("myproject", fixups=[], set_as_current=False)
        app.config_from_object("django.conf:settings", namespace="CELERY")
        # These win over CELERY_BROKER_URL and CELERY_RESULT_BACKEND, which the test settings put into the environment.
        app.conf.update(broker_write_url=self.broker_url, broker_read_url=self.broker_url)
        app.conf.result_backend = neighbour(self.broker_url, 1)  # type: ignore[misc]
        return app

    def manage(self, *arguments: str) -> str:
        """Run `manage.py` and return what it printed."""
        return self._run(python(), "manage.py", *arguments)

    def celery(self, *arguments: str) -> str:
        """Run `celery -A myproject ...` and return what it printed."""
        return self._run(python(), "-m", "celery", "-A", "myproject", *arguments)

    def _run(self, *command: str) -> str:
        done = subprocess.run(
            command, env=self.env, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=180,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
        return done.stdout

    def start_worker(
        self, name: str, *, pool: str = "prefork", queues: Sequence[str] = QUEUES, extra: Sequence[str] = (),
        wait: bool = True,
    ) -> Process:  # fmt: skip
        """Start a worker with the tests' tasks. A solo worker has one slot, the others two."""
        concurrency = 1 if pool == "solo" else 2
        self.processes[name] = programs.start_worker(
            env=self.env, queues=queues, folder=self.folder, concurrency=concurrency, pool=pool, name=name,
            extra=("-I", "tests.compatibility.durable.worker_side", "-E", *extra), wait=wait,
        )  # fmt: skip
        return self.processes[name]

    def start_relay(self) -> Process:
        """Start the relay."""
        relay = Process([python(), "manage.py", "relay"], folder=self.folder, name="relay", env=self.env)
        relay.is_ready, relay.start_timeout = lambda: "relay started" in relay.log(), programs.START_TIMEOUT
        self.processes["relay"] = relay
        return relay

    def stop(self) -> None:
        """Kill every program at once: nothing in them is worth a clean end."""
        for process in self.processes.values():
            process.kill()
        self.processes.clear()
        self.notebook.close()
        self.app.close()

    @contextmanager
    def entered(self) -> Iterator[World]:
        """Make the world's database and app the ones of this process, as they are in a process of the project."""
        before, app = connections[DEFAULT_DB_ALIAS], _state.get_current_app()
        connections[DEFAULT_DB_ALIAS] = self._database
        self.app.set_current()
        try:
            yield self
        finally:
            self._database.close()
            connections[DEFAULT_DB_ALIAS] = before
            app.set_current()

    def notes(self, key: str, *, expect: int = 0) -> list[str]:
        """Return what tasks wrote under a key, once there are `expect` lines of it."""
        name = WROTE + key
        if expect:
            wait_until(
                lambda: self.notebook.llen(name) >= expect, timeout=60, what=f"{expect} notes under {key}", pause=0.02
            )
        found: Any = self.notebook.lrange(name, 0, -1)
        return list(found)

    def empty_broker(self) -> None:
        """Delete everything that the broker and the other result backend hold, as a flush does."""
        for offset in (0, 1):
            with redis.Redis.from_url(neighbour(self.broker_url, offset)) as client:
                client.flushdb()

    def let_go(self, key: str, *, times: int = 1) -> None:
        """Let bodies that wait for that key go on."""
        self.notebook.rpush(key, *["on"] * times)
