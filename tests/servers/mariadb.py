"""MariaDB: a fresh data folder on a free loopback port, tuned for throw-away data."""

from __future__ import annotations

import os
import shutil
import subprocess
import uuid
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from tests.servers.processes import NotAvailable, Process, clean_environment, free_port

SEARCH = os.environ.get("PATH", "") + ":/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin"
# A test's data need not survive a power cut: without this the suite waits for the disk at every commit.
FLUSH_AT_COMMIT = os.environ.get("TEST_MARIADB_FLUSH", "0")


def mariadb_binaries() -> tuple[str, str]:
    """Return the paths of mariadb-install-db and mariadbd. Raises NotAvailable."""
    install, server = shutil.which("mariadb-install-db", path=SEARCH), shutil.which("mariadbd", path=SEARCH)
    if install is None or server is None:
        raise NotAvailable("mariadb-server is not installed (apt-get install mariadb-server)")
    check_driver()
    return install, server


def check_driver() -> None:
    """Raise NotAvailable when Python cannot talk to these servers."""
    try:
        import MySQLdb  # noqa: F401
    except ImportError:
        raise NotAvailable("mysqlclient is not installed (apt-get install libmariadb-dev pkg-config gcc)") from None


def mariadb_version() -> str:
    """Return what the server says of its version."""
    server = mariadb_binaries()[1]
    words = subprocess.run([server, "--version"], capture_output=True, text=True, check=True).stdout.split()
    return words[words.index("Ver") + 1] if "Ver" in words else " ".join(words)


def start_mariadb(folder: Path, *, outlives_parent: bool = False) -> tuple[Process, str]:
    """Start an empty server; return the process and the URL of a database that exists but has no tables."""
    install, server = mariadb_binaries()
    folder.mkdir(parents=True, exist_ok=True)
    installed = subprocess.run(
        [
            install,
            "--no-defaults",
            f"--datadir={folder / 'data'}",
            "--auth-root-authentication-method=normal",
            *as_root(),
        ],
        capture_output=True,
        text=True,
        env=own_temporary_files(folder),
        check=False,
    )
    if installed.returncode:
        raise NotAvailable(f"mariadb-install-db failed: {(installed.stdout + installed.stderr)[-800:]}")
    command = [server, "--no-defaults", "--innodb-log-file-size=64M"]
    return start_server(command, folder=folder, name="mariadb", outlives_parent=outlives_parent)


def start_server(command: Sequence[str], *, folder: Path, name: str, outlives_parent: bool) -> tuple[Process, str]:
    """Start MariaDB or MySQL on the data in `folder`/data; return the process and the URL of an empty database."""
    port = free_port()
    process = Process(
        [
            *command,
            f"--datadir={folder / 'data'}",
            f"--socket={folder / 's'}",
            f"--pid-file={folder / 'pid'}",
            f"--port={port}",
            "--bind-address=127.0.0.1",
            "--character-set-server=utf8mb4",
            "--max-connections=300",
            "--skip-log-bin",
            "--innodb-buffer-pool-size=256M",
            "--innodb-doublewrite=0",
            f"--innodb-flush-log-at-trx-commit={FLUSH_AT_COMMIT}",
            "--performance-schema=OFF",
            *as_root(),
        ],
        folder=folder,
        name=name,
        env=own_temporary_files(folder),
        outlives_parent=outlives_parent,
        stop_timeout=20,
    )
    url = f"mysql://root@127.0.0.1:{port}/myproject"
    process.wait_ready(lambda: _answers(url), timeout=60)
    execute(url, "CREATE DATABASE IF NOT EXISTS myproject")
    return process, url


def as_root() -> list[str]:
    """Return what root must say for the server to run as root; nothing for everybody else."""
    return ["--user=root"] if os.geteuid() == 0 else []


def own_temporary_files(folder: Path) -> dict[str, str]:
    """Return an environment with a temporary folder of the server's own.

    A server that starts deletes every `#sql*` file in that folder, also those of other servers that run.
    """
    temporary = folder / "tmp"
    temporary.mkdir(parents=True, exist_ok=True)
    return clean_environment(TMPDIR=str(temporary))


def fresh_database(server_url: str) -> str:
    """Create a database with a name of its own and return its URL."""
    name = f"t_{uuid.uuid4().hex[:12]}"
    execute(server_url, f"CREATE DATABASE {name}")
    return server_url.rpartition("/")[0] + f"/{name}"


def drop_database(url: str) -> None:
    """Drop the database that `fresh_database` made."""
    execute(url, f"DROP DATABASE IF EXISTS {url.rpartition('/')[2]}")


def execute(url: str, statement: str) -> None:
    """Run one statement as the server's administrator."""
    import MySQLdb

    parts = urlsplit(url)
    connection = MySQLdb.connect(
        host=parts.hostname or "127.0.0.1",
        port=parts.port or 3306,
        user=parts.username or "root",
        passwd=parts.password or "",
        connect_timeout=20,
    )
    try:
        connection.cursor().execute(statement)
        connection.commit()
    finally:
        connection.close()


def _answers(url: str) -> bool:
    import MySQLdb

    try:
        execute(url, "SELECT 1")
    except MySQLdb.Error:
        return False
    return True
