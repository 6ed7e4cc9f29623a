"""A whole platform out of real processes: web, workers by program, relay, beat and the provider's stand-in."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Self
from urllib.parse import unquote

from tests.servers import programs
from tests.servers.processes import (
    ROOT,
    Process,
    clean_environment,
    free_port,
    pause_group,
    python,
    resume_group,
)

CART_APP = "myproject.celery:abandon_cart_app"


class Platform:
    """Programs that share one environment, database and broker.

    Example: `Platform(folder=tmp_path, database_url=..., redis_url=...).start()`, then `manage("replay_orders", file)`.
    """

    def __init__(
        self,
        *,
        folder: Path,
        database_url: str,
        redis_url: str,
        broker_url: str | None = None,
        email_url: str | None = None,
        env: Mapping[str, str] | None = None,
        concurrency: int = 1,
        beat: bool = False,
        workers: Iterable[str] | None = None,
    ) -> None:
        """Describe a platform; nothing runs until `start`.

        `redis_url` names a database that is empty together with the three after it. `workers` limits the worker
        programs by name; without it all of the main app's run. `env` wins over what is put together here.
        """
        self.folder = folder
        self.concurrency, self.beat = concurrency, beat
        self.programs = {
            name: queues for name, queues in worker_programs().items() if workers is None or name in set(workers)
        }
        self.processes: dict[str, Process] = {}
        self.web_port, self.sandbox_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.web_port}"
        self.sandbox_url = f"http://127.0.0.1:{self.sandbox_port}"
        address, _, number = redis_url.rpartition("/")
        self.env = clean_environment(
            DJANGO_SETTINGS_MODULE="myproject.settings.development",
            STATE_DIR=str(folder / "state"),
            DATABASE_URL=database_url,
            REDIS_URL=redis_url,
            ABANDON_CART_REDIS_URL=f"{address}/{int(number) + 3}",
            SITE_URL=self.url,
            SECRET_KEY="a-key-for-tests-that-is-long-enough-to-sign-with-it",
            EMAIL_URL=email_url or f"file://{folder / 'mail'}",
            LOG_FORMAT="json",
            **provider_environment(self.sandbox_url),
            SANDBOX_HOST="127.0.0.1",
            SANDBOX_PORT=str(self.sandbox_port),
            SANDBOX_DATABASE=str(folder / "sandbox.sqlite3"),
            SANDBOX_WEBHOOK_URL=f"{self.url}/webhooks/juspay",
            SANDBOX_SETTLEMENT_DELAY="0.2",
        )
        if broker_url:
            self.env["CELERY_BROKER_URL"] = broker_url
        self.env.update(env or {})

    def start(self) -> Self:
        """Migrate the database and start every program; on failure stop what was started."""
        for name in ("state", "mail", "logs"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        try:
            self.manage("migrate", "--verbosity", "0", timeout=180)
            logs = self.folder / "logs"
            self.start_sandbox(wait=False)
            for name in self.programs:
                self.start_worker(name, wait=False)
            self.processes["web"], _ = programs.start_web(env=self.env, folder=logs, port=self.web_port, wait=False)
            self.processes["relay"] = programs.start_relay(env=self.env, folder=logs, wait=False)
            if self.beat:
                self.processes["beat"] = programs.start_beat(env=self.env, folder=logs, wait=False)
            for process in self.processes.values():
                process.wait_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def start_sandbox(self, *, wait: bool = True) -> None:
        """Start the provider's stand-in (again)."""
        self.processes["sandbox"], _ = programs.start_sandbox(env=self.env, folder=self.folder / "logs", wait=wait)

    def start_worker(self, program: str, *, wait: bool = True) -> Process:
        """Start (again) the worker of one program of the queue table."""
        self.processes[program] = programs.start_worker(
            env=self.env,
            queues=self.programs[program],
            folder=self.folder / "logs",
            concurrency=self.concurrency,
            name=program,
            wait=wait,
        )
        return self.processes[program]

    def kill(self, program: str) -> None:
        """Kill a program and its children as a power cut would."""
        self.processes.pop(program).kill()

    def paused(self, program: str) -> contextlib.AbstractContextManager[None]:
        """Stop a program and its children where they are for the length of the block: what they owe stays undone."""
        return paused(self.processes[program].pid, database_url=self.env["DATABASE_URL"])

    def manage(
        self, *arguments: str | Path, timeout: float = 120, expect: int | None = 0
    ) -> subprocess.CompletedProcess[str]:
        """Run `manage.py` with the platform's environment; a status other than `expect` fails with what was printed."""
        done = subprocess.run(
            [python(), "manage.py", *(str(argument) for argument in arguments)],
            env=self.env,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if expect is not None and done.returncode != expect:
            logs = "\n".join(f"--- {name}\n{process.log()[-1500:]}" for name, process in self.processes.items())
            raise AssertionError(
                f"manage.py {' '.join(map(str, arguments))} ended with {done.returncode}, expected {expect}\n"
                f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}\n{logs}"
            )
        return done

    def stop(self) -> None:
        """Kill every program at once: nothing in them is worth a clean end, which takes five seconds."""
        for process in self.processes.values():
            process.kill()
        self.processes.clear()


@contextlib.contextmanager
def paused(group: int, *, database_url: str) -> Iterator[None]:
    """Stop the process group that `group` leads where it is for the length of the block.

    On SQLite we hold the write lock while it is being stopped, so that none of its processes is stopped with the lock
    in hand and blocks everybody for the whole block.
    """
    try:
        with _sqlite_write_lock(database_url):
            pause_group(group)
        yield
    finally:
        resume_group(group)


@contextlib.contextmanager
def _sqlite_write_lock(database_url: str) -> Iterator[None]:
    scheme, _, path = database_url.partition(":///")
    if scheme != "sqlite":
        yield
        return
    with contextlib.closing(sqlite3.connect(unquote(path), timeout=60, isolation_level=None)) as database:
        database.execute("BEGIN IMMEDIATE")
        yield
        database.execute("ROLLBACK")


def worker_programs(app: str = "myproject") -> dict[str, list[str]]:
    """Return each worker program of the queue table with the queues it consumes."""
    from myproject.settings.celery import QUEUES

    found: dict[str, list[str]] = {}
    for queue in QUEUES:
        if queue.app == app:
            found.setdefault(queue.program, []).append(queue.name)
    return found


def provider_environment(base_url: str) -> dict[str, str]:
    """Return the provider's address and one set of credentials, as the client and as the stand-in read them."""
    shared = {
        "API_KEY": "test-api-key",
        "MERCHANT_ID": "test-merchant",
        "CLIENT_ID": "test-client",
        "RESPONSE_KEY": "test-response-key",
        "WEBHOOK_USER": "webhook",
        "WEBHOOK_PASSWORD": "webhook-password",
    }
    return (
        {"JUSPAY_BASE_URL": base_url}
        | {f"JUSPAY_{name}": value for name, value in shared.items()}
        | {f"SANDBOX_{name}": value for name, value in shared.items()}
    )
