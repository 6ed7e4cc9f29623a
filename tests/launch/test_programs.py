"""supervisord started, asked, stopped and killed for real, with the project's own supervisord.conf and small ones."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from myproject.launch import environment, places, programs
from myproject.launch.problems import Problem
from tests.servers.processes import wait_until

ROOT = Path(__file__).resolve().parents[2]
PORTS = {"web": 1, "flower": 2, "sandbox": 3, "valkey": 4, "valkey_cart": 5}
PROGRAM = """[program:{name}]
command={command}
autostart=%(ENV_SUPERVISOR_AUTOSTART)s
startsecs=0
killasgroup=true
stdout_logfile=%(ENV_LOG_DIR)s/{name}.log
"""

pytestmark = [pytest.mark.server, pytest.mark.serial]


class Started:
    """A checkout with a supervisord of two sleeping programs."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (root / "supervisor").mkdir(parents=True)
        shutil.copy(ROOT / "supervisor" / "supervisord.conf", root / "supervisor")
        for name, seconds in (("web", 301), ("beat", 302)):
            text = PROGRAM.format(name=name, command=f"{sys.executable} -c 'import time; time.sleep({seconds})'")
            (root / "supervisor" / f"{name}.conf").write_text(text)
        monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
        self.checkout = places.Checkout(root=root, state=root / ".state")
        self.place = places.Place(folder=self.checkout.state / "sites" / "a", orders=root / "orders.csv")
        self.place.create()
        self.checkout.venv.symlink_to(sys.prefix)
        self.environment = environment.build_environment(
            self.checkout, self.place, stored=environment.load_secrets(self.place), ports=PORTS, host="127.0.0.1"
        )
        self.environment["SUPERVISOR_INCLUDE"] = ""


@pytest.fixture
def started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Started]:
    found = Started(tmp_path / "clone", monkeypatch)
    yield found
    programs.Supervisor(found.environment["SUPERVISOR_SOCKET"]).shut_down()
    programs.end_leftovers(found.checkout.state)
    shutil.rmtree(found.checkout.socket_folder())


def states(supervisor: programs.Supervisor) -> set[str]:
    return {info["statename"] for info in supervisor.programs().values()}


def test_programs_start_when_they_are_asked_to_and_a_stop_leaves_nothing(started: Started) -> None:
    supervisor = programs.launch_supervisor(started.checkout, started.environment)
    assert {name: info["statename"] for name, info in supervisor.programs().items()} == {
        "beat": "STOPPED",
        "web": "STOPPED",
    }
    supervisor.start(["web", "beat"])
    wait_until(lambda: states(supervisor) == {"RUNNING"}, timeout=60, what="both programs running")
    state = started.checkout.state
    wait_until(lambda: len(programs.find_leftovers(state)) == 3, timeout=60, what="supervisor and both programs")
    supervisor.shut_down()
    assert not supervisor.is_up()
    assert programs.find_leftovers(started.checkout.state) == []


def test_what_a_killed_supervisord_leaves_behind_is_found_and_ended(started: Started) -> None:
    supervisor = programs.launch_supervisor(started.checkout, started.environment)
    supervisor.start(["web", "beat"])
    wait_until(lambda: states(supervisor) == {"RUNNING"}, timeout=60, what="both programs running")
    os.kill(supervisor.pid(), signal.SIGKILL)
    wait_until(lambda: not supervisor.is_up(), timeout=60, what="the end of supervisord")
    assert programs.end_leftovers(started.checkout.state) >= 2
    assert programs.find_leftovers(started.checkout.state) == []

    again = programs.launch_supervisor(started.checkout, started.environment)  # stale pid file and socket

    assert again.is_up()


def test_processes_of_another_checkout_are_not_ours(started: Started) -> None:
    supervisor = programs.launch_supervisor(started.checkout, started.environment)
    beside = started.checkout.state.with_name(".state-of-another")
    assert programs.find_leftovers(beside) == []
    assert supervisor.pid() in programs.find_leftovers(started.checkout.state)


def test_a_variable_that_is_missing_stops_the_start_with_its_name(started: Started) -> None:
    del started.environment["LOG_MAX_BYTES"]
    with pytest.raises(Problem) as caught:
        programs.launch_supervisor(started.checkout, started.environment)
    assert "ENV_LOG_MAX_BYTES" in (started.place.logs / "start.log").read_text()
    assert str(caught.value).startswith("supervisord did not start (")


def test_a_supervisord_that_is_not_there_is_simply_not_up(tmp_path: Path) -> None:
    supervisor = programs.Supervisor(str(tmp_path / "none.sock"))
    assert not supervisor.is_up()
    assert supervisor.pid() == 0
