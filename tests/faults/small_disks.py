"""Disks that become full: a real small one where the machine lets us mount it."""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path


@cache
def may_mount() -> bool:
    """Tell whether this process may mount a file system: root outside of most containers."""
    with tempfile.TemporaryDirectory(prefix="mp-mount-") as folder:
        try:
            with mounted(Path(folder), size=65_536):
                return True
        except PermissionError:
            return False


@contextlib.contextmanager
def mounted(folder: Path, *, size: int) -> Iterator[Path]:
    """Mount an empty disk of `size` bytes for the length of the block. Raises PermissionError."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    except FileNotFoundError as error:
        raise PermissionError(str(error)) from None
    if done.returncode:
        raise PermissionError(done.stderr.strip())
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path, *, name: str = "filler") -> Path:
    """Write into a file until the disk has no byte left; deleting the file makes it as empty as it was."""
    filler = folder / name
    for part in (1024 * 1024, 4096, 1):
        with contextlib.suppress(OSError), filler.open("ab", buffering=0) as rest:
            while rest.write(b"x" * part) == part:
                pass
    return filler
