"""Who works on a claimed job, written so that another process of the same machine can tell whether it still lives.

A holder is `host:namespace/boot/pid/start`, in a pool's child with the pid and start of the pool's main process behind.
The boot id names one start of one kernel and the namespace one table of process ids within it, so together they say
where a number means anything; the start time tells a process from a later one that was given its number. A relay that
finds the holder dead need not wait for the end of the lease. Where one of these is unknown (no /proc), nothing is
provable and the lease decides.
"""

from __future__ import annotations

import os
import socket
from functools import cache
from pathlib import Path

from billiard.process import current_process

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


def _name(pid: int) -> str:
    try:
        return f"{pid}/{_state_and_start(pid)[1]}"
    except (OSError, IndexError):
        return f"{pid}/{UNKNOWN}"


def is_pool_child() -> bool:
    """Tell whether this process is a child of a prefork pool: it runs one job at a time, and its parent sees it die.

    By its name, which billiard gives to such children only; the variable that Celery sets is there after a spawn only.
    """
    return "PoolWorker" in current_process().name


def make_holder() -> str:
    """Return what this process writes into the rows that it claims. Call it after a fork, not before."""
    holder = f"{_host()}:{_namespace()}/{_boot()}/{_name(os.getpid())}"
    if is_pool_child():
        holder += f"/{_name(os.getppid())}"
    return holder


def _is_gone(number: str, start: str) -> bool:
    pid = int(number)
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


def _processes(holder: str | None) -> list[tuple[str, str]]:
    """Return number and start of the holder and of its pool's main process, if they can be judged from here."""
    place, _, rest = (holder or "").partition("/")
    boot, *names = rest.split("/")
    found = list(zip(names[::2], names[1::2], strict=False))
    here = (_namespace(), _boot())
    if UNKNOWN in here or (place.rpartition(":")[2], boot) != here:
        return []
    if not all(number.isdigit() and int(number) and start.isdigit() for number, start in found):
        return []
    return found


def is_dead(holder: str | None) -> bool:
    """Tell whether the holder is certainly dead. False: it lives, or runs elsewhere, or nobody here can know."""
    processes = _processes(holder)
    return bool(processes) and _is_gone(*processes[0])


def may_live(holder: str | None) -> bool:
    """Tell whether a holder other than a process that just died here may be at work: it lives, or is elsewhere.

    False: it is dead, or of this host and not to be judged, so that it may be the one that died.
    """
    processes = _processes(holder)
    if processes:
        return not _is_gone(*processes[0])
    return bool(holder) and (holder or "").partition("/")[0].rpartition(":")[0] != _host()


def has_witness(holder: str | None) -> bool:
    """Tell whether the holder's pool has a main process on this machine that lives and will see the holder's death."""
    processes = _processes(holder)
    return len(processes) > 1 and not _is_gone(*processes[1])
