"""The programs of a world under a real supervisord: what dies comes back, with the back-off that production has."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import sys
import xmlrpc.client
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from supervisor.xmlrpc import SupervisorTransport

from tests.faults.budgets import START, STEP
from tests.servers.processes import ROOT, Process, frozen, kill_group, resume_group, wait_until

#: A program that lives this long counts as started and is started again at once when it ends; one that ends sooner is
#: waited for 1 s longer each time. Production waits for 5 s; with 1 s a row need not.
START_SECONDS = 1
#: Supervisor's words for a program that is down and stays so.
ENDED = ("STOPPED", "FATAL")
CONNECTION_ERRORS = (OSError, http.client.HTTPException, xmlrpc.client.ProtocolError)


@dataclass
class Program:
    """One supervised program: its command line and what its environment has beside the world's."""

    name: str
    command: Sequence[str]
    env: dict[str, str] = field(default_factory=dict)
    stop_seconds: int = 30

    def section(self, *, env: Mapping[str, str], folder: Path) -> str:
        """Return its section of supervisord's file."""
        settings = ",".join(f'{name}="{_escaped(value)}"' for name, value in {**env, **self.env}.items())
        return "\n".join(
            [
                f"[program:{self.name}]",
                f"command={' '.join(_escaped(part) for part in self.command)}",
                f"directory={ROOT}",
                f"environment={settings}",
                "autostart=false",
                "autorestart=true",
                f"startsecs={START_SECONDS}",
                "startretries=1000",
                "stopsignal=TERM",
                "stopasgroup=false",
                "killasgroup=true",
                f"stopwaitsecs={self.stop_seconds}",
                "redirect_stderr=true",
                f"stdout_logfile={folder / self.name}.log",
                "stdout_logfile_maxbytes=0",
                "",
            ]
        )


class Programs:
    """A supervisord and what it keeps alive."""

    def __init__(self, *, folder: Path, env: Mapping[str, str]) -> None:
        """Describe an empty supervisor with its files in `folder`, whose path must be short: it holds a socket."""
        self.folder, self.env = folder, dict(env)
        self.programs: dict[str, Program] = {}
        self.process: Process | None = None
        self._socket = folder / "s.sock"

    def start(self) -> None:
        """Start supervisord with no program running."""
        self._write()
        # What it prints beside its log goes nowhere, as in production, where it is in the background. It reports there
        # that a log cannot be written, and ends when that cannot be written either.
        self.process = Process(
            [
                "sh", "-c", 'exec "$0" "$@" >/dev/null 2>&1',
                sys.executable, "-m", "supervisor.supervisord", "-n", "-c", self.folder / "supervisord.conf",
            ],
            folder=self.folder,
            name="supervisord",
            env=self.env,
        )  # fmt: skip
        self.process.wait_ready(self._answers, timeout=START)

    def add(self, program: Program) -> None:
        """Have a program kept alive from now on."""
        self.programs[program.name] = program
        self._write()
        self._rpc().reloadConfig()
        self._rpc().addProcessGroup(program.name)
        self._rpc().startProcess(program.name, False)

    def remove(self, name: str, *, kill: bool = False) -> None:
        """Stop a program and forget it; with `kill` without asking it to end."""
        if name not in self.programs:
            return

        def ended() -> bool:
            if self.state(name) in ENDED:
                return True
            # Refused while it is down: then supervisor is about to start it again, and the next round stops that.
            with contextlib.suppress(xmlrpc.client.Fault):
                self._rpc().stopProcess(name, False)
            if kill:
                self.kill(name)
            return False

        wait_until(ended, timeout=START, what=f"{name} ending")
        self._rpc().removeProcessGroup(name)
        del self.programs[name]
        self._write()
        self._rpc().reloadConfig()

    def pid(self, name: str) -> int:
        """Return the process id of a program, which leads a group of its own; 0 while it is down."""
        return int(self._info(name)["pid"])

    def wait_for_pid(self, name: str, *, other_than: int = 0) -> int:
        """Wait until a program runs (again) and return its process id."""
        wait_until(lambda: self.pid(name) not in (0, other_than), timeout=START, what=f"{name} running")
        return self.pid(name)

    def state(self, name: str) -> str:
        """Return supervisor's word for a program's state: RUNNING, BACKOFF, EXITED ..."""
        return str(self._info(name)["statename"])

    def children(self, name: str) -> list[int]:
        """Return the processes that a program's main process has started: the pool of a worker."""
        main = self.pid(name)
        listed = Path(f"/proc/{main}/task/{main}/children")
        return [int(pid) for pid in listed.read_text().split()] if main and listed.exists() else []

    def kill(self, name: str) -> int:
        """Kill a program and everything in its group, as the kernel does when memory is short; return its old pid."""
        pid = self.pid(name)
        if pid:
            kill_group(pid)
        return pid

    def terminate(self, name: str) -> int:
        """Ask the main process of a program to end, as a deployment does; return its old pid."""
        pid = self.pid(name)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
        return pid

    def frozen(self, name: str) -> contextlib.AbstractContextManager[int]:
        """Keep a program's whole group standing still for the length of the block. Gives its process id."""
        return frozen(self.wait_for_pid(name))

    def thaw(self) -> None:
        """Let every program go on that a row left standing."""
        for name in self.programs:
            if pid := self.pid(name):
                resume_group(pid)

    def log_file(self, name: str) -> Path:
        """Return the file that a program's output goes to."""
        return self.folder / f"{name}.log"

    def stop(self) -> None:
        """Kill every program and supervisord."""
        if self.process is None:
            return
        pids = []
        with contextlib.suppress(*CONNECTION_ERRORS, xmlrpc.client.Fault):
            pids = [self.pid(name) for name in self.programs]
        self.process.kill()
        for pid in filter(None, pids):
            kill_group(pid)

    def _info(self, name: str) -> dict[str, Any]:
        found: Any = self._rpc().getProcessInfo(name)
        return dict(found)

    def _answers(self) -> bool:
        try:
            return bool(self._rpc().getState())
        except CONNECTION_ERRORS:
            return False

    def _rpc(self) -> Any:
        transport = SupervisorTransport(None, None, f"unix://{self._socket}")
        return xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport).supervisor

    def _write(self) -> None:
        head = [
            "[supervisord]",
            "nodaemon=true",
            f"pidfile={self.folder / 'supervisord.pid'}",
            f"logfile={self.folder / 'supervisor.log'}",
            f"childlogdir={self.folder}",
            *(["user=root"] if os.geteuid() == 0 else []),
            "[unix_http_server]",
            f"file={self._socket}",
            "[rpcinterface:supervisor]",
            "supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface",
            "",
        ]
        sections = [program.section(env=self.env, folder=self.folder) for program in self.programs.values()]
        (self.folder / "supervisord.conf").write_text("\n".join(head + sections))


def _escaped(text: str) -> str:
    return str(text).replace("%", "%%").replace('"', '\\"')


def wait_gone(pid: int) -> None:
    """Wait until a process has ended."""

    def gone() -> bool:
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
        except FileNotFoundError:
            return True
        return stat.rpartition(")")[2].split()[0] in "ZX"

    wait_until(gone, timeout=STEP, what=f"process {pid} ending")
