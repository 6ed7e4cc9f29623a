"""What a body may say about its job, and what the platform says about one."""

from __future__ import annotations

import errno

from django.db import InterfaceError, InternalError, OperationalError

from myproject.errors import TerminalError


class Snooze(Exception):  # it is no error: the body puts its job off
    """Raised by a body: run this job again in `seconds`, as if it had not started. It uses up nothing."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds


class JobKilled(TerminalError):
    """The job's process died again and again while it ran nothing else. Read by the operator who sees it parked."""

    code = "job_killed"


class OutcomeUnknown(TerminalError):
    """The job's process died, or lost its lease, when it may have reached the outside world, which has no key to ask
    by. Read by the operator, who finds out and then retries or discards it."""

    code = "outcome_unknown"


class LeaseLost(RuntimeError):
    """Raised by `current_job().fence()`: the lease ended and the job may be another process's. Nothing was written."""


#: MySQL's and MariaDB's codes of what passes: lock waits, deadlocks, kills, lost connections, a server that starts,
#: stops, is full, has no memory or is read-only for a while.
_PASSING = frozenset(
    (1021, 1026, 1040, 1041, 1053, 1114, 1135, 1158, 1159, 1160, 1161, 1180, 1203, 1205, 1213, 1226, 1290, 1317, 1836,
     1927, 1969, 2002, 2003, 2006, 2013, 2014, 2055, 3024, 3572, 4031)
)  # fmt: skip
#: Codes of the server's own files, which the driver raises as InternalError: a file cannot be made, written, closed,
#: made longer or forced to disk, there is no memory for it, the disk is full, too many are open.
_PASSING_FILES = frozenset((1, 3, 4, 5, 14, 20, 23, 27))
#: "Got error 28 from storage engine" is code 1030 as any other error of an engine; this is what says that it is space.
_STORAGE, _NO_SPACE = 1030, "No space left"
#: The beginnings of SQLite's sentences on the same.
_PASSING_TEXTS = (
    "database is locked", "database table is locked", "database or disk is full", "disk I/O error",
    "unable to open database file", "attempt to write a readonly database",
)  # fmt: skip


#: What a machine runs out of: memory, file numbers of a process and of all, processes, space, a user's share of it.
_SCARCE = frozenset((errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOSPC, errno.EDQUOT))


def is_scarce(error: BaseException) -> bool:
    """Tell whether the machine ran short of something, which says nothing about the job: it may have it in a moment."""
    if isinstance(error, OSError):
        return error.errno in _SCARCE
    return isinstance(error, RuntimeError) and str(error) == "can't start new thread"


#: MySQL's and MariaDB's ER_LOCK_WAIT_TIMEOUT.
_LOCK_WAIT = 1205


def is_lock_wait(error: OperationalError) -> bool:
    """Tell whether a statement gave up because another process goes on having the row."""
    return bool(error.args) and error.args[0] == _LOCK_WAIT


def is_passing(error: BaseException) -> bool:
    """Tell whether an error of the database says nothing about the job: the same statements may work in a moment."""
    if isinstance(error, InterfaceError):
        return True
    first = error.args[0] if error.args else None
    if isinstance(error, InternalError):
        return first in _PASSING_FILES
    if not isinstance(error, OperationalError):
        return False
    if isinstance(first, int):
        return first in _PASSING or (first == _STORAGE and _NO_SPACE in str(error))
    return str(first).startswith(_PASSING_TEXTS)
