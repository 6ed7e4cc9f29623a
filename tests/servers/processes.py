"""Processes that tests start: each in its own session, with a mark in its environment, stopped by its own id.

The mark is what makes "nothing was left behind" provable: a grandchild inherits it even when it leaves its group, its
session and its parent, so `find_survivors` sees what a list of known process ids would miss. A few servers overwrite
their environment with their title, therefore the sessions that were opened are also written down.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Self

ROOT = Path(__file__).resolve().parents[2]
MARK = "MYPROJECT_TEST_MARK"
# Passed on to every child; anything else a developer has exported would change what the tests see.
PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "TZ", "VIRTUAL_ENV", "USER", "LOGNAME", "XDG_CACHE_HOME", MARK)
PR_SET_PDEATHSIG = 1


class NotStarted(Exception):
    """A process ended or stayed silent before it was ready. Read by the developer: holds the end of its log."""


class NotAvailable(Exception):
    """The machine cannot have this server. Read in the list of skipped tests: holds the reason and the remedy."""


def free_port() -> int:
    """Return a loopback TCP port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def is_listening(port: int) -> bool:
    """Tell whether something accepts connections on a loopback port."""
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def clean_environment(**extra: str) -> dict[str, str]:
    """Return an environment that holds what a program needs from the machine, and `extra`."""
    return {name: os.environ[name] for name in PASSED_ON if name in os.environ} | extra


def wait_until(check: Callable[[], object], *, timeout: float, what: str, pause: float = 0.05) -> None:
    """Return when `check` answers something true; raise TimeoutError naming `what` after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not check():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not happen within {timeout:g} s")
        time.sleep(pause)


def die_with_parent() -> None:
    """Ask Linux to kill this process when the one that started it ends in whatever way."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Process:
    """A running program with its own session and log file. Use as a context manager, or call `stop`."""

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        folder: Path,
        name: str,
        env: Mapping[str, str] | None = None,
        user: str | None = None,
        outlives_parent: bool = False,
        cwd: Path = ROOT,
        stop_signal: int = signal.SIGTERM,
        stop_timeout: float = 15,
    ) -> None:
        """Start `command`; its output goes to `<folder>/<name>.log`."""
        folder.mkdir(parents=True, exist_ok=True)
        self.name, self.stop_signal, self.stop_timeout = name, stop_signal, stop_timeout
        self.log_file = folder / f"{name}.log"
        self.is_ready: Callable[[], object] = lambda: True
        self.start_timeout = 60.0
        environment = dict(env) if env is not None else clean_environment()
        with self.log_file.open("ab") as output:
            self.popen = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
                cwd=cwd,
                start_new_session=True,
                user=user,
                group=user,
                extra_groups=[] if user else None,
                preexec_fn=None if outlives_parent else die_with_parent,
            )
        if MARK in environment:
            with sessions_file(environment[MARK]).open("a") as sessions:
                sessions.write(f"{self.popen.pid}\n")

    @property
    def pid(self) -> int:
        """The process id; also the id of its group and session."""
        return self.popen.pid

    def log(self) -> str:
        """Return all that the program has printed so far."""
        return self.log_file.read_text(errors="replace")

    def is_running(self) -> bool:
        """Tell whether the program has not ended yet."""
        return self.popen.poll() is None

    def wait_ready(self, check: Callable[[], object] | None = None, *, timeout: float | None = None) -> Self:
        """Return when `check` answers true; raise NotStarted with the log's end when the program ends or times out.

        Without arguments the program's own `is_ready` and `start_timeout` are meant.
        """
        asked = check or self.is_ready

        def ready_or_ended() -> bool:
            return not self.is_running() or bool(asked())

        try:
            wait_until(ready_or_ended, timeout=timeout or self.start_timeout, what=f"{self.name} being ready")
        except TimeoutError as error:
            self.kill()
            raise NotStarted(f"{error}\n{self.log()[-3000:]}") from None
        if not self.is_running():
            raise NotStarted(f"{self.name} ended with status {self.popen.returncode}\n{self.log()[-3000:]}")
        return self

    def stop(self) -> int:
        """Ask the program to end, wait, and kill its whole group if it does not. Return its exit status."""
        if self.is_running():
            self.popen.send_signal(self.stop_signal)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.popen.wait(self.stop_timeout)
        return self.kill()

    def kill(self) -> int:
        """Kill the program and everything in its group at once, as a power cut would. Return its exit status."""
        kill_group(self.pid)
        return self.popen.wait(10)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def kill_group(pid: int) -> None:
    """Kill the process group that process `pid` leads; nothing happens when it is gone."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def pause_group(pid: int) -> None:
    """Stop every process of the group that `pid` leads where it is, and return when all of them stand still.

    The signal reaches a process some time after it was sent; what comes next in a test must not run beside it.
    """
    os.killpg(pid, signal.SIGSTOP)
    wait_until(lambda: not _moving(pid), timeout=60, what=f"process group {pid} standing still", pause=0.01)


def resume_group(pid: int) -> None:
    """Let a group that `pause_group` stopped go on; nothing happens when it is gone."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGCONT)


@contextlib.contextmanager
def frozen(pid: int) -> Iterator[int]:
    """Keep the group that `pid` leads standing still for the length of the block. Gives `pid`."""
    pause_group(pid)
    try:
        yield pid
    finally:
        resume_group(pid)


def _moving(group: int) -> list[str]:
    """Return the threads of a process group that are neither stopped nor dead."""
    found: list[str] = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if not entry.name.isdigit() or os.getpgid(int(entry.name)) != group:
                continue
            for thread in (entry / "task").iterdir():
                state = (thread / "stat").read_text().rpartition(")")[2].split()[0]
                if state not in "TZX":
                    found.append(thread.name)
    return found


def sessions_file(mark: str) -> Path:
    """Return the file that lists the sessions opened under `mark`, one id a line."""
    return Path(tempfile.gettempdir()) / f"myproject-{mark}.sessions"


def find_survivors(mark: str) -> dict[int, str]:
    """Return pid and command line of every process, except this one, that belongs to `mark`.

    A process belongs to it when it carries the mark, or one that begins with it, or lives in a session opened under it.
    """
    wanted = f"{MARK}={mark}".encode()
    listed = sessions_file(mark).parent.glob(sessions_file(f"{mark}*").name)
    sessions = {session for file in listed for session in file.read_text().split()}
    found: dict[int, str] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            # Fields after the command name: state, parent, group, session.
            state, _, _, session = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
            marked = any(variable.startswith(wanted) for variable in _environment(entry))
            if state != "Z" and (marked or session in sessions):
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
                found[int(entry.name)] = command
    return found


def _environment(entry: Path) -> list[bytes]:
    try:
        return (entry / "environ").read_bytes().split(b"\0")
    except OSError:  # another user's process
        return []


def end_survivors(mark: str, *, patience: float = 5) -> dict[int, str]:
    """Give marked processes `patience` seconds to end by themselves, kill the rest and return what had to be killed."""
    with contextlib.suppress(TimeoutError):
        wait_until(lambda: not find_survivors(mark), timeout=patience, what="all ending", pause=0.2)
    survivors = find_survivors(mark)
    for pid in survivors:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)
    for listed in sessions_file(mark).parent.glob(sessions_file(f"{mark}*").name):
        listed.unlink(missing_ok=True)
    return survivors


def python() -> str:
    """Return the interpreter of the environment that the tests run in."""
    return sys.executable
