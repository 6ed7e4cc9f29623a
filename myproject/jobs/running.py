"""Running a durable job: who may begin, what commits together, and what follows from each way to end.

In `transaction` mode the body is one transaction whose first statement closes the row: a second copy of the message
finds no open row, the row's lock is the lease, and a process that dies rolls both back. In `lease` mode the body may
call the outside world: claim (committed), body, close with the fencing token of the claim.
"""

from __future__ import annotations

import itertools
import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import Any

import structlog
from billiard.common import terminate_handler_fired  # type: ignore[attr-defined]
from celery.app import task as celery_task
from celery.exceptions import Ignore, Reject, Retry
from django.db import DatabaseError, InterfaceError, transaction
from django.utils.module_loading import import_string

from myproject.errors import OutageError, RetryableError, UnknownOutcomeError
from myproject.jobs import canvas, deaths, foreign, keys, leases, ledger
from myproject.jobs.controls import held
from myproject.jobs.database import renew_connections
from myproject.jobs.errors import LeaseLost, OutcomeUnknown, Snooze, is_passing, is_scarce
from myproject.jobs.failpoints import hit
from myproject.jobs.holders import is_pool_child, make_holder
from myproject.jobs.states import JobState

logger = structlog.get_logger(__name__)

get_actual_ignore_result: Any = celery_task.get_actual_ignore_result  # type: ignore[attr-defined]  # old types

#: How often a body is begun again at once after a deadlock or a lock wait, before its job is put back for a while.
QUICK_TRIES = 3
#: Seconds, about: a database that is away is asked again soon, and not by every worker at the same moment.
PAUSE = 2.0
#: Seconds after which a job whose concurrency key is taken looks again.
BUSY_PAUSE = 0.5
#: Seconds until a job runs again whose body said `Reject(requeue=True)`; stock workers turn as fast as they can.
REJECTED_PAUSE = 1.0
#: Seconds, about, between two tries while the other side is away.
OUTAGE_PAUSE = 15.0

#: How a body ended: the Ignore that it raised, or None; and its result.
_Ended = tuple[Ignore | None, Any]


@dataclass(frozen=True, slots=True)
class LookupResult:
    """What a look-up found: whether the effect of the job has happened, and then the result to record for it."""

    done: bool
    result: Any = None


@dataclass(slots=True, kw_only=True)
class Execution:
    """One run of one job by this process."""

    id: str
    epoch: int
    task: str
    counted: bool = False  # its start was counted in `attempts`
    unknown: bool = False  # an earlier run ended without saying how, and nobody has been asked yet
    token: int = 0
    state: JobState = JobState.QUEUED  # as this process's next statement finds the row

    def fence(self) -> None:
        """Check, and lock, the lease within the caller's transaction. Raises LeaseLost when it is not ours any more.

        An action that records what a lease-mode body did calls it first: a process that was frozen for longer than its
        lease then writes nothing.
        """
        row = ledger.lock(self.id, epoch=self.epoch)
        if self.state == JobState.RUNNING and (row is None or row.token != self.token):
            raise LeaseLost(f"The lease of {self.task} {self.id} ended; another process may have it.")


_current: ContextVar[Execution | None] = ContextVar("current_job", default=None)


def current_job() -> Execution | None:
    """Return the run that this code is part of; None outside of a durable task."""
    return _current.get()


def fence() -> None:
    """Check, and lock, the lease of the job that this code is part of, if it is one in lease mode.

    For actions, which may be called by anybody: call it first in the transaction that records what was done outside.
    Raises LeaseLost.
    """
    job = _current.get()
    if job is not None and job.state == JobState.RUNNING:
        job.fence()


def run(task: Any, request: Any, args: Any, kwargs: Any) -> Any:
    """Run the job of a message. Raises Ignore when there is nothing to run, and what the body raised otherwise."""
    try:
        return _run(task, request, args, kwargs)
    except (DatabaseError, InterfaceError) as error:  # of the body, or of what the platform did before and after it
        if not is_passing(error):
            raise
        _leave_to_database(task, request, error)
        raise Ignore(f"the database: {type(error).__name__}") from None


def _run(task: Any, request: Any, args: Any, kwargs: Any) -> Any:
    execution = _begin(task, request, args, kwargs)
    request.job_execution = execution
    reset = _current.set(execution)
    try:
        run_it = _run_with_lease if task.mode == "lease" else _run_in_transaction
        ignored, result = run_it(task, request, execution, args, kwargs)
    except Snooze as asked:
        # Until the other side has said what became of an earlier run, the row goes on saying that there was one.
        _put_back(execution, seconds=asked.seconds, holder=make_holder() if execution.unknown else None)
        raise Ignore("put off by its body") from None
    except LeaseLost as error:
        raise Ignore(str(error)) from None
    except (SystemExit, RecursionError, MemoryError) as error:
        if terminate_handler_fired():  # the pool ends this process, and its main process counts that
            raise
        deaths.count(task, request, execution, error)
        raise Ignore(f"counted as a death: {type(error).__name__}") from None
    finally:
        _current.reset(reset)
    # What Celery's tracer would do next is done and committed: it reads these three after the body.
    request.callbacks = request.chain = request.chord = None
    request.job_done = True
    if ignored is not None:
        raise ignored
    return result


def _begin(task: Any, request: Any, args: Any, kwargs: Any) -> Execution:
    epoch = request.get("job_epoch")
    if epoch is None:
        epoch = request.job_epoch = foreign.adopt(task, request, args, kwargs)
    execution = Execution(id=request.id, epoch=epoch, task=task.name, unknown=bool(request.get("job_unknown")))
    queue = (request.delivery_info or {}).get("routing_key") or ""
    hold = held(task.app, task.name, queue)
    if hold is not None:
        ledger.snooze(execution.id, epoch=epoch, seconds=0)
        raise Ignore(str(hold))
    if task.on_unknown == "lookup":  # also of a first message: the one after a death that the pool saw is one
        row = ledger.read(execution.id)
        execution.unknown |= row is not None and row.epoch == epoch and row.holder is not None
    if not deaths.is_redelivered(request):
        return execution
    attempts = ledger.count_start(execution.id, epoch=epoch)
    if attempts is None:
        raise Ignore("closed, of another life, or running elsewhere")
    execution.counted = True
    if attempts > task.max_attempts and not is_alone():
        deaths.run_alone(task, request, execution)
        raise Ignore("ran in a process of its own")
    return execution


def is_alone() -> bool:
    """Tell whether this process runs one job at a time and has a parent that sees it die: a child of a pool does."""
    return is_pool_child() or "JOBS_ALONE" in os.environ


def _repeatedly(
    work: Callable[[], Any],
    *,
    undo: Callable[[], None],
    begin: Callable[[], AbstractContextManager[Any]] = transaction.atomic,
    seconds: float = 0.0,
) -> Any:
    """Commit what `work` does, and begin again after a deadlock, a lock wait or a lost connection.

    A few times, or for `seconds` if that is longer. `begin` is the transaction; `undo` forgets what a try that was
    rolled back left in memory.
    """
    end = time.monotonic() + seconds
    for tries in itertools.count(1):
        try:
            with begin():
                return work()
        except (DatabaseError, InterfaceError) as error:
            undo()
            if not is_passing(error) or (tries >= QUICK_TRIES and time.monotonic() >= end):
                raise
            renew_connections()
            time.sleep(random.uniform(0.01, 0.1) * min(tries, 10))
        except BaseException:
            undo()
            raise
    raise AssertionError("the loop has no end of its own")


def _run_in_transaction(task: Any, request: Any, execution: Execution, args: Any, kwargs: Any) -> _Ended:
    undo = partial(_undo, request, execution)
    key = _provide_key(task, args, kwargs)
    work = partial(_transaction, task, request, execution, key, args, kwargs)
    try:
        ended: _Ended = _repeatedly(work, undo=undo, begin=partial(_closing, task, execution))
    except Retry as retry:
        asked: Any = retry  # the types that are about for it are of another version
        if asked.sig is not None:  # what `retry` wrote was undone with the body
            _repeatedly(asked.sig.apply_async, undo=undo)
        raise
    hit("finish.after_commit")
    return ended


def _provide_key(task: Any, args: Any, kwargs: Any) -> str | None:
    key = keys.concurrency_key(task, args=args, kwargs=kwargs)
    if key:
        keys.provide(key)
    return key


@contextmanager
def _closing(task: Any, execution: Execution) -> Iterator[None]:
    """Begin the body's transaction with the close of its row."""
    with ledger.closing(execution.id, epoch=execution.epoch, retention=task.retention) as closed:
        if not closed:
            raise Ignore("closed, cancelled, of another life, or running elsewhere")
        execution.state = JobState.SUCCEEDED
        hit("close.after")
        yield


def _transaction(task: Any, request: Any, execution: Execution, key: str | None, args: Any, kwargs: Any) -> _Ended:
    if key and not keys.enter(key, execution.id, seconds=0):
        raise Snooze(BUSY_PAUSE)
    ended = _body(task, partial(task.run, *args, **kwargs))
    hit("body.after")
    _finish(task, request, execution, ended)
    hit("finish.before_commit")
    return ended


def _undo(request: Any, execution: Execution) -> None:
    """Forget what the body that was rolled back left in memory."""
    execution.state = JobState.QUEUED
    request.job_rearmed = request.job_replaced = False
    request._children = None


def _run_with_lease(task: Any, request: Any, execution: Execution, args: Any, kwargs: Any) -> _Ended:
    key = _provide_key(task, args, kwargs)
    with transaction.atomic():
        token = ledger.claim(execution.id, epoch=execution.epoch, holder=make_holder(), lease=task.lease)
        if token is None:
            raise Ignore("closed, cancelled, of another life, or running elsewhere")
        if key and not keys.enter(key, execution.id, seconds=task.lease):
            raise Snooze(BUSY_PAUSE)
    hit("claim.after")
    execution.token, execution.state = token, JobState.RUNNING
    with leases.kept(execution.id, token=token, lease=task.lease, key=key):
        ended = _body(task, partial(_look_up_or_run, task, execution, args, kwargs))
    hit("release.before")
    children = list(request.children)

    def close() -> None:
        if key:
            keys.leave(key, execution.id)
        if request.get("job_rearmed"):
            return
        if not ledger.release(execution.id, token=token, retention=task.retention):
            raise Ignore("its lease ended while it ran; the outcome is another process's to write")
        execution.state = JobState.SUCCEEDED
        _finish(task, request, execution, ended)
        hit("release.before_commit")

    def undo() -> None:
        execution.state, request._children = JobState.RUNNING, list(children)

    # The body is over and must not begin again: its outcome is written as soon as the database takes it.
    _repeatedly(close, undo=undo, seconds=task.lease)
    hit("release.after")
    return ended


def _look_up_or_run(task: Any, execution: Execution, args: Any, kwargs: Any) -> Any:
    """Run the body, unless the outside world says that an earlier run has done it: then return what was found."""
    if execution.unknown and task.on_unknown == "lookup":
        ask = import_string(task.look_up) if isinstance(task.look_up, str) else task.look_up
        found: LookupResult = ask(*args, **kwargs)
        if found.done:
            return found.result
        execution.unknown = False
    return task.run(*args, **kwargs)


def _body(task: Any, run: Callable[[], Any]) -> _Ended:
    try:
        return None, run()
    except Ignore as error:  # also how `replace` ends a body: what it wrote is kept
        return error, None
    except Reject as error:  # of its message, but the relay would publish that again: the job is over, or put back
        if getattr(error, "requeue", False):
            raise Snooze(REJECTED_PAUSE) from error
        return Ignore(f"rejected: {error}"), None
    except OutageError as error:
        raise wait_for_other_side(error) from error
    except (RetryableError, UnknownOutcomeError) as error:
        raise task.retry(exc=error, **task.patience(error)) from error
    except (OSError, RuntimeError) as error:
        if not is_scarce(error):
            raise
        # A body that calls outside may have done so before the machine ran short.
        kind = UnknownOutcomeError if task.mode == "lease" else RetryableError
        short = kind(f"The machine ran short: {error}")
        raise task.retry(exc=short, **task.patience(short)) from error


def wait_for_other_side(error: OutageError) -> Snooze:
    """Return what puts a job off while the other side is away: as long as that asked for, or a while."""
    return Snooze(error.retry_after or OUTAGE_PAUSE * random.uniform(0.5, 1.5))


def _finish(task: Any, request: Any, execution: Execution, ended: _Ended) -> None:
    """Write what follows from the body, in the transaction that closes the row."""
    if request.get("job_rearmed"):
        return  # its next life is written: a retry that did not throw, or the task that replaces it
    ignored, result = ended
    replaced = ignored is not None and request.get("job_replaced")
    if task.unique and not replaced:
        keys.release_unique(execution.id)
    if ignored is not None:
        state = JobState.REPLACED if replaced else JobState.IGNORED
        ledger.finish(execution.id, state=state, meta=None, retention=task.retention, closed_here=True)
        return
    canvas.dispatch(task, request, result)
    store = not get_actual_ignore_result(task, request)
    if request.chord or (store and (result is not None or request.children or request.get("job_foreign"))):
        task.backend.mark_as_done(request.id, result, request, store)
    elif store:
        task.backend.tell_on_commit(request.id)


def _put_back(execution: Execution, *, seconds: float, holder: str | None = None) -> None:
    ledger.snooze(
        execution.id,
        epoch=execution.epoch,
        seconds=seconds,
        token=execution.token,
        uncount=int(execution.counted),
        holder=holder,
    )


def _leave_to_database(task: Any, request: Any, error: Exception) -> None:
    """Put the job back while the database is in trouble; if it cannot even take that, the relay finds the row.

    A lease-mode body may have reached the outside world before the error, so its outcome is unknown. A foreign message
    that has no row yet goes back to the broker: nobody else knows of it.
    """
    logger.warning("a job is put back: the database", task=task.name, error=type(error).__name__)
    renew_connections()
    epoch = request.get("job_epoch")
    if epoch is None:
        time.sleep(PAUSE * random.uniform(0.5, 1.5))
        raise Reject(f"the database: {type(error).__name__}", requeue=True) from None
    execution = request.get("job_execution") or Execution(id=request.id, epoch=epoch, task=task.name)
    running = execution.state == JobState.RUNNING
    if running and task.on_unknown == "park":
        raise OutcomeUnknown("The database failed while the body ran; whether it reached the other side is not known.")
    with suppress(DatabaseError, InterfaceError):
        holder = make_holder() if running else None
        _put_back(execution, seconds=PAUSE * random.uniform(0.5, 1.5), holder=holder)
