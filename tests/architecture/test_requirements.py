"""Every package is locked with its hashes, and every direct one says why it is here."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.architecture.sources import ROOT

FOLDER = ROOT / "myproject" / "requirements"
LOCKED = sorted(FOLDER.glob("*.txt"))
SOURCES = sorted(FOLDER.glob("*.in"))
PIN = re.compile(r"^([A-Za-z0-9][\w.-]*)(?:\[[\w,-]+\])?==([^\s;\\]+)")
NAME = re.compile(r"^[A-Za-z0-9][\w.-]*")


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def direct(source: Path) -> dict[str, str]:
    """Return the packages that a source file asks for, each with its reason."""
    lines = [line for line in source.read_text().splitlines() if NAME.match(line)]
    return {normal(NAME.findall(line)[0]): line.partition("#")[2].strip() for line in lines}


def pins(locked: Path) -> dict[tuple[str, str], int]:
    """Return the packages of a lock with their versions, each with its number of hashes.

    A universal lock holds a package twice where two Pythons need two versions.
    """
    found: dict[tuple[str, str], int] = {}
    package = ("", "")
    for line in locked.read_text().splitlines():
        match = PIN.match(line)
        if match:
            package = (normal(match[1]), match[2])
            found[package] = 0
        elif line.strip().startswith("--hash=sha256:"):
            found[package] += 1
    return found


def test_there_are_two_parts_the_static_driver_and_the_tools_of_the_tests() -> None:
    names = {"dev", "everything", "mysql", "mysql-static"}
    assert {path.stem for path in LOCKED} == {path.stem for path in SOURCES} == names


@pytest.mark.parametrize("locked", LOCKED, ids=lambda path: path.stem)
def test_every_package_is_pinned_with_hashes(locked: Path) -> None:
    lines = [line for line in locked.read_text().splitlines() if NAME.match(line)]
    assert len(pins(locked)) == len(lines) > 0
    assert [package for package, hashes in pins(locked).items() if hashes == 0] == []


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_every_direct_package_is_locked_and_has_a_reason(source: Path) -> None:
    asked = direct(source)
    assert [name for name, reason in asked.items() if len(reason) < 8] == []
    assert set(asked) - {name for name, _ in pins(source.with_suffix(".txt"))} == set()


def test_parts_that_are_installed_together_agree() -> None:
    everything = pins(FOLDER / "everything.txt")
    held = {name for name, _ in everything}
    others = {package for locked in LOCKED for package in pins(locked) if package[0] in held}
    assert others - set(everything) == set()


def test_requirements_txt_is_made_of_the_two_locked_parts() -> None:
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    parts = [line for line in lines if line and not line.startswith("#")]
    assert parts == ["-r myproject/requirements/everything.txt", "-r myproject/requirements/mysql.txt"]
