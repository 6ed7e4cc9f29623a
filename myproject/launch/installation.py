"""The virtual environment: made once, filled from the locked files with hashes, skipped while those stay the same."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import subprocess
import sys
from pathlib import Path

from . import machine
from .places import Checkout, read_json, write_json
from .problems import Problem
from .terminal import Terminal, run_program

REQUIREMENTS = Path("myproject/requirements")
EVERYTHING, MYSQL, MYSQL_STATIC = "everything.txt", "mysql.txt", "mysql-static.txt"
NO_DRIVER = "none"
STAMP_VERSION = 1  # raise it when an existing environment must be built again

# Variables that would make the new interpreter see other packages than its own, or pip install elsewhere.
LEAD_ASTRAY = ("PYTHONHOME", "PYTHONPATH", "PYTHONSTARTUP", "PYTHONUSERBASE", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__")
PIP_LEADS_ASTRAY = ("PIP_TARGET", "PIP_PREFIX", "PIP_USER", "PIP_REQUIRE_VIRTUALENV", "PIP_ROOT")

OFFLINE = re.compile(
    r"name resolution|getaddrinfo|Failed to establish a new connection|NewConnectionError|Network is unreachable|"
    r"Connection refused|ProxyError|ConnectTimeout|Read timed out|No route to host|NameResolutionError|"
    r"No matching distribution found for",
    re.IGNORECASE,
)
DISK_FULL = re.compile(r"No space left on device|Disk quota exceeded", re.IGNORECASE)


def install(checkout: Checkout, terminal: Terminal, *, needs_mysql: bool) -> None:
    """Bring the virtual environment to what the locked files say. Raises Problem when that is not possible."""
    wanted = stamp(checkout)
    found = read_json(checkout.state / "installed.json")
    if not is_current(checkout):
        if found.get("stamp") == wanted:
            terminal.line(f"The packages in {checkout.venv} do not work any more and are installed again.")
        machine.check_space(checkout.state, needed=machine.SPACE_TO_INSTALL, purpose="the installation")
        with terminal.step("Installing packages (once)"):
            (checkout.state / "installed.json").unlink(missing_ok=True)
            _make_environment(checkout)
            install_file(checkout, EVERYTHING)
            found = {"stamp": wanted, "mysql_driver": _install_mysql_driver(checkout)}
            write_json(checkout.state / "installed.json", found)
    if needs_mysql and found.get("mysql_driver", NO_DRIVER) == NO_DRIVER:
        # The machine may have been given the headers since.
        with terminal.step("Installing the MySQL driver"):
            found["mysql_driver"] = _install_mysql_driver(checkout)
            write_json(checkout.state / "installed.json", found)
        if found["mysql_driver"] == NO_DRIVER:
            raise Problem(
                "DATABASE_URL asks for MySQL, but its driver cannot be built here",
                "install the headers (Debian, Ubuntu: apt install libmariadb-dev pkg-config gcc python3-dev), "
                "or unset DATABASE_URL to run on SQLite",
            )


def is_current(checkout: Checkout) -> bool:
    """Tell whether the virtual environment is what the locked files say and works."""
    found = read_json(checkout.state / "installed.json")
    return found.get("stamp") == stamp(checkout) and _works(checkout.python)


def stamp(checkout: Checkout) -> str:
    """Return the fingerprint of what is installed: the locked files, the kind of machine, the environment's place.

    The place is part of it because a virtual environment holds its own path and does not survive being moved.
    """
    text = hashlib.sha256(f"{STAMP_VERSION} {platform.machine()} {checkout.venv}".encode())
    for name in (EVERYTHING, MYSQL, MYSQL_STATIC):
        text.update((checkout.root / REQUIREMENTS / name).read_bytes())
    return text.hexdigest()


def clean_environment() -> dict[str, str]:
    """Return our environment without what would lead a Python of another environment astray."""
    return {name: value for name, value in os.environ.items() if name not in LEAD_ASTRAY}


def _works(python: Path) -> bool:
    """Tell whether the environment's interpreter starts and finds what was installed: a system upgrade can break it."""
    try:
        command = [str(python), "-I", "-c", "import django, supervisor"]
        return subprocess.run(command, check=False, capture_output=True, timeout=60).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def _make_environment(checkout: Checkout) -> None:
    log = checkout.state / "install.log"
    with log.open("wb") as output:
        command = [sys.executable, "-I", "-m", "venv", "--clear", str(checkout.venv)]
        status = run_program(
            command, env=clean_environment(), folder=checkout.root, output=output, errors=subprocess.STDOUT
        )
    if status:
        raise _explain(log, f"the virtual environment in {checkout.venv} could not be made")


def install_file(checkout: Checkout, name: str) -> None:
    """Install one locked file. Raises Problem with the reason that pip's output shows."""
    log = checkout.state / "install.log"
    environment = {name: value for name, value in clean_environment().items() if name not in PIP_LEADS_ASTRAY}
    # The lock is complete, so nothing is resolved (--no-deps): a package outside it is never fetched.
    command = [
        *(str(checkout.python), "-m", "pip", "install", "--require-hashes", "--no-deps", "--no-input"),
        *("--disable-pip-version-check", "--no-warn-script-location", "--progress-bar", "off", "--retries", "2"),
        *("--requirement", str(checkout.root / REQUIREMENTS / name)),
    ]
    with log.open("ab") as output:
        output.write(f"\n--- {name}\n".encode())
        output.flush()
        status = run_program(command, env=environment, folder=checkout.root, output=output, errors=subprocess.STDOUT)
    if status:
        raise _explain(log, f"installing {REQUIREMENTS / name} failed")


def _explain(log: Path, failure: str) -> Problem:
    text = log.read_text(errors="replace").rpartition("\n--- ")[2]
    if DISK_FULL.search(text):
        return Problem("the disk is full", f"free about {machine.SPACE_TO_INSTALL // machine.MEGABYTE} MB, then again")
    if "DO NOT MATCH THE HASHES" in text:
        return Problem(
            f"{failure}: a package does not have the locked hash",
            f"check the package index or mirror in use; {log} names the package",
        )
    if OFFLINE.search(text):
        return Problem(
            "the first installation needs a package index, and none could be reached or it lacks a package",
            f"check network and proxy, or name a mirror with PIP_INDEX_URL or PIP_FIND_LINKS (details: {log})",
        )
    return Problem(failure, f"the reason is at the end of {log}")


def _install_mysql_driver(checkout: Checkout) -> str:
    """Install the MySQL driver in the first form that this machine can have and return which one, or "none"."""
    forms = []
    if machine.can_build_mysql_driver():
        forms.append(MYSQL)
    if machine.has_static_mysql_driver():
        forms.append(MYSQL_STATIC)
    for name in forms:
        try:
            install_file(checkout, name)
        except Problem:
            continue  # no headers for this Python, or no wheel: the next form, and SQLite needs none
        return name
    return NO_DRIVER
