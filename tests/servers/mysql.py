"""MySQL itself, where MariaDB is not the same: a server of the machine's own, or Debian's, unpacked and not installed.

Debian's releases have MariaDB only. Its branch in development has MySQL, built against a C library newer than the
machine's: its packages are unpacked into one folder with every library that they need, and the server is started by the
loader among these. The machine's own packages stay as they are.
"""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers.mariadb import SEARCH, as_root, check_driver, own_temporary_files, start_server
from tests.servers.processes import ROOT, NotAvailable, Process

RELEASE = Path("/etc/os-release")
FOLDER = ROOT / ".state" / "mysql"
PACKAGE = "mysql-server-core"
BRANCH = "sid"
# Its shell scripts need Perl, which is as large as all the libraries; we start the server alone.
NOT_UNPACKED = ("perl", "libperl")
# No second port for its other protocol, and no folder of the machine's for the files that statements write.
OPTIONS = ("--mysqlx=OFF", "--secure-file-priv=NULL")
# For the lists and for the packages, 17 and 60 MB, on a slow line.
PATIENCE = 900


def mysql_command() -> list[str]:
    """Return the server's program with what it must be told of its own place; fetch it first. Raises NotAvailable."""
    check_driver()
    installed = shutil.which("mysqld", path=SEARCH)
    if installed is not None and "MariaDB" not in _version_line([installed]):
        return [installed, "--no-defaults"]
    with _alone():
        if not FOLDER.exists():
            fetch(FOLDER)
    return unpacked(FOLDER)


def mysql_version() -> str:
    """Return what the server says of its version. Raises NotAvailable."""
    words = _version_line(mysql_command()).split()
    return words[words.index("Ver") + 1] if "Ver" in words else " ".join(words)


def start_mysql(folder: Path, *, outlives_parent: bool = False) -> tuple[Process, str]:
    """Start an empty server; return the process and the URL of a database that exists but has no tables."""
    command = mysql_command()
    folder.mkdir(parents=True, exist_ok=True)
    make_data(command, folder=folder)
    own = [*OPTIONS, "--innodb-redo-log-capacity=128M"]
    return start_server([*command, *own], folder=folder, name="mysql", outlives_parent=outlives_parent)


def make_data(command: list[str], *, folder: Path, name: str = "data") -> None:
    """Make `folder`/`name` with the system's tables and a root without a password. Raises NotAvailable."""
    made = subprocess.run(
        [*command, "--initialize-insecure", f"--datadir={folder / name}", *as_root()],
        capture_output=True,
        text=True,
        env=own_temporary_files(folder),
        check=False,
    )
    if made.returncode:
        raise NotAvailable(f"mysqld --initialize-insecure failed: {(made.stdout + made.stderr)[-800:]}")


def unpacked(folder: Path) -> list[str]:
    """Return the command of a server whose packages were unpacked into `folder`."""
    loaders = sorted((folder / "usr" / "lib").glob("*/ld-linux-*"))
    server = folder / "usr" / "sbin" / "mysqld"
    if not loaders or not server.exists():
        raise NotAvailable(f"{folder} holds no MySQL server; remove it, so that it is fetched again")
    return [
        str(loaders[0]),
        "--library-path",
        str(loaders[0].parent),
        str(server),
        "--no-defaults",
        f"--lc-messages-dir={folder / 'usr' / 'share' / 'mysql'}",
        f"--character-sets-dir={folder / 'usr' / 'share' / 'mysql' / 'charsets'}",
        f"--plugin-dir={folder / 'usr' / 'lib' / 'mysql' / 'plugin'}",
    ]


def fetch(folder: Path) -> None:
    """Unpack MySQL and its libraries into `folder`, from the mirror that this machine's apt uses. Raises NotAvailable.

    apt works in a folder of its own, with lists of its own, as if nothing was installed: no right is needed for that.
    """
    mirror = debian_mirror()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="mysql-", dir=folder.parent) as temporary:
        work = Path(temporary)
        for name in ("lists/partial", "archives/partial", "root"):
            (work / name).mkdir(parents=True)
        (work / "status").touch()
        (work / "sources.list").write_text(f"deb {mirror} {BRANCH} main\n")
        apt = [
            "apt-get", "-q", "-y", "-o", f"Dir::State={work}", "-o", f"Dir::State::status={work / 'status'}",
            "-o", f"Dir::Cache={work}", "-o", f"Dir::Etc::sourcelist={work / 'sources.list'}",
            "-o", "Dir::Etc::sourceparts=-", "-o", "APT::Sandbox::User=", "-o", "Debug::NoLocking=1",
            "-o", "Acquire::Languages=none", "-o", "Acquire::http::Timeout=20", "-o", "Acquire::Retries=1",
        ]  # fmt: skip
        _run([*apt, "update"])
        _run([*apt, "--no-install-recommends", "--download-only", "install", PACKAGE])
        for package in sorted((work / "archives").glob("*.deb")):
            if not package.name.startswith(NOT_UNPACKED):
                _run(["dpkg-deb", "-x", str(package), str(work / "root")])
        unpacked(work / "root")
        (work / "root").rename(folder)


def debian_mirror() -> str:
    """Return the address of the archive that this machine's apt reads. Raises NotAvailable."""
    lines = RELEASE.read_text().splitlines() if RELEASE.exists() else []
    if "ID=debian" not in lines or not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        raise NotAvailable("mysqld is not installed, and only on Debian it can be fetched (apt-get, dpkg-deb)")
    codename = next((line.partition("=")[2] for line in lines if line.startswith("VERSION_CODENAME=")), BRANCH)
    targets = _run(
        ["apt-get", "indextargets", "--format", "$(RELEASE) $(COMPONENT) $(REPO_URI)", "Created-By: Packages"]
    )
    for target in targets.splitlines():
        suite, component, address = target.split(" ", 2)
        if (suite, component) == (codename, "main"):
            return address
    raise NotAvailable(f"mysqld is not installed, and apt has no archive of {codename} to fetch it from")


def _run(command: list[str]) -> str:
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotAvailable(f"MySQL could not be fetched: {error}") from None
    if done.returncode:
        raise NotAvailable(f"MySQL could not be fetched: {command[0]} said: {(done.stdout + done.stderr)[-800:]}")
    return done.stdout


def _version_line(command: list[str]) -> str:
    return subprocess.run([*command, "--version"], capture_output=True, text=True, check=False).stdout


@contextmanager
def _alone() -> Iterator[None]:
    """Let one process fetch at a time; the others find what it fetched."""
    FOLDER.parent.mkdir(parents=True, exist_ok=True)
    with (FOLDER.parent / "mysql.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
