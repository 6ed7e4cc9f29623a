"""The supervised programs: supervisord itself, asked over its socket, and what a killed one left behind."""

from __future__ import annotations

import configparser
import contextlib
import glob
import http.client
import os
import signal
import socket
import subprocess
import time
import xmlrpc.client
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from .environment import LAUNCHED_MARK, SUPERVISED_MARK
from .places import Checkout
from .problems import Problem
from .terminal import run_program

STORES = ("valkey", "valkey_cart")  # what the others need to end properly: started first, stopped last
RUNNING, STOPPED_STATES = 20, frozenset({0, 100, 200})  # supervisor's process states: STOPPED, EXITED, FATAL
STOP_PATIENCE = 60.0  # seconds; tasks of the path end within moments, and every task may run again
SupervisorErrors = (OSError, xmlrpc.client.Error, http.client.HTTPException)


class _SocketConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=90)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class _SocketTransport(xmlrpc.client.Transport):
    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path

    def make_connection(self, host: Any) -> _SocketConnection:
        return _SocketConnection(self._path)  # a fresh one per call: supervisord closes idle ones


class Supervisor:
    """A supervisord that may or may not run, known by its socket."""

    def __init__(self, socket_path: str) -> None:
        """Connect to nothing yet."""
        self._rpc = xmlrpc.client.ServerProxy("http://localhost", transport=_SocketTransport(socket_path)).supervisor

    def is_up(self) -> bool:
        """Tell whether it answers and is not shutting down."""
        try:
            state: Any = self._rpc.getState()
        except SupervisorErrors:
            return False
        return bool(state["statecode"] == 1)

    def pid(self) -> int:
        """Return its process id, 0 when it is not up."""
        try:
            return int(str(self._rpc.getPID()))
        except SupervisorErrors:
            return 0

    def programs(self) -> dict[str, dict[str, Any]]:
        """Return what supervisor knows of each program, by name."""
        found: Any = self._rpc.getAllProcessInfo()
        return {info["name"]: info for info in found}

    def start(self, names: Iterable[str]) -> None:
        """Ask for the start of every program of `names` that is not running or about to."""
        known = self.programs()
        for name in names:
            if known[name]["state"] in STOPPED_STATES:
                self._rpc.startProcess(name, False)

    def stop(self, names: Collection[str]) -> None:
        """Ask all of `names` to end at once, and wait until they have or patience is over."""
        for name in names:
            with contextlib.suppress(xmlrpc.client.Fault):
                self._rpc.stopProcess(name, False)
        deadline = time.monotonic() + STOP_PATIENCE
        while time.monotonic() < deadline:
            known = self.programs()
            if all(known[name]["state"] in STOPPED_STATES for name in names if name in known):
                return
            time.sleep(0.1)

    def shut_down(self) -> None:
        """Stop everything but the stores together, then the stores, then supervisord, and wait until it is gone."""
        pid = self.pid()
        with contextlib.suppress(*SupervisorErrors):
            names = list(self.programs())
            self.stop([name for name in names if name not in STORES])
            self.stop([name for name in names if name in STORES])
        with contextlib.suppress(*SupervisorErrors):
            self._rpc.shutdown()
        deadline = time.monotonic() + STOP_PATIENCE
        while pid and _is_alive(pid) and time.monotonic() < deadline:
            time.sleep(0.05)


def launch_supervisor(checkout: Checkout, environment: Mapping[str, str]) -> Supervisor:
    """Start supervisord in the background with the files of `supervisor/`. Raises Problem when it does not come up."""
    output = Path(environment["LOG_DIR"]) / "start.log"
    with output.open("wb") as log:
        status = run_program(
            [checkout.venv / "bin" / "supervisord", "-c", checkout.root / "supervisor" / "supervisord.conf"],
            env={**environment, SUPERVISED_MARK: environment["STATE_DIR"]},
            folder=checkout.root,
            output=log,
            errors=subprocess.STDOUT,
        )
    supervisor = Supervisor(environment["SUPERVISOR_SOCKET"])
    deadline = time.monotonic() + 20
    while status == 0 and time.monotonic() < deadline:
        if supervisor.is_up():
            return supervisor
        time.sleep(0.05)
    lines = output.read_text(errors="replace").strip().splitlines() or ["it did not answer within 20 s"]
    raise Problem(f"supervisord did not start ({lines[-1]})", f"the whole message is in {output}")


def read_programs(folder: Path, include: str, environment: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Return the sections of every program in the supervisor files of `folder`, with the environment filled in."""
    values = {f"ENV_{name}": value for name, value in environment.items()}
    main = configparser.RawConfigParser(inline_comment_prefixes=(" ;",))
    main.read(folder / "supervisord.conf")
    patterns = (main["include"]["files"] % {**values, "ENV_SUPERVISOR_INCLUDE": include}).split()
    programs: dict[str, dict[str, str]] = {}
    for path in sorted(name for pattern in patterns for name in glob.glob(str(folder / pattern))):
        parser = configparser.RawConfigParser(inline_comment_prefixes=(" ;",))
        parser.read(path)
        for section in parser.sections():
            items = {option: " ".join((value % values).split()) for option, value in parser.items(section)}
            programs[section.removeprefix("program:")] = items
    return programs


def consumed_queues(programs: Mapping[str, Mapping[str, str]]) -> dict[str, list[str]]:
    """Return the queues behind `-Q` in the command of each worker program."""
    found = {}
    for name, section in programs.items():
        words = section["command"].split()
        if "-Q" in words:
            found[name] = words[words.index("-Q") + 1].split(",")
    return found


def find_leftovers(state: Path) -> list[int]:
    """Return the processes below `state` that have lost their supervisord or their ./run.

    Call it when neither is running: every process started for the site carries a mark with its folder.
    """
    marks = [f"{name}={state}{os.sep}".encode() for name in (SUPERVISED_MARK, LAUNCHED_MARK)]
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        if int(entry.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            if entry.stat().st_uid != os.getuid():
                continue
            if not _is_alive(int(entry.name)):
                continue
            variables = (entry / "environ").read_bytes().split(b"\0")
            if any(variable.startswith(mark) for variable in variables for mark in marks):
                found.append(int(entry.name))
    return found


def end_leftovers(state: Path) -> int:
    """End what a killed supervisord or ./run left behind, so that no two servers write one file. Return how many."""
    first = find_leftovers(state)
    for number, patience in ((signal.SIGTERM, 8.0), (signal.SIGKILL, 5.0)):
        for pid in find_leftovers(state):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        deadline = time.monotonic() + patience
        while find_leftovers(state):
            if time.monotonic() > deadline:
                break
            time.sleep(0.1)
        else:
            break
    return len(first)


def _is_alive(pid: int) -> bool:
    """Tell whether a process still runs; one that only waits to be reaped by a container's lazy init does not."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except ProcessLookupError:
        return False
    except (OSError, IndexError):
        return not Path("/proc/self").exists()  # without /proc (macOS) the signal's answer has to do
