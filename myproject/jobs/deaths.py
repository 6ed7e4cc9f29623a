"""Counting deaths, so that a job that kills its process is parked and its neighbours are not.

Two things count: the start of a job that was delivered again (`ledger.count_start`), and a death that somebody saw. A
job is parked only on a death that was seen, of a process in which it ran alone: a child of a pool runs one job at a
time and the pool's main process sees it die; threads and solo workers run a suspect in a process of its own first.
"""

from __future__ import annotations

import random
import subprocess
import sys
import threading
import time
from contextlib import suppress
from typing import Any

import structlog
from billiard.einfo import ExceptionInfo
from celery.app.task import Context
from celery.exceptions import WorkerLostError
from django.db import DatabaseError, InterfaceError, connections, transaction

from myproject.jobs import ledger
from myproject.jobs.database import undisturbed_by_forks
from myproject.jobs.errors import JobKilled, OutcomeUnknown
from myproject.jobs.holders import may_live
from myproject.jobs.ledger import EventKind, Row
from myproject.jobs.local import request_of
from myproject.jobs.states import JobState

logger = structlog.get_logger(__name__)

#: Seconds, doubled at each death: a job that runs out of memory gets a calmer moment.
PAUSE = 0.5
#: Seconds within which a server notices that a client is gone: at once on one machine, a little later across a network.
LET_GO = 30.0
#: Seconds within which a child that was killed is gone.
BE_GONE = 5.0
#: Seconds that a suspect without a time limit may run in its own process.
LONGEST_ALONE = 3600.0


def is_redelivered(request: Any) -> bool:
    """Tell whether a message was delivered before, by the relay or by the broker: then its start is counted."""
    return bool(request.get("job_delivery")) or bool((request.delivery_info or {}).get("redelivered"))


def count(task: Any, request: Any, execution: Any, error: BaseException) -> None:
    """Count a body that ended as a process ends: SystemExit, endless recursion, no memory left."""
    with transaction.atomic():
        row = ledger.lock(execution.id, epoch=execution.epoch)
        if row is not None and row.token == execution.token:
            _count(task, row, error, counted=execution.counted, request=request)


def witnessed(app: Any, task_id: str, request: Any, error: BaseException) -> None:
    """Count a death that the pool's main process saw: a lost child, or one that it kills at the hard time limit.

    In a thread: at the time limit the child is killed only after this returns, and until then it holds the row.
    """
    threading.Thread(target=_witness, args=(app, task_id, request, error), name="count-death", daemon=True).start()


def _witness(app: Any, task_id: str, request: Any, error: BaseException) -> None:
    try:
        count_seen(app, task_id, request, error)
    except (DatabaseError, InterfaceError) as trouble:  # the relay finds the row, and the next death is seen again
        logger.warning("a death was not counted", task_id=task_id, error=type(trouble).__name__)
    finally:
        with undisturbed_by_forks():
            connections.close_all()


def count_seen(app: Any, task_id: str, request: Any, error: BaseException) -> None:
    """Count a death, once the server has noticed it too and has let go of the row.

    A claimed job is counted when its holder is gone. While the holder lives it is the child that is about to be killed
    at its time limit, or another process that claimed the job after the lease of the dead one: that one goes on.
    """
    end = time.monotonic() + BE_GONE
    while not _count_if_gone(app, task_id, request, error) and time.monotonic() < end:
        time.sleep(0.1)


def _count_if_gone(app: Any, task_id: str, request: Any, error: BaseException) -> bool:
    """Count the death; False when the job's holder may still be at work."""
    with undisturbed_by_forks(), transaction.atomic():
        row = ledger.lock_patiently(task_id, patience=LET_GO)
        if row is None or row.state not in (JobState.QUEUED, JobState.RUNNING):
            return True
        if row.epoch != (request.get("job_epoch") or 0):
            return True
        if row.state == JobState.RUNNING and may_live(row.holder):
            return False
        _count(app.tasks[row.task], row, error, counted=is_redelivered(request), request=request)
        return True


def _count(task: Any, row: Row, error: BaseException, *, counted: bool, request: Any) -> None:
    attempts = row.attempts if counted else row.attempts + 1
    text = f"{type(error).__name__}: {error}"
    ledger.record(row.id, EventKind.KILLED, epoch=row.epoch, attempts=attempts, error=text, worker=row.holder)
    logger.warning("a job's process died", task=row.task, task_id=row.id, attempts=attempts, error=type(error).__name__)
    ledger.set_attempts(row.id, attempts)
    if row.state == JobState.RUNNING and task.on_unknown == "park":
        unknown = OutcomeUnknown(f"The process died while the body ran ({text}); what it reached is not known.")
        park(task, row, unknown, request=request)
    elif attempts >= task.max_attempts:
        park(
            task,
            row,
            JobKilled(f"{attempts} processes died while they ran this job; the last: {text}"),
            request=request,
        )
    else:
        pause = PAUSE * 2 ** min(attempts, 6) * random.uniform(0.5, 1.5)
        ledger.revive(row.id, epoch=row.epoch, attempts=attempts, seconds=pause)


def park(task: Any, row: Row, error: Exception, *, request: Any = None) -> None:
    """Give a job up, in the caller's transaction: its error callbacks and its chord hear of it as of any failure."""
    try:
        raise error
    except type(error):
        trace = str(ExceptionInfo().traceback)
    task.backend.mark_as_failure(row.id, error, trace, request=request or Context(request_of(task.app, row)))


def run_alone(task: Any, request: Any, execution: Any) -> None:
    """Run a suspect in a process of its own and see how that ends."""
    limit = (request.timelimit or (None, None))[0] or task.time_limit or LONGEST_ALONE
    command = [sys.executable, "-m", "myproject.jobs.alone", task.app.main, execution.id, str(execution.epoch)]
    error: BaseException
    try:
        done = subprocess.run(command, timeout=limit, stdin=subprocess.DEVNULL, check=False)
        if done.returncode == 0:
            return
        error = WorkerLostError(f"its own process ended with {done.returncode}")
    except subprocess.TimeoutExpired:
        error = TimeoutError(f"its own process was killed after {limit} s")
    request.job_delivery = max(1, request.get("job_delivery") or 0)  # its start was counted
    with suppress(DatabaseError, InterfaceError):  # the relay finds the row, and the next try sees it die again
        count_seen(task.app, execution.id, request, error)
