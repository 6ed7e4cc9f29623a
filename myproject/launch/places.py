"""Where everything lives: the ignored state folder, one folder per orders file, the short folder for sockets."""

from __future__ import annotations

import fcntl
import gzip
import hashlib
import json
import os
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .machine import make_private_folder
from .problems import Problem

SHIPPED_ORDERS = Path("orders/replay/data/online_retail_2010-12_2011-01.csv.gz")
SHIPPED_CATALOGUE = Path("catalog/data/fashion_products.csv.gz")
# What the first line of an orders file names; docs/replay.md says what each column holds.
COLUMNS = ("InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID", "Country")
# The kernel keeps a socket's path in 108 bytes, the closing zero among them; macOS in 104.
LONGEST_SOCKET_PATH = 103


@dataclass(frozen=True)
class Checkout:
    """One working copy and what belongs to it, whichever orders file it runs."""

    root: Path
    state: Path

    @property
    def venv(self) -> Path:
        """The virtual environment."""
        return self.state / "venv"

    @property
    def current(self) -> Path:
        """The file that describes the site that runs, or ran last."""
        return self.state / "current.json"

    @property
    def python(self) -> Path:
        """The virtual environment's interpreter."""
        return self.venv / "bin" / "python"

    @property
    def mark(self) -> str:
        """A short name of this working copy: no two on one machine share it."""
        return hashlib.sha256(os.fsencode(self.state)).hexdigest()[:12]

    def socket_folder(self) -> Path:
        """Return a private folder whose path is short however deep the checkout lies."""
        return find_socket_folder(self.mark, runtime=os.environ.get("XDG_RUNTIME_DIR", ""))


@dataclass(frozen=True)
class Place:
    """The state of one orders file: database, broker, provider's record, mails, logs, secrets."""

    folder: Path
    orders: Path

    @property
    def logs(self) -> Path:
        """One log file per program."""
        return self.folder / "logs"

    @property
    def secrets(self) -> Path:
        """What is generated once and kept: passwords, tokens, keys and the ports last used."""
        return self.folder / "environment.json"

    @property
    def prepared(self) -> Path:
        """What the static files and the catalogue were made from."""
        return self.folder / "prepared.json"

    def create(self) -> None:
        """Make the folders, private to their owner."""
        for folder in (self.folder, self.logs, *(self.folder / name for name in ("mail", "valkey", "valkey_cart"))):
            make_private_folder(folder)


def find_checkout(root: Path) -> Checkout:
    """Return the working copy at `root`; STATE_DIR names another state folder than its own `.state`."""
    state = os.environ.get("STATE_DIR", "").strip()
    return Checkout(root=root, state=Path(state).expanduser().resolve() if state else root / ".state")


def find_place(checkout: Checkout, orders: Path | None) -> Place:
    """Return the state folder of an orders file, named by what the file holds and by a DATABASE_URL. Raises Problem."""
    path = checkout.root / SHIPPED_ORDERS if orders is None else orders.expanduser().absolute()
    remedy = "name a readable CSV file (plain or .gz) of the retail form"
    try:
        content = path.read_bytes()
        if content[:2] == b"\x1f\x8b":
            content = gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or "it is damaged"
        raise Problem(f"the orders file {path} cannot be read ({reason})", remedy) from None
    if not content.strip():
        raise Problem(f"the orders file {path} is empty", remedy)
    _check_columns(path, content)
    # The provider's record and the mails belong to one platform: with another database they would tell of orders that
    # this one never had.
    database = os.environ.get("DATABASE_URL", "").strip()
    name = hashlib.sha256(content + (b"\0" + database.encode() if database else b"")).hexdigest()[:16]
    return Place(folder=checkout.state / "sites" / name, orders=path)


def _check_columns(path: Path, content: bytes) -> None:
    """Raise Problem unless the first line names the columns as the replay reads them, minutes before it would."""
    first = content.partition(b"\n")[0].decode("utf-8", errors="replace")
    found = tuple(name.strip().strip('"') for name in first.lstrip("\ufeff").split(","))
    if found == COLUMNS:
        return
    missing = [name for name in COLUMNS if name not in found]
    reason = f"does not name {', '.join(missing)}" if missing else "has other columns or another order"
    raise Problem(f"the first line of the orders file {path} {reason}", f"it must be {','.join(COLUMNS)}")


def find_socket_folder(mark: str, *, runtime: str) -> Path:
    """Return the private folder for the sockets of `mark`: below `runtime` where that is ours and short, else /tmp."""
    candidates = [Path("/tmp") / f"myproject-{os.getuid()}"]
    if runtime and is_private(Path(runtime)):
        candidates.insert(0, Path(runtime) / "myproject")
    for parent in candidates:
        folder = parent / mark
        if len(os.fsencode(folder / "supervisor.sock.1234567890")) > LONGEST_SOCKET_PATH:
            continue  # supervisord binds a name with its process id first and renames it
        for path in (parent, folder):
            path.mkdir(mode=0o700, exist_ok=True)
            if not is_private(path):
                raise Problem(f"{path} belongs to someone else or can be written by others", f"remove {path}")
        return folder
    raise Problem("no folder is short enough for a socket", "unset XDG_RUNTIME_DIR")


def is_private(folder: Path) -> bool:
    """Tell whether `folder` is a real folder of ours that nobody else can enter."""
    try:
        found = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077


def read_json(path: Path) -> dict[str, Any]:
    """Return the object in `path`; a file that is missing or was cut off counts as empty."""
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Write `value` for the owner only, whole or not at all."""
    draft = path.with_name(path.name + ".new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(value, file, indent=2, sort_keys=True)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


@contextmanager
def only_one(checkout: Checkout) -> Iterator[None]:
    """Hold the checkout's lock within the block. Raises Problem when another command holds it.

    The lock is the kernel's: it ends with its process, so a power cut leaves no stale one.
    """
    path = checkout.state / "run.lock"
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = file.read().strip()
            other = f"another ./run (process {holder})" if holder else "another ./run"
            raise Problem(f"{other} is at work in this checkout", "wait for it, or end it with Ctrl-C") from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)
