"""The servers of one test run: started when first asked for, shared by all workers of the run, stopped by its owner.

`./test` owns a pool for the whole run and hands the addresses on in `TEST_<NAME>_URL`. When pytest is started directly,
its main process owns the pool and each server comes up the first time a test needs it, whichever xdist worker that is.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import mariadb, mysql, rabbitmq, redis
from tests.servers.processes import NotAvailable, Process, kill_group

# Those of a whole run. MySQL is not among them: `./test --mysql` puts it in the place of MariaDB.
NAMES = ("redis", "valkey", "mariadb", "rabbitmq")


def url_variable(name: str) -> str:
    """Return the environment variable that holds the address of a server that is already up."""
    return f"TEST_{name.upper()}_URL"


def server_version(name: str) -> str:
    """Return the version of a server that this machine has. Raises NotAvailable."""
    versions = {
        "redis": lambda: redis.redis_version(redis.redis_binary()),
        "valkey": lambda: redis.redis_version(redis.valkey_binary()),
        "mariadb": mariadb.mariadb_version,
        "mysql": mysql.mysql_version,
        "rabbitmq": rabbitmq.rabbitmq_version,
    }
    return versions[name]()


class ServerPool:
    """Servers in one folder. Any process that knows the folder may ask; only the owner stops them."""

    def __init__(self, folder: Path, *, outlives_parent: bool = True) -> None:
        """Use `folder`, which exists.

        With `outlives_parent` a server lives on when the process that started it ends, as an xdist worker does.
        """
        self.folder, self.outlives_parent = folder, outlives_parent

    @classmethod
    def create(cls, *, outlives_parent: bool = True) -> ServerPool:
        """Make a pool in a temporary folder with a short path: unix sockets allow 108 bytes."""
        folder = Path(tempfile.mkdtemp(prefix="mp-test-"))
        folder.chmod(0o711)  # RabbitMQ runs as another user when we are root
        return cls(folder, outlives_parent=outlives_parent)

    def url(self, name: str) -> str:
        """Return the address of a server, started now if nobody did before. Raises NotAvailable."""
        given = os.environ.get(url_variable(name))
        if given:
            return given
        with self._locked(name):
            record = self.folder / f"{name}.json"
            if record.exists():
                found = json.loads(record.read_text())
            else:
                found = self._start(name)
                record.write_text(json.dumps(found))
        if "missing" in found:
            raise NotAvailable(found["missing"])
        return str(found["url"])

    def stop(self) -> None:
        """Kill every server of the pool and remove its folder. Nothing in them is worth a clean shutdown."""
        for record in self.folder.glob("*.json"):
            for pid in json.loads(record.read_text()).get("pids", []):
                kill_group(pid)
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, 0)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _start(self, name: str) -> dict[str, object]:
        processes: list[Process]
        try:
            if name == "mariadb":
                process, url = mariadb.start_mariadb(self.folder / name, outlives_parent=self.outlives_parent)
                processes = [process]
            elif name == "mysql":
                process, url = mysql.start_mysql(self.folder / name, outlives_parent=self.outlives_parent)
                processes = [process]
            elif name == "rabbitmq":
                processes, url = rabbitmq.start_rabbitmq(self.folder / name, outlives_parent=self.outlives_parent)
            else:
                process, url = redis.start_redis(self.folder / name, name=name, outlives_parent=self.outlives_parent)
                processes = [process]
        except NotAvailable as missing:
            return {"missing": str(missing)}
        return {"url": url, "pids": [process.pid for process in processes]}

    @contextlib.contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        with (self.folder / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


# Where each pytest process keeps its pool.
POOL = pytest.StashKey[ServerPool]()
