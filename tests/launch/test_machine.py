"""What a machine lacks is told in one line that holds the remedy."""

from __future__ import annotations

import importlib
import os
import platform
import pwd
import shutil
import subprocess
import sys
from collections import namedtuple
from pathlib import Path
from types import ModuleType

import pytest

from myproject.launch import machine
from myproject.launch.problems import Problem

ROOT = Path(__file__).resolve().parents[2]


def refusal() -> str:
    with pytest.raises(Problem) as caught:
        machine.check_machine()
    assert caught.value.status == 2
    line = str(caught.value)
    assert "\n" not in line
    return line


def test_this_machine_is_accepted() -> None:
    machine.check_machine()


def test_an_old_python_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 10, 4, "final", 0))
    monkeypatch.setattr(platform, "python_version", lambda: "3.10.4")
    assert refusal() == (
        "Python 3.10.4 is too old: install Python 3.11 or newer, or name one with PYTHON=/path/to/python3 ./run"
    )


@pytest.mark.parametrize("missing", ["venv", "ensurepip"])
def test_a_python_without_venv_is_refused(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    real = importlib.import_module

    def fake(name: str, package: str | None = None) -> ModuleType:
        if name == missing:
            raise ImportError(name)
        return real(name, package)

    monkeypatch.setattr(importlib, "import_module", fake)
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    assert refusal() == (
        f"Python {version} has no {missing} module: install it (Debian, Ubuntu: apt install python{version}-venv)"
    )


@pytest.mark.parametrize(("system", "architecture"), [("Linux", "armv7l"), ("Linux", "riscv64"), ("FreeBSD", "amd64")])
def test_an_architecture_without_a_build_is_refused(
    monkeypatch: pytest.MonkeyPatch, system: str, architecture: str
) -> None:
    monkeypatch.setattr(platform, "system", lambda: system)
    monkeypatch.setattr(platform, "machine", lambda: architecture)
    assert refusal().startswith(f"{system} on {architecture} is not supported")


@pytest.mark.parametrize("library", [("", ""), ("glibc", "2.27")])
def test_an_old_or_other_c_library_is_refused(monkeypatch: pytest.MonkeyPatch, library: tuple[str, str]) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    monkeypatch.setattr(platform, "libc_ver", lambda: library)
    assert "glibc 2.28 or newer" in refusal()


def test_a_user_without_a_name_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def fake(uid: int) -> None:
        raise KeyError(uid)

    monkeypatch.setattr(pwd, "getpwuid", fake)
    assert refusal().startswith(f"user id {os.getuid()} has no entry")


def test_a_full_disk_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**9, 10**9, 5 * machine.MEGABYTE))
    with pytest.raises(Problem) as caught:
        machine.check_space(tmp_path, needed=machine.SPACE_TO_RUN, purpose="the site")
    assert str(caught.value).startswith(f"the site needs 500 MB in {tmp_path} and 5 MB are free: free some space")


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Problem) as caught:
        machine.make_private_folder(tmp_path / "file" / ".state")
    assert str(caught.value).startswith(f"{tmp_path / 'file' / '.state'} cannot be used (Not a directory): make the")


def test_without_any_python_the_script_says_so(tmp_path: Path) -> None:
    for tool in ("dirname", "env"):
        (tmp_path / tool).symlink_to(str(shutil.which(tool)))
    answer = subprocess.run(
        ["/bin/sh", str(ROOT / "run")], env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False
    )
    assert answer.returncode == 2
    assert answer.stdout == ""
    assert answer.stderr.startswith("run: Python 3.11 or newer was not found: install it")
    assert answer.stderr.count("\n") == 1


def test_a_shim_that_cannot_start_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "dirname").symlink_to(str(shutil.which("dirname")))
    shim = tmp_path / "python3.11"
    shim.write_text("#!/bin/sh\necho 'no such version' >&2\nexit 127\n")
    shim.chmod(0o755)
    (tmp_path / "python3").symlink_to(sys.executable)
    answer = subprocess.run(
        ["/bin/sh", str(ROOT / "run"), "--help"],
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0
    assert answer.stdout.startswith("usage: ./run [--orders FILE]")
