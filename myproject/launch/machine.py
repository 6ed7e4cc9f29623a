"""What the machine must have. Each thing that is missing gets one line with its remedy."""

from __future__ import annotations

import importlib
import os
import platform
import pwd
import shutil
import sys
from pathlib import Path

from .problems import Problem

OLDEST_PYTHON = (3, 11)
# The embedded Valkey comes as wheels for these; on Linux they need glibc 2.28 (Debian 10, Ubuntu 18.10, RHEL 8).
ARCHITECTURES = {"Linux": {"x86_64", "aarch64"}, "Darwin": {"x86_64", "arm64"}}
OLDEST_GLIBC = (2, 28)
MEGABYTE = 1024 * 1024
# Measured: the virtual environment takes 240 MB and pip some 150 MB more while it unpacks; a site with the shipped
# orders stays below 400 MB.
SPACE_TO_INSTALL = 800 * MEGABYTE
SPACE_TO_RUN = 500 * MEGABYTE


def check_machine() -> None:
    """Raise Problem when this Python or this kind of machine cannot run the site."""
    _check_python()
    _check_architecture()
    _check_user()


def _check_python() -> None:
    if sys.version_info[:2] < OLDEST_PYTHON:
        raise Problem(
            f"Python {platform.python_version()} is too old",
            "install Python 3.11 or newer, or name one with PYTHON=/path/to/python3 ./run",
        )
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    for module in ("venv", "ensurepip"):
        try:
            importlib.import_module(module)
        except ImportError:
            raise Problem(
                f"Python {version} has no {module} module",
                f"install it (Debian, Ubuntu: apt install python{version}-venv)",
            ) from None
    for module in ("ssl", "sqlite3"):
        try:
            importlib.import_module(module)
        except ImportError:
            raise Problem(
                f"Python {version} was built without {module}",
                "install the system's python3, or name a complete one with PYTHON=/path/to/python3 ./run",
            ) from None


def _check_architecture() -> None:
    system, architecture = platform.system(), platform.machine()
    remedy = "use a Linux with glibc 2.28 or newer on x86_64 or aarch64 (Debian 10+, Ubuntu 20.04+), or macOS"
    if architecture.lower().replace("amd64", "x86_64") not in ARCHITECTURES.get(system, set()):
        raise Problem(f"{system} on {architecture} is not supported, the embedded Valkey has no build for it", remedy)
    if sys.maxsize < 2**32:
        raise Problem("this Python is a 32-bit one, the embedded Valkey has no build for it", remedy)
    if system == "Linux":
        library, version = platform.libc_ver()
        numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
        if library != "glibc" or numbers < OLDEST_GLIBC:
            found = f"{library} {version}".strip() or "a C library other than glibc"
            raise Problem(f"{found} is not supported, the embedded Valkey has no build for it", remedy)


def _check_user() -> None:
    try:
        pwd.getpwuid(os.getuid())
    except KeyError:
        raise Problem(
            f"user id {os.getuid()} has no entry in the system's list of users",
            "run as a named user (in a container, add one to /etc/passwd)",
        ) from None


def user_name() -> str:
    """Return the name of the user that runs this process."""
    return pwd.getpwuid(os.getuid()).pw_name


def check_space(folder: Path, *, needed: int, purpose: str) -> None:
    """Raise Problem when the disk of `folder` has less than `needed` bytes left."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise Problem(
            f"{purpose} needs {needed // MEGABYTE} MB in {folder} and {free // MEGABYTE} MB are free",
            "free some space, or put the state elsewhere with STATE_DIR=/folder ./run",
        )


def make_private_folder(folder: Path) -> None:
    """Create `folder`, readable by its owner only. Raises Problem where that is not possible."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if folder.stat().st_mode & 0o077:
            folder.chmod(0o700)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(13, "it cannot be written")
    except OSError as error:
        raise Problem(
            f"{folder} cannot be used ({error.strerror})",
            "make the checkout writable for this user, or put the state elsewhere with STATE_DIR=/folder ./run",
        ) from None


def can_build_mysql_driver() -> bool:
    """Tell whether the tools are here that build mysqlclient: a compiler and the client library's description."""
    compiler = any(shutil.which(name) for name in ("cc", "gcc", "clang"))
    description = any(shutil.which(name) for name in ("mysql_config", "mariadb_config"))
    return compiler and (description or _package_config_knows_mysql())


def _package_config_knows_mysql() -> bool:
    import subprocess

    if not shutil.which("pkg-config"):
        return False
    return any(
        subprocess.run(["pkg-config", "--exists", name], check=False, capture_output=True).returncode == 0
        for name in ("mysqlclient", "mariadb", "libmariadb", "perconaserverclient")
    )


def has_static_mysql_driver() -> bool:
    """Tell whether mysqlclient-static has a wheel for this machine."""
    return platform.system() == "Linux" and platform.machine() == "x86_64"
