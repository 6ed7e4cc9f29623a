"""Who works on a claimed job, written so that another process of the same machine can tell whether it still lives.

A holder is `host:namespace/boot/pid/start`. The boot id names one start of one kernel and the namespace one table of
process ids within it, so together they say where the number means anything; the start time tells a process from a
later one that was given its number. A relay that finds the holder dead need not wait for the end of the lease. Where
one of these is unknown (no /proc), nothing is provable and the lease decides.
"""

from __future__ import annotations

import contextlib
import os
import socket
from functools import cache
from pathlib import Path

UNKNOWN = "-"
HOST_LENGTH = 100  # of the 191 characters that the column has


@cache
def _host() -> str:
    return socket.gethostname().replace("/", "_")[:HOST_LENGTH]


@cache
def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return UNKNOWN


def _namespace() -> str:
    try:
        return os.readlink("/proc/self/ns/pid").strip("pid:[]")
    except OSError:
        return UNKNOWN


def _state_and_start(pid: int) -> tuple[str, str]:
    """Return a process's state letter and start time in clock ticks since boot. Raises OSError, IndexError."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return fields[0], fields[19]


def make_holder() -> str:
    """Return what this process writes into the rows that it claims. Call it after a fork, not before."""
    start = UNKNOWN
    with contextlib.suppress(OSError, IndexError):
        start = _state_and_start(os.getpid())[1]
    return f"{_host()}:{_namespace()}/{_boot()}/{os.getpid()}/{start}"


def is_dead(holder: str | None) -> bool:
    """Tell whether the holder is certainly dead. False: it lives, or runs elsewhere, or nobody here can know."""
    try:
        place, boot, number, start = (holder or "").split("/")
        pid = int(number)
    except ValueError:
        return False
    namespace = place.rpartition(":")[2]
    if UNKNOWN in (namespace, boot, start) or (namespace, boot) != (_namespace(), _boot()) or pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):  # another user's process lives under that number, or it is no number of a process
        pass
    try:
        state, started = _state_and_start(pid)
    except (OSError, IndexError):  # it just ended, or /proc hides other users' processes: the lease decides
        return False
    return state in "ZX" or started != start
