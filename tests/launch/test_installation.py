"""The virtual environment is built when the locked files change and left alone while they do not."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from myproject.launch import installation, machine, places, testing_setup
from myproject.launch.problems import Problem
from myproject.launch.terminal import Terminal


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> places.Checkout:
    folder = tmp_path / installation.REQUIREMENTS
    folder.mkdir(parents=True)
    for name in (installation.EVERYTHING, installation.MYSQL, installation.MYSQL_STATIC, testing_setup.DEV):
        (folder / name).write_text(f"{name}==1\n")
    (tmp_path / ".state").mkdir()
    monkeypatch.setattr(installation, "_works", lambda python: True)
    monkeypatch.setattr(installation, "_make_environment", lambda checkout: None)
    monkeypatch.setattr(machine, "can_build_mysql_driver", lambda: True)
    monkeypatch.setattr(machine, "has_static_mysql_driver", lambda: True)
    return places.Checkout(root=tmp_path, state=tmp_path / ".state")


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    names: list[str] = []
    monkeypatch.setattr(installation, "install_file", lambda checkout, name: names.append(name))
    return names


def install(checkout: places.Checkout, *, needs_mysql: bool = False) -> None:
    installation.install(checkout, Terminal(io.StringIO()), needs_mysql=needs_mysql)


def fail_for(monkeypatch: pytest.MonkeyPatch, *failing: str) -> list[str]:
    tried: list[str] = []

    def fake(checkout: places.Checkout, name: str) -> None:
        tried.append(name)
        if name in failing:
            raise Problem("no", "way")

    monkeypatch.setattr(installation, "install_file", fake)
    return tried


def test_a_second_run_installs_nothing(checkout: places.Checkout, installed: list[str]) -> None:
    install(checkout)
    assert installed == ["everything.txt", "mysql.txt"]
    install(checkout, needs_mysql=True)
    assert installed == ["everything.txt", "mysql.txt"]


def test_a_changed_lock_or_a_moved_checkout_installs_again(checkout: places.Checkout, installed: list[str]) -> None:
    install(checkout)
    (checkout.root / installation.REQUIREMENTS / "everything.txt").write_text("other==2\n")
    install(checkout)
    assert installed.count("everything.txt") == 2
    moved = places.Checkout(root=checkout.root, state=checkout.root / "moved")
    assert installation.stamp(moved) != installation.stamp(checkout)


def test_a_broken_environment_is_built_again(
    checkout: places.Checkout, installed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    install(checkout)
    monkeypatch.setattr(installation, "_works", lambda python: False)
    install(checkout)
    assert installed.count("everything.txt") == 2


def test_an_environment_that_was_emptied_is_built_again_and_told_in_one_line(
    checkout: places.Checkout, installed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    install(checkout)
    monkeypatch.undo()  # what is there is looked at, and nothing is: neither interpreter nor packages
    checkout.venv.mkdir()
    made: list[places.Checkout] = []
    monkeypatch.setattr(installation, "_make_environment", made.append)
    monkeypatch.setattr(installation, "install_file", lambda checkout, name: installed.append(name))
    stream = io.StringIO()
    testing_setup.install_packages(checkout, Terminal(stream))
    assert made == [checkout]
    assert installed.count("everything.txt") == 2
    assert stream.getvalue().splitlines()[0] == (
        f"The packages in {checkout.venv} do not work any more and are installed again."
    )


def test_a_record_that_lacks_the_driver_is_no_driver(checkout: places.Checkout, installed: list[str]) -> None:
    install(checkout)
    places.write_json(checkout.state / "installed.json", {"stamp": installation.stamp(checkout)})
    install(checkout, needs_mysql=True)
    assert installed == ["everything.txt", "mysql.txt", "mysql.txt"]


def test_an_interrupted_installation_leaves_no_stamp(
    checkout: places.Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_for(monkeypatch, "everything.txt")
    with pytest.raises(Problem):
        install(checkout)
    assert not (checkout.state / "installed.json").exists()


def test_without_headers_the_static_driver_serves(checkout: places.Checkout, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = fail_for(monkeypatch, "mysql.txt")
    install(checkout, needs_mysql=True)
    assert tried == ["everything.txt", "mysql.txt", "mysql-static.txt"]
    assert places.read_json(checkout.state / "installed.json")["mysql_driver"] == "mysql-static.txt"


def test_without_any_driver_sqlite_runs_and_mysql_is_refused_in_one_line(
    checkout: places.Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_for(monkeypatch, "mysql.txt", "mysql-static.txt")
    install(checkout)
    with pytest.raises(Problem) as caught:
        install(checkout, needs_mysql=True)
    assert str(caught.value).startswith("DATABASE_URL asks for MySQL, but its driver cannot be built here: ")
    assert "\n" not in str(caught.value)


def test_headers_that_came_later_are_used(checkout: places.Checkout, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_for(monkeypatch, "mysql.txt", "mysql-static.txt")
    install(checkout)
    tried = fail_for(monkeypatch)
    install(checkout, needs_mysql=True)
    assert tried == ["mysql.txt"]


@pytest.mark.parametrize(
    ("output", "line"),
    [
        ("Failed to establish a new connection: [Errno -3] Temporary failure in name resolution", "package index"),
        ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device", "the disk is full"),
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE", "locked hash"),
        ("error: something nobody foresaw", "installing it failed: the reason is at the end of"),
    ],
)
def test_a_failed_installation_names_its_reason(tmp_path: Path, output: str, line: str) -> None:
    log = tmp_path / "install.log"
    log.write_text(f"No space left on device, long ago\n--- everything.txt\n{output}\n")
    explained = str(installation._explain(log, "installing it failed"))
    assert line in explained
    assert "\n" not in explained
