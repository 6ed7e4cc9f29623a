"""A copy of this checkout with `./run` in it, which takes the packages of the environment that the tests run in."""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from myproject.launch import installation
from myproject.launch.places import Checkout, read_json, write_json
from myproject.launch.site import CODE, find_supervisor
from tests.servers.platform import paused
from tests.servers.processes import MARK, ROOT, clean_environment, end_survivors, find_survivors, kill_group, wait_until


class Clone:
    """A working copy whose every process carries a mark of its own, so that "nothing is left" can be seen."""

    def __init__(self, folder: Path, *, mark: str, **env: str) -> None:
        """Copy the code, and tell `./run` that its virtual environment is made: the one of the tests, by links."""
        self.mark = mark
        self.checkout = Checkout(root=folder, state=folder / ".state")
        for name in ("run", "requirements.txt", *CODE):
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                folder.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, folder / name)
        self.checkout.state.mkdir(mode=0o700)
        self.checkout.venv.mkdir()
        for name in ("bin", "lib", "pyvenv.cfg"):  # links within a folder of our own: clearing it leaves theirs alone
            (self.checkout.venv / name).symlink_to(Path(sys.prefix) / name)
        record = {"stamp": installation.stamp(self.checkout), "mysql_driver": installation.NO_DRIVER}
        write_json(self.checkout.state / "installed.json", record)
        # Should it be taken for incomplete after all, pip fails at once instead of going to the network.
        self.env = {**clean_environment(PIP_NO_INDEX="1", PYTHON=sys.executable, **env), MARK: mark}

    def start(self, *arguments: str | Path) -> Run:
        """Start `./run` with `arguments`."""
        return Run(self, [str(argument) for argument in arguments])

    def run(self, *arguments: str | Path, timeout: float = 300) -> Ended:
        """Run `./run` with `arguments` to its end."""
        return self.start(*arguments).wait(timeout)

    def kill_programs(self, *names: str) -> None:
        """Kill programs and their children as a power cut would; supervisor is to start them again."""
        known = find_supervisor(read_json(self.checkout.current)).programs()
        for name in names:
            assert known[name]["pid"] > 0, name
            kill_group(known[name]["pid"])

    def paused(self, name: str) -> contextlib.AbstractContextManager[None]:
        """Stop a program and its children where they are for the length of the block."""
        return paused(
            self.program_ids()[name], database_url=read_json(self.checkout.current)["environment"]["DATABASE_URL"]
        )

    def program_ids(self) -> dict[str, int]:
        """Return the process id of every program that supervisor runs."""
        known = find_supervisor(read_json(self.checkout.current)).programs()
        return {name: info["pid"] for name, info in known.items()}

    def left(self) -> list[str]:
        """Return the processes of this copy that are still there."""
        return sorted(find_survivors(self.mark).values())

    def readable_by_others(self) -> list[str]:
        """Return the files of all sites that are not for their owner alone; static files are public anyway."""
        sites = self.checkout.state / "sites"
        files = (path for path in sites.rglob("*") if path.is_file() and path.relative_to(sites).parts[1] != "static")
        return sorted(path.name for path in files if path.stat().st_mode & 0o077)

    def end(self) -> None:
        """Kill whatever a failed test has left, and remove its socket."""
        end_survivors(self.mark, patience=0)
        environment = read_json(self.checkout.current).get("environment", {})
        socket = Path(environment.get("SUPERVISOR_SOCKET", ""))
        if socket.parent.name == self.checkout.mark:
            shutil.rmtree(socket.parent, ignore_errors=True)


class Ended:
    """What a command printed, and its status."""

    def __init__(self, status: int, output: str, errors: str) -> None:
        """Keep all three."""
        self.status, self.output, self.errors = status, output, errors

    def __repr__(self) -> str:
        """Show the ends: pytest prints this when an assertion fails."""
        return f"status {self.status}\n{self.output[-3000:]}\n{self.errors[-6000:]}"


class Run:
    """A `./run` that is going on."""

    def __init__(self, clone: Clone, arguments: list[str]) -> None:
        """Start it with its output in files, so that it can be read meanwhile."""
        name = f"run-{time.monotonic_ns()}"
        self._files = [clone.checkout.state / f"{name}.{stream}" for stream in ("out", "err")]
        with self._files[0].open("wb") as output, self._files[1].open("wb") as errors:
            self._popen = subprocess.Popen(
                [str(clone.checkout.root / "run"), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                env=clone.env,
                start_new_session=True,
            )

    def wait_for(self, check: Callable[[str], bool], *, what: str, timeout: float = 300) -> None:
        """Return when `check` says yes to what it has printed for people so far."""

        def reached_or_ended() -> bool:
            return check(self._files[1].read_text(errors="replace")) or self._popen.poll() is not None

        wait_until(reached_or_ended, timeout=timeout, what=what)
        assert self._popen.poll() is None, f"ended before {what}: {self.wait(1)!r}"

    def interrupt(self) -> None:
        """Send what Ctrl-C sends."""
        self._popen.send_signal(signal.SIGINT)

    def wait(self, timeout: float = 300) -> Ended:
        """Wait for its end."""
        try:
            status = self._popen.wait(timeout)
        except subprocess.TimeoutExpired:
            kill_group(self._popen.pid)
            status = self._popen.wait()
        return Ended(status, *(path.read_text(errors="replace") for path in self._files))
