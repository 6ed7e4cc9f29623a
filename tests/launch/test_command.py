"""The command line: what it takes, what it refuses, what an interruption does to a program that is running."""

from __future__ import annotations

import ast
import io
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from myproject.launch import command, places, terminal
from myproject.launch.problems import Problem
from tests.servers.processes import wait_until

ROOT = Path(__file__).resolve().parents[2]
LAUNCH = ROOT / "myproject" / "launch"


def run(*arguments: str, state: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-I", str(LAUNCH / "start.py"), *arguments],
        env={**os.environ, "STATE_DIR": str(state)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_every_option_of_the_contract_is_taken() -> None:
    options = command.parse(["--orders", "x.csv", "--json", "--no-replay", "--host", "0.0.0.0"])
    assert (options.verb, options.orders, options.json, options.no_replay, options.host) == (
        "start",
        Path("x.csv"),
        True,
        True,
        "0.0.0.0",
    )
    assert command.parse(["logs", "web"]).rest == ["web"]
    assert command.parse(["shell", "-c", "print(1)"]).rest == ["-c", "print(1)"]


@pytest.mark.parametrize("arguments", [["frobnicate"], ["stop", "web"], ["logs", "web", "beat"], ["--order", "x"]])
def test_a_mistake_ends_with_status_2_and_starts_nothing(tmp_path: Path, arguments: list[str]) -> None:
    answer = run(*arguments, state=tmp_path / "state")
    assert answer.returncode == 2
    assert answer.stdout == ""
    assert not (tmp_path / "state").exists()


def test_without_a_site_status_is_not_healthy_and_the_others_say_so(tmp_path: Path) -> None:
    status = run("status", state=tmp_path)
    assert (status.returncode, status.stdout) == (1, "Nothing is running: ./run starts the site.\n")
    logs = run("logs", state=tmp_path)
    assert (logs.returncode, logs.stderr) == (1, "run: there are no logs yet: start the site with ./run\n")
    shell = run("shell", state=tmp_path)
    assert (shell.returncode, shell.stderr) == (2, "run: there is no site yet: start one with ./run\n")
    stop = run("stop", state=tmp_path)
    assert (stop.returncode, stop.stdout.splitlines()[-1]) == (0, "Nothing was running.")


def test_a_missing_orders_file_is_refused_before_anything_is_installed(tmp_path: Path) -> None:
    answer = run("--json", "--orders", str(tmp_path / "none.csv"), state=tmp_path / "state")
    assert answer.returncode == 2
    assert answer.stdout == ""
    assert answer.stderr.endswith(
        f"run: the orders file {tmp_path / 'none.csv'} cannot be read (No such file or directory): "
        "name a readable CSV file (plain or .gz) of the retail form\n"
    )
    assert not (tmp_path / "state" / "venv").exists()


def test_reset_removes_the_sites_and_keeps_the_virtual_environment(tmp_path: Path) -> None:
    for folder in ("venv/bin", "sites/abc/mail", "test"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "current.json").write_text("{}")
    assert run("reset", state=tmp_path).returncode == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run.lock", "test", "venv"]


def test_an_interruption_is_passed_on_once_and_waited_for(tmp_path: Path) -> None:
    child = (
        "import pathlib, signal, sys, time\n"
        "heard = []\n"
        "signal.signal(signal.SIGINT, lambda *_: heard.append(1))\n"
        "pathlib.Path(sys.argv[1]).write_text('ready')\n"
        "while not heard: time.sleep(0.01)\n"
        "time.sleep(0.3)\n"
        "pathlib.Path(sys.argv[1]).write_text(f'heard {len(heard)}')\n"
    )
    parent = (
        "import os, pathlib, signal, sys\n"
        "signal.signal(signal.SIGHUP, signal.SIG_DFL)\n"  # whatever the suite itself was started with
        "from myproject.launch import terminal\n"
        "try:\n"
        "    with terminal.interruptible():\n"
        "        terminal.run_program([sys.executable, '-c', *sys.argv[1:]], \n"
        "                             env=os.environ, folder=pathlib.Path('/'))\n"
        "except KeyboardInterrupt:\n"
        "    sys.exit(130)\n"
    )
    note = tmp_path / "note"
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        note.unlink(missing_ok=True)
        with subprocess.Popen([sys.executable, "-c", parent, child, str(note)], cwd=ROOT) as process:
            wait_until(lambda: note.exists() and note.read_text() == "ready", timeout=60, what="the child", pause=0.02)
            process.send_signal(number)
            assert process.wait(60) == 130
        assert note.read_text() == "heard 1"


def test_steps_are_plain_lines_when_nobody_watches() -> None:
    stream = io.StringIO()
    with terminal.Terminal(stream).step("Doing it"):
        pass
    assert stream.getvalue() == f"  {'Doing it':<58}    0.0 s\n"


def test_the_launcher_imports_the_standard_library_and_itself_only() -> None:
    for path in LAUNCH.glob("*.py"):
        if path.name == "workers.py":  # runs inside the virtual environment
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [str(node.module)]
            foreign = [name for name in names if name.partition(".")[0] not in sys.stdlib_module_names]
            assert foreign == [], f"{path.name} imports {foreign}"


class FakeSite:
    """A site that is up without a program."""

    def __init__(self, checkout: places.Checkout, place: places.Place, terminal: terminal.Terminal, host: str) -> None:
        self.checkout, self.place, self.terminal = checkout, place, terminal
        self.environment: dict[str, str] = {}
        self.started_here = True

    def bring_up(self) -> None:
        """Nothing to do."""


@pytest.mark.parametrize(("started_here", "stopped"), [(True, 1), (False, 0)])
def test_a_replay_that_cannot_start_leaves_nothing_that_this_call_started(
    started_here: bool, stopped: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[str] = []
    stops: list[places.Checkout] = []
    monkeypatch.setattr(command, "Site", FakeSite)
    monkeypatch.setattr(FakeSite, "bring_up", lambda self: setattr(self, "started_here", started_here))
    monkeypatch.setattr(command, "is_current", lambda checkout: True)
    monkeypatch.setattr(command, "install", lambda *arguments, **options: None)
    monkeypatch.setattr(command, "replay", lambda site, json_output: 2)
    monkeypatch.setattr(command, "shut_down", stops.append)
    monkeypatch.setattr(command.views, "show_addresses", lambda *arguments: shown.append("addresses"))
    checkout = places.Checkout(root=ROOT, state=tmp_path)

    status = command.start(command.parse([]), checkout, terminal.Terminal(io.StringIO()))

    assert (status, len(stops), shown) == (2, stopped, [])


def test_a_file_with_other_columns_stops_nothing_that_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = tmp_path / "wrong.csv"
    wrong.write_text("InvoiceNo,Quantity\n1,2\n")
    reached: list[str] = []
    for name in ("is_current", "install", "shut_down", "Site"):
        monkeypatch.setattr(command, name, lambda *arguments, name=name, **options: reached.append(name))
    checkout = places.Checkout(root=ROOT, state=tmp_path)
    with pytest.raises(Problem, match="does not name StockCode") as caught:
        command.start(command.parse(["--orders", str(wrong)]), checkout, terminal.Terminal(io.StringIO()))
    assert caught.value.status == 2
    assert reached == []
