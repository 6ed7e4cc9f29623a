"""Whether the site works: its programs, its pages, its workers' answers."""

from __future__ import annotations

import http.client
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Collection, Mapping
from pathlib import Path

from .places import Checkout
from .ports import in_address, reachable
from .problems import Problem
from .programs import RUNNING, Supervisor, SupervisorErrors, read_programs
from .servers import is_answering

START_PATIENCE = 240.0  # seconds; about 15 on two idle cores, 50 where others keep both busy
BACKOFF, FATAL = 30, 200
# A program that supervisor has tried to start for so long will not come up by itself; supervisor would go on for hours.
PATIENCE_WITH_RESTARTS = 20.0


def site_address(environment: Mapping[str, str]) -> str:
    """Return the address of the home page as this machine reaches it."""
    host, _, port = environment["WEB_BIND"].rpartition(":")
    return f"http://{in_address(reachable(host.strip('[]')))}:{port}/"


def health_addresses(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the page of each program that answers 200 when it is well."""
    return {"web": site_address(environment) + "health/", "sandbox": environment["JUSPAY_BASE_URL"] + "/health"}


def get_status(address: str, *, timeout: float = 5.0) -> int:
    """Return the HTTP status of `address`, 0 when nothing answers; loopback is never asked through a proxy."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(address, timeout=timeout) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except (OSError, http.client.HTTPException):
        return 0


def wait_for_stores(urls: Collection[str], supervisor: Supervisor, names: Collection[str], logs: Path) -> None:
    """Return when every embedded server takes commands. Raises Problem naming the program that ended."""
    deadline = time.monotonic() + START_PATIENCE
    while not all(is_answering(url) for url in urls):
        _refuse_ended(supervisor, names, logs)
        if time.monotonic() > deadline:
            raise Problem("the embedded Valkey does not answer", f"see the logs in {logs}")
        time.sleep(0.05)


def wait_for_programs(supervisor: Supervisor, environment: Mapping[str, str]) -> None:
    """Return when every program has stayed up and the pages answer. Raises Problem naming what does not."""
    logs = Path(environment["LOG_DIR"])
    deadline = time.monotonic() + START_PATIENCE
    trouble: dict[str, float] = {}
    while True:
        names = _refuse_ended(supervisor, None, logs)
        for name, state in names.items():
            since = trouble.setdefault(name, time.monotonic()) if state == BACKOFF else time.monotonic()
            if time.monotonic() - since > PATIENCE_WITH_RESTARTS:
                raise Problem(f"{name} ends again and again right after its start", _see_log(logs, name))
        waiting = [name for name, state in names.items() if state != RUNNING]
        silent = [name for name, address in health_addresses(environment).items() if get_status(address) != 200]
        if not waiting and not silent:
            return
        if time.monotonic() > deadline:
            name = (waiting + silent)[0]
            raise Problem(f"{name} did not become ready within {START_PATIENCE:.0f} s", _see_log(logs, name))
        time.sleep(0.3)


def _refuse_ended(supervisor: Supervisor, names: Collection[str] | None, logs: Path) -> dict[str, int]:
    try:
        known = {
            name: int(info["state"]) for name, info in supervisor.programs().items() if names is None or name in names
        }
    except SupervisorErrors as error:
        raise Problem(f"supervisord does not answer ({error})", _see_log(logs, "supervisord")) from None
    for name, state in known.items():
        if state == FATAL:
            raise Problem(f"{name} ends right after its start", _see_log(logs, name))
    return known


def _see_log(logs: Path, name: str) -> str:
    path = logs / f"{name}.log"
    try:
        lines = [line for line in path.read_text(errors="replace").splitlines() if line.strip()]
    except OSError:
        lines = []
    said = f"it said: {lines[-1][:300]} - " if lines else ""
    return f"{said}see ./run logs {name}"


def worker_nodes(checkout: Checkout, environment: Mapping[str, str]) -> list[str]:
    """Return the names under which the workers answer, each as `app:name`."""
    programs = read_programs(checkout.root / "supervisor", environment["SUPERVISOR_INCLUDE"], environment)
    nodes = []
    for section in programs.values():
        words = section["command"].split()
        if "worker" in words and "-n" in words:
            app = "cart" if "abandon_cart_app" in words[words.index("-A") + 1] else "main"
            nodes.append(f"{app}:{words[words.index('-n') + 1].partition('@')[0]}")
    return nodes


class NotAsked(Exception):
    """Nobody knows how the workers are: the broker, or who asks over it, does not answer. Read by this package."""


def silent_workers(checkout: Checkout, environment: Mapping[str, str], *, timeout: float) -> dict[str, float]:
    """Return the workers that did not answer a ping, by their names, each with the seconds that it was waited for.

    They are asked through Celery's remote control for at most `timeout` seconds. Raises NotAsked.
    """
    command = [checkout.python, "-m", "myproject.launch.workers", str(timeout), *worker_nodes(checkout, environment)]
    try:
        answer = subprocess.run(
            [str(word) for word in command],
            check=False,
            env=dict(environment),
            cwd=checkout.root,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            timeout=timeout + 60,
            start_new_session=True,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotAsked from error
    if answer.returncode not in (0, 3):
        raise NotAsked
    lines = (line.split() for line in answer.stdout.splitlines() if line)
    return {node.rpartition(":")[2]: float(seconds) for node, seconds in lines}
