"""The result backend: a durable task's outcome is its row.

Celery reports every outcome to its backend (`mark_as_done`, `mark_as_failure`, ...) and reads every state from it, so
this is where rows are closed and read. An id without a row belongs to a best-effort task or to somebody else, and goes
whole to the backend that CELERY_RESULT_BACKEND names. Sources: celery.backends.base, celery.app.trace,
celery.worker.request (Celery 5.7), held by tests/contracts/test_celery_internals.py.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import structlog
from billiard.exceptions import TimeLimitExceeded, WorkerLostError
from celery import canvas, states
from celery.app.task import Context
from celery.backends import base
from celery.exceptions import ChordError, NotRegistered, TaskRevokedError
from celery.utils.functional import maybe_list
from celery.worker import state as worker_state
from django.db import DatabaseError, InterfaceError, transaction

from myproject.jobs import deaths, ledger
from myproject.jobs.chords import ChordsInRows
from myproject.jobs.database import renew_connections
from myproject.jobs.errors import is_passing
from myproject.jobs.failpoints import hit
from myproject.jobs.fingerprints import fingerprint, headline
from myproject.jobs.ledger import EventKind
from myproject.jobs.local import request_of
from myproject.jobs.models import Job, JobEvent
from myproject.jobs.states import OPEN, JobState
from myproject.jobs.waiting import WaitsOnRows

logger = structlog.get_logger(__name__)

make_request: Any = base._create_fake_task_request  # type: ignore[attr-defined]
errbacks_of: Any = base._result_errbacks  # type: ignore[attr-defined]

#: Seconds until a job whose task a worker did not know is offered again: each try is an error in that worker's log.
UNKNOWN_PAUSE = 5.0
#: The reason that a worker gives who remembers an id. It does so for hours, also when an operator has let the job run
#: again since; a revoke of that life would stand in its row.
REMEMBERED = "revoked"
#: How the meta begins that the next life of a retried job was given.
RETRYING = '{"status": "RETRY"'


class JobBackend(WaitsOnRows, ChordsInRows):
    """Celery's result backend on the jobs' rows."""

    persistent = True
    #: `canvas.install` asks for it: calls of other apps are left as they are.
    keeps_rows = True

    def __init__(self, app: Any, **options: Any) -> None:
        """Make the backend of one app; rows are JSON whatever the app's results are elsewhere."""
        super().__init__(app, **{**options, "serializer": "json", "accept": ["json"]})

    @property
    def supports_autoexpire(self) -> bool:
        """Whether beat need not run Celery's clean-up; rows are pruned by ours."""
        return bool(self.delegate.supports_autoexpire)

    @property
    def supports_result_compression(self) -> bool:
        """Whether the other backend may compress; rows are texts that people search."""
        return True

    def prepare_compression(self, compression: Any) -> None:
        """Compress nothing here; the other backend reads the setting for itself."""

    @property
    def supports_failure_expires(self) -> bool:
        """Whether `result_failure_expires` is looked at: by the other backend; a row is kept as its task says."""
        return True

    def as_uri(self, include_password: bool = False) -> str:
        """Return what a worker's banner says."""
        return f"jobs (best effort: {self.delegate.as_uri(include_password)})"

    def cleanup(self) -> None:
        """Have the other backend clean up."""
        self.delegate.cleanup()

    def process_cleanup(self) -> None:
        """End what the other backend did for a task; called after each."""
        if "delegate" in self.__dict__:
            self.delegate.process_cleanup()

    def on_best_effort_call(self, producer: Any, task_id: str) -> Any:
        """Prepare the other backend for the result of a best-effort task that is about to be sent."""
        return self.delegate.on_task_call(producer, task_id)

    def count_elsewhere(self, request: Any, state: str, result: Any, **kwargs: Any) -> None:
        """Count a part of a chord that a stock client sent, where that client's chords are counted."""
        self.delegate.on_chord_part_return(request, state, result, **kwargs)

    # --- outcomes, as the task, the tracer and the pool's main process report them

    def mark_as_done(
        self, task_id: str, result: Any, request: Any = None, store_result: bool = True, state: str = states.SUCCESS
    ) -> None:
        """Write a result and count a chord's part: inside the transaction that closed the job."""
        if request is not None and request.get("job_done"):
            return  # the tracer's report of what is committed already
        super().mark_as_done(task_id, result, request, store_result, state)

    def mark_as_failure(
        self, task_id: str, exc: BaseException, traceback: Any = None, request: Any = None, store_result: bool = True,
        call_errbacks: bool = True, state: str = states.FAILURE,
    ) -> None:  # fmt: skip
        """Park a job, fail what waits for it, and call its error callbacks: one transaction."""
        if isinstance(exc, NotRegistered) and not isinstance(request, Context):
            self._leave_to_others(task_id, exc, request)
            return
        if request is not None and request.get("job_done"):
            return  # `on_success` raised, or a signal's receiver: the outcome is committed
        if request is None or not self.is_durable(task_id, request):
            super().mark_as_failure(task_id, exc, traceback, request, store_result, call_errbacks, state)
            return
        if isinstance(exc, WorkerLostError | TimeLimitExceeded):
            deaths.witnessed(self.app, task_id, request, exc)
            return
        hit("fail.before")
        with transaction.atomic():
            row = ledger.lock(task_id, epoch=request.get("job_epoch"))
            if row is None or not _is_holder(row, request):
                return  # another process finished it or has it, or it lives on
            with self.handing_on(request.root_id or task_id):
                # An ignored result is one thing, a failure is another: it is kept, so that somebody can retry it.
                super().mark_as_failure(task_id, exc, traceback, request, True, call_errbacks, state)
            trace = str(traceback) if traceback else None
            ledger.record(
                task_id,
                EventKind.PARKED,
                epoch=row.epoch,
                attempts=row.attempts,
                error=headline(exc),
                fingerprint=fingerprint(exc, trace),
                traceback=trace,
                worker=request.get("hostname"),
            )
        hit("fail.after")

    def _leave_to_others(self, task_id: str, exc: BaseException, request: Any) -> None:
        """Put a job back whose task this worker does not know: in a rolling deploy another one does.

        The consumer reports it, with a request that holds next to nothing (`Consumer.on_unknown_task`).
        """
        with suppress(DatabaseError, InterfaceError):  # the relay finds the row
            row = ledger.read(task_id)
            if row is None:
                self.delegate.mark_as_failure(task_id, exc, request=request)
            else:
                ledger.snooze(task_id, epoch=row.epoch, seconds=UNKNOWN_PAUSE)

    def mark_as_revoked(
        self, task_id: str, reason: str = "", request: Any = None, store_result: bool = True,
        state: str = states.REVOKED,
    ) -> None:  # fmt: skip
        """Cancel a job that is open, for good, and fail the chord that it is a part of.

        A job that a process is running in transaction mode is not cancelled: its row is locked until it is over.
        """
        if request is None:  # an operator, or `revoke()`: who asks hears of it
            self._revoke(task_id, reason, None, store_result, state)
        else:
            self._spare_worker(task_id, lambda: self._revoke(task_id, reason, request, store_result, state))

    def _revoke(self, task_id: str, reason: str, request: Any, store_result: bool, state: str) -> None:
        best_effort = request is not None and not self.is_durable(task_id, request)
        if best_effort or ledger.read(task_id) is None:
            super().mark_as_revoked(task_id, reason, request, store_result, state)
            return
        with transaction.atomic():
            row = ledger.lock_patiently(task_id)
            epoch = request.get("job_epoch") if request is not None else None
            if row is None or row.state not in OPEN or epoch not in (None, row.epoch):
                return
            if request is not None and reason == REMEMBERED and _was_retried(task_id):
                worker_state.revoked.discard(task_id)
                ledger.snooze(task_id, epoch=row.epoch, seconds=0)  # the message is gone: the relay sends another
                return
            of_row = Context(request_of(self.app, row))
            with self.handing_on(row.root_id or task_id):
                super().mark_as_revoked(task_id, reason, of_row, True, state)
                # Stock leaves the steps behind it, and the chord that they are a part of, waiting for ever.
                self._fail_chain(of_row.chain, TaskRevokedError(reason), state=state)
            ledger.record(task_id, EventKind.CANCELLED, epoch=row.epoch, attempts=row.attempts, error=reason or None)

    def _spare_worker(self, task_id: str, report: Callable[[], object]) -> None:
        """Report what a worker's main process saw; a database that is away must not end that process.

        It reports from the loop that serves the whole pool: an error there ends the worker, or loses a place of its
        pool. The row stays as it is, so the relay sends its message again and the next worker reports it. The process
        keeps its connection for days and asks little, so a report that meets a dead one is made once more.
        """
        for is_last in (False, True):
            renew_connections()
            try:
                report()
                return
            except (DatabaseError, InterfaceError) as error:
                if is_last or not is_passing(error):
                    logger.warning("an outcome was not recorded", task_id=task_id, error=type(error).__name__)
                    return

    def mark_as_retry(
        self, task_id: str, exc: BaseException, traceback: Any = None, request: Any = None, store_result: bool = True,
        state: str = states.RETRY,
    ) -> None:  # fmt: skip
        """Say why a job runs again. Its next life is written already, and may be running or over."""
        if request is None or not self.is_durable(task_id, request):
            super().mark_as_retry(task_id, exc, traceback, request, store_result, state)
            return
        meta = self.encode_meta(task_id, self.encode_result(exc, state), state, traceback=traceback, request=request)
        lives = Job.objects.filter(id=task_id, epoch=(request.get("job_epoch") or 0) + 1, state__in=OPEN)
        tell = partial(lives.filter(meta__startswith=RETRYING).update, meta=meta)
        if transaction.get_connection().in_atomic_block:
            tell()
        else:
            self._spare_worker(task_id, tell)

    # --- what a failure means to others

    def _fail_chain(
        self, chain: Any, exc: Any, traceback: Any = None, store_result: bool = True, state: str = states.FAILURE
    ) -> None:
        """Fail the steps that will never be sent: each gets a row, whatever becomes of the broker."""
        with self.handing_on():
            super()._fail_chain(chain, exc, traceback, True, state)

    def chord_error_from_stack(self, callback: Any, exc: Any = None) -> Any:
        """Fail a chord's body that will never be sent, and what follows it."""
        with self.handing_on():
            return super().chord_error_from_stack(callback, exc)

    def _handle_group_chord_error(self, group_callback: Any, backend: Any, exc: Any = None) -> None:
        """Fail every member of a chord's body that is a group. None was sent, so there is nothing to revoke."""
        cause = exc.__cause__ if isinstance(exc, ChordError) and exc.__cause__ else exc
        frozen = group_callback.freeze()
        shared = maybe_list(group_callback.options.get("link_error")) or []
        own = dict(errbacks_of(member, self.app) for member in group_callback.tasks)
        for result in frozen.results:
            errbacks: list[Any] = []
            for errback in (*own.get(result.id, ()), *shared):
                if errback not in errbacks:
                    errbacks.append(errback)
            self._call_task_errbacks(make_request(result.id, errbacks), cause, None)
            self.fail_from_current_stack(result.id, exc=cause)
        self.mark_as_failure(frozen.id, cause)

    def _call_task_errbacks(self, request: Any, exc: Any, traceback: Any) -> None:
        """Call the error callbacks, each in a savepoint: one that fails or cannot be sent does not undo the others."""
        for errback in request.errbacks or ():
            try:
                with transaction.atomic():
                    self._call_errback(self.app.signature(errback), request, exc, traceback)
            except (DatabaseError, InterfaceError) as error:
                if is_passing(error):
                    raise
                logger.exception("an error callback failed", task_id=request.id)
            except Exception:
                logger.exception("an error callback failed", task_id=request.id)

    def _call_errback(self, errback: Any, request: Any, exc: Any, traceback: Any) -> None:
        """Call it here with request, error and traceback if it takes more than one of them; else send it the id."""
        errback._app = errback._app or self.app
        try:
            header = getattr(errback.type, "__header__", None)
            # A bound task is sent, so that it can retry.
            here = header is not None and not isinstance(header, partial) and self._errback_arity_greater(errback, 1)
        except NotRegistered:
            here = False  # another worker may know it
        if here:
            errback(request, exc, traceback)
            return
        group = canvas.group([errback], app=self.app)
        options = {"parent_id": request.id, "root_id": request.root_id or request.id}
        if self.app.conf.task_always_eager or (request.delivery_info or {}).get("is_eager", False):
            group.apply((request.id,), **options)
        else:
            group.apply_async((request.id,), **options)


def _was_retried(task_id: str) -> bool:
    """Tell whether an operator has let a job run again."""
    return JobEvent.objects.filter(job_id=task_id, kind=EventKind.REPLAYED).exists()


def _is_holder(row: ledger.Row, request: Any) -> bool:
    """Tell whether who reports may speak for the job: who claimed it may not once its lease is another's, or over."""
    execution = request.get("job_execution")
    if execution is None or not execution.token:
        return True
    return row.state == JobState.RUNNING and row.token == execution.token
