"""RabbitMQ: a node of its own with its own port mapper (epmd), all on loopback."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
from pathlib import Path

from tests.servers.processes import NotAvailable, Process, clean_environment, free_port, is_listening

# Debian's /usr/sbin wrapper insists on root or the rabbitmq user and on /var/lib; the scripts it wraps do not.
SCRIPTS = Path("/usr/lib/rabbitmq/bin")


def rabbitmq_scripts() -> Path:
    """Return the folder of RabbitMQ's own scripts. Raises NotAvailable."""
    if not (SCRIPTS / "rabbitmq-server").exists() or shutil.which("epmd") is None:
        raise NotAvailable("rabbitmq-server is not installed (apt-get install rabbitmq-server)")
    return SCRIPTS


def rabbitmq_version() -> str:
    """Return the version of the installed package."""
    rabbitmq_scripts()
    for folder in Path("/usr/lib/rabbitmq/lib").glob("rabbitmq_server-*"):
        return folder.name.removeprefix("rabbitmq_server-")
    return "unknown"


def start_rabbitmq(folder: Path, *, outlives_parent: bool = False) -> tuple[list[Process], str]:
    """Start a node and its port mapper; return the processes, first to stop first, and the URL of the root vhost."""
    scripts = rabbitmq_scripts()
    folder.mkdir(parents=True, exist_ok=True)
    # As root the node runs as the packaged user: Erlang refuses a cookie file that another user owns.
    user = _packaged_user() if os.geteuid() == 0 else None
    if user:
        shutil.chown(folder, user, user)
    port, mapper_port = free_port(), free_port()
    env = node_environment(folder, port=port, mapper_port=mapper_port)
    (folder / "plugins").write_text("[].\n")
    mapper = Process(
        ["epmd", "-port", str(mapper_port), "-address", "127.0.0.1"],
        folder=folder,
        name="epmd",
        env=env,
        user=user,
        outlives_parent=outlives_parent,
        stop_signal=signal.SIGKILL,
        cwd=folder,
    )
    mapper.wait_ready(lambda: is_listening(mapper_port), timeout=60)
    node = Process(
        [scripts / "rabbitmq-server"],
        folder=folder,
        name="rabbitmq",
        env=env,
        user=user,
        outlives_parent=outlives_parent,
        # Nothing in it is worth a clean shutdown, which takes five seconds.
        stop_signal=signal.SIGKILL,
        cwd=folder,
    )
    url = f"amqp://guest:guest@127.0.0.1:{port}//"
    try:
        node.wait_ready(lambda: _greets(port), timeout=90)
    except Exception:
        mapper.kill()
        raise
    return [node, mapper], url


def node_environment(folder: Path, *, port: int, mapper_port: int) -> dict[str, str]:
    """Return what the node and its control command need to find each other and nothing else of the machine."""
    loopback = "-kernel inet_dist_use_interface {127,0,0,1}"
    return clean_environment(
        HOME=str(folder),
        RABBITMQ_NODENAME=f"test{port}@localhost",
        RABBITMQ_NODE_IP_ADDRESS="127.0.0.1",
        RABBITMQ_NODE_PORT=str(port),
        RABBITMQ_DIST_PORT=str(free_port()),
        RABBITMQ_MNESIA_BASE=str(folder / "mnesia"),
        RABBITMQ_LOG_BASE=str(folder / "log"),
        RABBITMQ_ENABLED_PLUGINS_FILE=str(folder / "plugins"),
        RABBITMQ_CONFIG_FILE=str(folder / "none"),
        RABBITMQ_CONF_ENV_FILE=str(folder / "none-env"),
        RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=f"{loopback} +sbwt none +S 2:2",
        ERL_EPMD_PORT=str(mapper_port),
        ERL_EPMD_ADDRESS="127.0.0.1",
    )


def _packaged_user() -> str:
    try:
        return pwd.getpwnam("rabbitmq").pw_name
    except KeyError:
        raise NotAvailable("the user rabbitmq does not exist (apt-get install rabbitmq-server)") from None


def _greets(port: int) -> bool:
    """Ask for a connection as a client does: the port opens seconds before the node serves."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(b"AMQP\x00\x00\x09\x01")
            return connection.recv(8)[:1] == b"\x01"
    except (OSError, subprocess.SubprocessError):
        return False
