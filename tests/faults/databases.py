"""One database of a world: MariaDB or MySQL with every commit on disk, on a port that it keeps, or a SQLite file."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from myproject.settings.base import LOCK_WAIT
from tests.faults.budgets import STEP
from tests.servers import mysql
from tests.servers.mariadb import as_root, mariadb_binaries, own_temporary_files
from tests.servers.processes import Process, free_port, frozen, resume_group, wait_until


class Database(Protocol):
    """What a row and the checker may do with a database."""

    kind: str
    url: str

    def start(self) -> None:
        """Start the server, or nothing."""

    def heal(self) -> None:
        """Bring the server back to what every row finds."""

    def stop(self) -> None:
        """End the server for good."""

    def rows(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Return what one statement answers; parameters are written %s. Commits."""


class Sqlite:
    """A file."""

    kind = "sqlite"

    def __init__(self, *, folder: Path) -> None:
        """Use a file in `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / "world.sqlite3"
        self.url = f"sqlite:///{self.path}"

    def start(self) -> None:
        """A file needs no server."""

    def heal(self) -> None:
        """A file is never ill."""

    def stop(self) -> None:
        """A file needs no server."""

    def rows(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Return what one statement answers; parameters are written %s. Commits."""
        with contextlib.closing(sqlite3.connect(self.path, timeout=60, isolation_level=None)) as connection:
            return connection.execute(statement.replace("%s", "?"), values).fetchall()


class Mariadb:
    """A server that a row may kill, freeze and start again on the same data."""

    kind = "mariadb"
    name = "world"
    #: What goes before a statement that is to wait for a lock no longer than `lock_wait`, in seconds.
    briefly, lock_wait = "SET STATEMENT innodb_lock_wait_timeout=1 FOR ", 1
    log_size = "--innodb-log-file-size=32M"

    def __init__(self, *, folder: Path) -> None:
        """Describe a server with its data in `folder`; nothing runs before `start`."""
        self.folder, self.data, self.port = folder, folder / "data", free_port()
        self.options: tuple[str, ...] = ()  # of its command line, beside those of every start
        self.url = f"mysql://root@127.0.0.1:{self.port}/{self.name}"
        self.process: Process | None = None

    def start(self) -> None:
        """Start the server on its data, made at the first start."""
        if self.is_running():
            return
        if not self.data.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            # The new folder stays unfinished when this is interrupted: it is made aside.
            unfinished = self.data.with_suffix(".new")
            self._make_data(unfinished)
            shutil.move(unfinished, self.data)
        options = [
            f"--datadir={self.data}", f"--socket={self.folder / 's'}", f"--pid-file={self.folder / 'pid'}",
            f"--port={self.port}", "--bind-address=127.0.0.1", "--character-set-server=utf8mb4",
            "--max-connections=200", "--skip-log-bin", "--innodb-buffer-pool-size=64M", self.log_size,
            "--innodb-flush-log-at-trx-commit=1", "--performance-schema=OFF", *as_root(), *self.options,
        ]  # fmt: skip
        self.process = Process(
            [*self._command(), *options],
            folder=self.folder,
            name=self.kind,
            env=own_temporary_files(self.folder),
        )
        self.process.wait_ready(self.answers, timeout=2 * STEP)
        self.rows(f"CREATE DATABASE IF NOT EXISTS {self.name}", database=None)

    def _command(self) -> list[str]:
        return [mariadb_binaries()[1], "--no-defaults"]

    def _make_data(self, folder: Path) -> None:
        done = subprocess.run(
            [
                mariadb_binaries()[0], "--no-defaults", f"--datadir={folder}",
                "--auth-root-authentication-method=normal", "--skip-test-db", *as_root(),
            ],
            capture_output=True, text=True, env=own_temporary_files(self.folder), check=False,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"mariadb-install-db failed: {done.stdout + done.stderr}")

    def is_running(self) -> bool:
        """Tell whether the server's process is there."""
        return self.process is not None and self.process.is_running()

    def answers(self) -> bool:
        """Tell whether the server takes a query."""
        import MySQLdb

        try:
            self.rows("SELECT 1", database=None)
        except MySQLdb.Error:
            return False
        return True

    def connect(self, *, database: str | None = name) -> Any:
        """Return a connection of the test's own, in autocommit."""
        import MySQLdb

        where = {"database": database} if database else {}
        return MySQLdb.connect(
            host="127.0.0.1", port=self.port, user="root", connect_timeout=5, autocommit=True, **where
        )

    def rows(self, statement: str, *values: Any, database: str | None = name) -> list[tuple[Any, ...]]:
        """Return what one statement answers; parameters are written %s. Commits."""
        with contextlib.closing(self.connect(database=database)) as connection:
            cursor = connection.cursor()
            cursor.execute(statement, values)
            return list(cursor.fetchall())

    def kill(self) -> None:
        """End the server as a power cut would."""
        assert self.process is not None
        self.process.kill()

    @contextlib.contextmanager
    def replaced(self, *options: str, data: Path) -> Iterator[None]:
        """Run with more options, on empty data in the folder `data`, for the length of the block."""
        before = self.data, self.options
        self.kill()
        self.data, self.options = data, options
        try:
            self.start()
            yield
        finally:
            self.kill()
            shutil.rmtree(data, ignore_errors=True)
            self.data, self.options = before
            self.start()

    def frozen(self) -> contextlib.AbstractContextManager[int]:
        """Keep the server from answering for the length of the block; its sockets stay open."""
        assert self.process is not None
        return frozen(self.process.pid)

    @contextlib.contextmanager
    def configured(self, **settings: str | int) -> Iterator[None]:
        """Change global variables of the running server for the length of the block."""
        before = {name: self.rows(f"SELECT @@GLOBAL.{name}")[0][0] for name in settings}
        for name, value in settings.items():
            self.rows(f"SET GLOBAL {name} = %s", value)
        try:
            yield
        finally:
            for name, value in before.items():
                self.rows(f"SET GLOBAL {name} = %s", value)

    def heal(self) -> None:
        """Bring the server back to what every row finds."""
        if self.is_running():
            assert self.process is not None
            resume_group(self.process.pid)
        self.start()
        wait_until(self.answers, timeout=2 * STEP, what=f"{self.kind} answering")

    def stop(self) -> None:
        """End the server for good."""
        if self.process is not None:
            self.process.kill()


class Mysql(Mariadb):
    """The same with MySQL, which knows no wait of one statement: there it is as long as the session's."""

    kind = "mysql"
    briefly, lock_wait = "", LOCK_WAIT
    log_size = "--innodb-redo-log-capacity=64M"

    def _command(self) -> list[str]:
        return [*mysql.mysql_command(), *mysql.OPTIONS]

    def _make_data(self, folder: Path) -> None:
        mysql.make_data(self._command(), folder=folder.parent, name=folder.name)


KINDS: dict[str, Any] = {"sqlite": Sqlite, "mariadb": Mariadb, "mysql": Mysql}
