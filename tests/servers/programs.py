"""The project's own programs as real processes: worker, beat, web and the provider's stand-in."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from celery import Celery
from kombu.exceptions import OperationalError

from tests.servers.processes import Process, free_port, is_listening, python

# A worker imports Django and every app: about 3 s on an idle machine, several times that when both cores are busy.
START_TIMEOUT = 180


def start_worker(
    *,
    env: Mapping[str, str],
    queues: Sequence[str],
    folder: Path,
    app: str = "myproject",
    concurrency: int = 1,
    pool: str = "prefork",
    name: str | None = None,
    extra: Sequence[str] = (),
    wait: bool = True,
) -> Process:
    """Start `celery -A <app> worker` and return when it answers a ping over its broker.

    Without `wait` it returns at once, here and below: several programs start side by side and `wait_ready()` of each
    is called afterwards.

    `app` may be a file's module as well: a test that needs tasks of its own puts them there. The broker is read from
    CELERY_BROKER_URL, REDIS_URL or, for the abandoned-cart app, ABANDON_CART_REDIS_URL of `env`.
    """
    name = name or f"worker-{uuid.uuid4().hex[:6]}"
    node = f"{name}@localhost"
    command = [
        python(), "-m", "celery", "-A", app, "worker", "-Q", ",".join(queues), "-n", node, "-c", str(concurrency),
        "-P", pool, "-l", "INFO", "--without-mingle", "--without-gossip", *extra,
    ]  # fmt: skip
    process = Process(command, folder=folder, name=name, env=env, stop_timeout=30)
    url = broker_url(env, app=app)
    return _ready(process, lambda: answers_ping(url, node), wait=wait)


def answers_ping(url: str, node: str) -> bool:
    """Tell whether the worker of that name is consuming from the broker."""
    asker = Celery("asker", set_as_current=False)
    # Unlike `broker_url`, these win over a CELERY_BROKER_URL in the environment of the tests themselves.
    asker.conf.update(broker_read_url=url, broker_write_url=url)
    with contextlib.closing(asker), contextlib.suppress(OperationalError, OSError):
        return bool(asker.control.ping(destination=[node], timeout=0.5, limit=1))
    return False


def broker_url(env: Mapping[str, str], *, app: str = "myproject") -> str:
    """Return the broker that a program with this environment uses."""
    if app == "myproject.celery:abandon_cart_app":
        return env["ABANDON_CART_REDIS_URL"]
    return env.get("CELERY_BROKER_URL") or env["REDIS_URL"]


def start_beat(
    *, env: Mapping[str, str], folder: Path, app: str = "myproject", extra: Sequence[str] = (), wait: bool = True
) -> Process:
    """Start `celery -A <app> beat` and return once it has said that it is starting."""
    command = [python(), "-m", "celery", "-A", app, "beat", "-l", "INFO", "--pidfile", "", *extra]
    process = Process(command, folder=folder, name="beat", env=env)
    return _ready(process, lambda: "beat: Starting" in process.log(), wait=wait)


def start_relay(*, env: Mapping[str, str], folder: Path, wait: bool = True) -> Process:
    """Start `manage.py relay`, which publishes what is due and takes back what dead workers left."""
    process = Process([python(), "manage.py", "relay"], folder=folder, name="relay", env=env)
    return _ready(process, lambda: "relay started" in process.log(), wait=wait)


def start_web(
    *, env: Mapping[str, str], folder: Path, port: int | None = None, threads: int = 4, wait: bool = True
) -> tuple[Process, str]:
    """Start gunicorn with the project's WSGI application; return the process and its address."""
    port = port or free_port()
    command = [
        python(), "-m", "gunicorn", "myproject.wsgi:application", "--bind", f"127.0.0.1:{port}", "--workers", "1",
        "--threads", str(threads), "--timeout", "120", "--graceful-timeout", "5", "--no-control-socket",
    ]  # fmt: skip
    process = Process(command, folder=folder, name="web", env=env)
    _ready(process, lambda: is_listening(port) and "Booting worker" in process.log(), wait=wait)
    return process, f"http://127.0.0.1:{port}"


def start_sandbox(*, env: Mapping[str, str], folder: Path, wait: bool = True) -> tuple[Process, str]:
    """Start the provider's stand-in at SANDBOX_HOST and SANDBOX_PORT of `env`; return the process and its address."""
    port = int(env["SANDBOX_PORT"])
    process = Process([python(), "-m", "myproject.sandbox", "serve"], folder=folder, name="sandbox", env=env)
    _ready(process, lambda: is_listening(port), wait=wait)
    return process, f"http://127.0.0.1:{port}"


def _ready(process: Process, check: Callable[[], object], *, wait: bool) -> Process:
    process.is_ready, process.start_timeout = check, START_TIMEOUT
    return process.wait_ready() if wait else process
