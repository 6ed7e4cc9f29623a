"""The servers of one run of the benchmarks and the two environments that are compared on them."""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import MySQLdb
from redis import Redis

from tests.servers import mariadb, redis
from tests.servers.processes import ROOT, Process, clean_environment, python

#: A production server waits for the disk at every commit; the suite's own does not (tests/servers/mariadb.py).
FLUSH_AT_COMMIT = 1
#: Holds 10^6 jobs with their indexes, as a server that is sized for its open work does.
BUFFER_POOL = 1536 * 1024 * 1024
#: Redis databases: the platform takes four in a row (broker, results, cache, carts), the reference two.
OURS, STOCK = 0, 8


class Stand:
    """MariaDB and Redis of our own, stopped with the context that made them."""

    def __init__(self, folder: Path) -> None:
        """Start both servers, empty."""
        self.folder = folder
        self._stack = contextlib.ExitStack()
        try:
            self.mariadb_url = self._start_mariadb()
            server, url = redis.start_redis(folder / "redis")
            self._stack.callback(server.kill)
        except BaseException:
            self._stack.close()
            raise
        self.redis_address = url.rpartition("/")[0]

    def _start_mariadb(self) -> str:
        server, url = mariadb.start_mariadb(self.folder / "mariadb")
        self._stack.callback(server.kill)
        mariadb.execute(url, f"SET GLOBAL innodb_flush_log_at_trx_commit={FLUSH_AT_COMMIT}")
        mariadb.execute(url, f"SET GLOBAL innodb_buffer_pool_size={BUFFER_POOL}")
        return url

    def stop(self) -> None:
        """Kill the servers: what is in them is not kept."""
        self._stack.close()

    def redis_url(self, number: int) -> str:
        """Return the URL of one database of the Redis server."""
        return f"{self.redis_address}/{number}"

    def database(self, name: str, *, like: str | None = None) -> str:
        """Make a database and return its URL; `like` names one whose tables it gets, empty."""
        mariadb.execute(self.mariadb_url, f"CREATE DATABASE {name}")
        url = self.mariadb_url.rpartition("/")[0] + f"/{name}"
        if like is not None:
            for table in self.tables(like):
                mariadb.execute(self.mariadb_url, f"CREATE TABLE {name}.{table} LIKE {like}.{table}")
            mariadb.execute(
                self.mariadb_url, f"INSERT INTO {name}.django_migrations SELECT * FROM {like}.django_migrations"
            )
        return url

    def tables(self, database: str) -> list[str]:
        """Return the names of a database's tables."""
        parts = urlsplit(self.mariadb_url)
        connection = MySQLdb.connect(host=parts.hostname, port=parts.port, user=parts.username, database=database)
        with contextlib.closing(connection), connection.cursor() as cursor:
            cursor.execute("SHOW FULL TABLES WHERE Table_type = 'BASE TABLE'")
            return [str(row[0]) for row in cursor.fetchall()]

    def ours(self, database_url: str) -> dict[str, str]:
        """Return the platform's environment."""
        return clean_environment(
            DJANGO_SETTINGS_MODULE="myproject.settings.development",
            STATE_DIR=str(self.folder / "state"),
            DATABASE_URL=database_url,
            REDIS_URL=self.redis_url(OURS),
            ABANDON_CART_REDIS_URL=self.redis_url(OURS + 3),
            SECRET_KEY="a-key-for-benchmarks-that-is-long-enough-to-sign-with",
            EMAIL_URL=f"file://{self.folder / 'mail'}",
            LOG_FORMAT="json",
        )

    def stock(self, database_url: str) -> dict[str, str]:
        """Return the environment of plain Celery."""
        return clean_environment(
            DJANGO_SETTINGS_MODULE="tests.benchmarks.stock_settings",
            DATABASE_URL=database_url,
            BENCH_BROKER_URL=self.redis_url(STOCK),
            BENCH_RESULT_URL=self.redis_url(STOCK + 1),
        )

    def migrated(self, name: str) -> str:
        """Make a database with the platform's tables and return its URL."""
        (self.folder / "state").mkdir(exist_ok=True)
        url = self.database(name)
        subprocess.run(
            [python(), "manage.py", "migrate", "--verbosity", "0"],
            cwd=ROOT,
            env=self.ours(url),
            check=True,
            timeout=300,
        )
        return url

    def forget_messages(self) -> None:
        """Empty every Redis database."""
        with contextlib.closing(Redis.from_url(self.redis_url(0))) as client:
            client.flushall()

    def relay(self, database_url: str, *, window: int | None = None) -> Process:
        """Start the platform's relay; `window` messages may wait in a list, its default without it."""
        command = [python(), "-m", "tests.benchmarks.relaying", *([f"--window={window}"] if window else [])]
        return Process(command, folder=self.folder / "logs", name="relay", env=self.ours(database_url))


@contextlib.contextmanager
def stand() -> Iterator[Stand]:
    """Start the servers in a folder of their own and remove both afterwards."""
    with tempfile.TemporaryDirectory(prefix="mp-bench-") as folder:
        servers = Stand(Path(folder))
        try:
            yield servers
        finally:
            servers.stop()
