"""One Redis or Valkey of a world: on a port of its own that it keeps, so that it can die and come back."""

from __future__ import annotations

import contextlib
import re
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import redis

from tests.faults.budgets import STEP
from tests.servers.processes import Process, clean_environment, free_port, frozen, resume_group, wait_until
from tests.servers.redis import redis_binary, valkey_binary

#: The databases behind a world's URL: broker, results, cache, the carts' broker (see `tests.servers.redis`).
DATABASES = 8
#: Keys that a server reads at its start before anything else, each for so many microseconds, to be busy with loading.
FILLER, READ_FOR = 10_000, 250


class Broker:
    """A server that a row may kill, freeze, flush, starve and start again."""

    def __init__(self, kind: str, *, folder: Path) -> None:
        """Describe a `redis` or a `valkey` with its data in `folder`; nothing runs before `start`."""
        self.kind, self.folder, self.port = kind, folder, free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.process: Process | None = None
        self.options: dict[str, Any] = {}

    def start(self, *, ready: Callable[[], bool] | None = None, **options: str) -> None:
        """Start the server and return when it is `ready`, which it is when it answers.

        Nothing is kept on disk unless `options` (Redis' own, with _ for -) say so.
        """
        if self.is_running():
            return
        binary = valkey_binary() if self.kind == "valkey" else redis_binary()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.options = {name.replace("_", "-"): value for name, value in options.items()}
        settings = {
            "port": self.port, "bind": "127.0.0.1", "dir": self.folder, "save": "", "appendonly": "no",
            "databases": DATABASES, "maxmemory-policy": "noeviction", "daemonize": "no", **self.options,
        }  # fmt: skip
        # A file that may not become longer is an error of the write, as a full disk is, and not the end of the server.
        command = ["sh", "-c", 'trap \'\' XFSZ; exec "$0" "$@"', binary]
        for name, value in settings.items():
            command += [f"--{name}", str(value)]
        self.process = Process(command, folder=self.folder, name=self.kind, env=clean_environment())
        self.process.wait_ready(ready or self.answers, timeout=STEP)

    def is_running(self) -> bool:
        """Tell whether the server's process is there."""
        return self.process is not None and self.process.is_running()

    @property
    def pid(self) -> int:
        """The server's process."""
        assert self.process is not None
        return self.process.pid

    def answers(self) -> bool:
        """Tell whether the server answers a ping at once."""
        try:
            with self.client(timeout=0.5) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    def client(self, *, timeout: float = 10, database: int = 0) -> redis.Redis:
        """Return a connection of the test's own."""
        return redis.Redis(
            port=self.port,
            db=database,
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            decode_responses=True,
        )

    def kill(self) -> None:
        """End the server as a power cut would: what it had is gone."""
        assert self.process is not None
        self.process.kill()

    def shut_down(self) -> None:
        """End the server by its own command, saving nothing."""
        assert self.process is not None
        with contextlib.suppress(redis.RedisError), self.client() as client:
            client.execute_command("SHUTDOWN", "NOSAVE")
        self.process.popen.wait(STEP)

    def flush(self) -> None:
        """Empty the server, as one wrong command does."""
        with self.client() as client:
            client.flushall()

    def frozen(self) -> contextlib.AbstractContextManager[int]:
        """Keep the server from answering for the length of the block; its sockets stay open."""
        assert self.process is not None
        return frozen(self.process.pid)

    @contextlib.contextmanager
    def configured(self, **settings: str) -> Iterator[None]:
        """Change settings of the running server for the length of the block."""
        with self.client() as client:
            names = [name.replace("_", "-") for name in settings]
            before = {name: str(client.config_get(name)[name]) for name in names}
            for name, value in zip(names, settings.values(), strict=True):
                client.config_set(name, value)
        try:
            yield
        finally:
            with self.client() as client:
                for name, value in before.items():
                    client.config_set(name, value)

    @contextlib.contextmanager
    def remembering(self) -> Iterator[None]:
        """Have the server keep every write on disk for the length of the block, so that it comes back with its data."""
        with self.client() as client:
            client.config_set("appendfsync", "always")
            client.config_set("appendonly", "yes")
            wait_until(
                lambda: not client.info("persistence")["aof_rewrite_in_progress"], timeout=STEP, what="the first write"
            )
        self.options = {"appendonly": "yes", "appendfsync": "always"}
        try:
            yield
        finally:
            with self.client() as client:
                client.config_set("appendonly", "no")
            self.options = {}
            shutil.rmtree(self.folder / "appendonlydir", ignore_errors=True)

    @contextlib.contextmanager
    def loading(self, seconds: float) -> Iterator[None]:
        """Kill the server and start it on its data, of which there is so much that it says LOADING for a while.

        That while is `seconds` at least, or as long as the block. The server comes back with what it had.
        """
        with self.client(database=DATABASES - 1) as client:
            client.mset({f"filler-{number}": "" for number in range(FILLER)})
        with self.remembering():
            self.kill()
            pause = max(READ_FOR, round(seconds * 1_000_000 / FILLER))
            self.start(
                ready=lambda: self.said("LOADING") > 0,
                key_load_delay=str(pause),
                loading_process_events_interval_bytes="1024",
                **{name.replace("-", "_"): value for name, value in self.options.items()},
            )
            yield
            wait_until(self.answers, timeout=STEP, what=f"{self.kind} having read its data")

    def said(self, error: str) -> int:
        """Return how often the server has answered with an error since it started: READONLY, LOADING ..."""
        # A client of redis-py says more than it is asked to, and each word of that would be refused and counted too.
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=0.5) as asking:
                asking.sendall(b"INFO errorstats\r\n")
                answer = asking.recv(65_536).decode()
        except OSError:
            return 0
        found = re.search(rf"^errorstat_{error}:count=(\d+)", answer, re.MULTILINE)
        return int(found[1]) if found else 0

    def waiting(self) -> int:
        """Return how many task messages lie in the lists of queues or are held by workers."""
        with self.client() as client:
            count: Any = 0
            for key in client.scan_iter(count=1000):
                if key == "unacked":
                    count += client.hlen(key)
                elif not key.startswith(("_kombu", "unacked", "celery")) and client.type(key) == "list":
                    count += client.llen(key)
            return int(count)

    def down_for(self, seconds: float, *, nosave: bool = False) -> None:
        """Kill the server (or have it shut itself down) and bring it back after a while, with what it kept."""
        if nosave:
            self.shut_down()
        else:
            self.kill()
        time.sleep(seconds)
        self.start(**{name.replace("-", "_"): value for name, value in self.options.items()})

    def heal(self) -> None:
        """Bring the server back to what every row finds."""
        if self.is_running():
            assert self.process is not None
            resume_group(self.process.pid)
        if self.options and self.is_running():
            self.kill()
        self.start()
        wait_until(self.answers, timeout=STEP, what=f"{self.kind} answering")
        self.flush()

    def stop(self) -> None:
        """End the server for good."""
        if self.process is not None:
            self.process.kill()
