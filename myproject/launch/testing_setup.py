"""What `./test` needs before the first test: the environment of ./run, the test packages, and the servers of apt."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from . import installation, machine
from .places import Checkout, only_one, read_json, write_json
from .problems import COULD_NOT_START, INTERRUPTED, Problem
from .terminal import Terminal, interruptible, undisturbed

DEV = "dev.txt"
# Server, the file that shows that it is here, and the packages that bring it (Debian, Ubuntu).
SERVERS = (
    ("Redis", ("redis-server",), ("redis-server",)),
    ("MariaDB", ("mariadbd", "mariadb-install-db"), ("mariadb-server",)),
    ("RabbitMQ", ("/usr/lib/rabbitmq/bin/rabbitmq-server", "epmd"), ("rabbitmq-server",)),
)
MYSQL_HEADERS = ("libmariadb-dev", "pkg-config", "gcc", "python3-dev")
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
APT_PATIENCE = ("-o", "Acquire::http::Timeout=20", "-o", "Acquire::Retries=1", "-o", "DPkg::Lock::Timeout=120")
APT_ENVIRONMENT = ("DEBIAN_FRONTEND=noninteractive", "NEEDRESTART_SUSPEND=1")
# Without it a machine with systemd starts each server that is installed, on its usual port, for ever.
START_NOTHING = Path("/usr/sbin/policy-rc.d")
OUR_POLICY = "made by ./test, which removes it"


def main(arguments: list[str]) -> int:
    """Set up, then become the suite; an exit status is returned only when that is not possible."""
    root = Path(__file__).resolve().parents[2]
    checkout = Checkout(root=root, state=root / ".state")
    terminal = Terminal(sys.stdout)
    try:
        machine.check_machine()
        machine.make_private_folder(checkout.state)
        with interruptible(), _alone(checkout):
            if arguments[:1] != ["fast"]:
                install_servers(checkout, terminal)
            install_packages(checkout, terminal)
    except Problem as problem:
        print(f"test: {problem}", file=sys.stderr)
        return COULD_NOT_START
    except KeyboardInterrupt:
        return INTERRUPTED
    os.chdir(root)
    environment = installation.clean_environment() | {"VIRTUAL_ENV": str(checkout.venv)}
    environment["PATH"] = f"{checkout.venv / 'bin'}:{environment.get('PATH', '')}:{SYSTEM_PATH}"
    sys.stdout.flush()
    return os.execve(checkout.python, [str(checkout.python), "-m", "tests.suite", *arguments], environment)


def install_packages(checkout: Checkout, terminal: Terminal) -> None:
    """Bring the packages of ./run and those of the tests into the virtual environment; nothing when they are there."""
    record = checkout.state / "installed.json"
    if not installation.is_current(checkout):
        with only_one(checkout):
            installation.install(checkout, terminal, needs_mysql=False)
    if read_json(record).get("mysql_driver") == installation.NO_DRIVER:
        # Without a driver the tests on MariaDB are skipped by name; that is told at the end of the run.
        with contextlib.suppress(Problem):
            installation.install(checkout, terminal, needs_mysql=True)
    locked = (checkout.root / installation.REQUIREMENTS / DEV).read_bytes()
    wanted = {"stamp": hashlib.sha256(installation.stamp(checkout).encode() + locked).hexdigest()}
    stamp = checkout.venv / "installed-for-tests.json"
    if read_json(stamp) != wanted:
        with terminal.step("Installing the test packages (once)"):
            installation.install_file(checkout, DEV)
            write_json(stamp, wanted)


def install_servers(checkout: Checkout, terminal: Terminal) -> None:
    """Install the servers that are missing where apt and our rights allow it; what stays missing is skipped by name."""
    path = f"{os.environ.get('PATH', '')}:{SYSTEM_PATH}"
    missing = [
        (name, packages)
        for name, programs, packages in SERVERS
        if not all(shutil.which(program, path=path) for program in programs)
    ]
    packages = [package for _, needed in missing for package in needed]
    driver = read_json(checkout.state / "installed.json").get("mysql_driver", installation.NO_DRIVER)
    if driver == installation.NO_DRIVER and not machine.can_build_mysql_driver():
        packages += MYSQL_HEADERS
    prefix = _root_prefix()
    if not packages or prefix is None or not shutil.which("apt-get", path=path):
        return
    with terminal.step(f"Installing {', '.join(packages)} (apt, once)"), _starting_nothing(prefix):
        log = checkout.state / "apt.log"
        # A fresh machine has no lists or old ones. Offline this fails and what apt has kept may still do.
        _apt(prefix, log, "update")
        if not _apt(prefix, log, "install", *packages):
            # One that this system does not offer must not keep the others away.
            for package in packages:
                _apt(prefix, log, "install", package)


def _apt(prefix: list[str], log: Path, *arguments: str) -> bool:
    # sudo drops variables, env does not; needrestart would restart the machine's own services.
    command = [*prefix, "env", *APT_ENVIRONMENT, "apt-get", "-q", "-y", *APT_PATIENCE]
    command += [*arguments[:1], *(["--no-install-recommends"] if arguments[0] == "install" else []), *arguments[1:]]
    with log.open("ab") as output:
        output.write(f"\n--- {' '.join(command)}\n".encode())
        output.flush()
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        try:
            return child.wait() == 0
        except BaseException:
            # Ctrl-C reaches apt as well, which ends where it may. Killed halfway it would leave dpkg to be repaired.
            with undisturbed():
                child.wait()
            raise


def _root_prefix() -> list[str] | None:
    """Return what goes before a command to run it as root: nothing for root, sudo where it asks nothing, else None."""
    if os.geteuid() == 0:
        return []
    if shutil.which("sudo"):
        asked = subprocess.run(["sudo", "-n", "true"], stdin=subprocess.DEVNULL, capture_output=True, check=False)
        if asked.returncode == 0:
            return ["sudo", "-n"]
    return None


@contextlib.contextmanager
def _starting_nothing(prefix: list[str]) -> Iterator[None]:
    """Keep installed services from being started, where the system has no policy of its own on that.

    What a run that was killed has left is ours by its text, so it is replaced and removed.
    """
    if START_NOTHING.exists() and OUR_POLICY not in START_NOTHING.read_text(errors="replace"):
        yield
        return
    path = shlex.quote(str(START_NOTHING))
    script = f"umask 022; printf '#!/bin/sh\\n# {OUR_POLICY}\\nexit 101\\n' > {path} && chmod 755 {path}"
    try:
        subprocess.run([*prefix, "sh", "-c", script], stdin=subprocess.DEVNULL, check=False)
        yield
    finally:
        with undisturbed():
            subprocess.run([*prefix, "rm", "-f", str(START_NOTHING)], stdin=subprocess.DEVNULL, check=False)


@contextlib.contextmanager
def _alone(checkout: Checkout) -> Iterator[None]:
    """Let one ./test set up at a time; the second waits for the first."""
    with (checkout.state / "test-setup.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
