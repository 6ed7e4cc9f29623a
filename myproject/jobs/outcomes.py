"""Storing outcomes in rows, and telling states from them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any, NamedTuple

from celery import states
from celery.backends import base
from celery.exceptions import TaskRevokedError
from celery.result import result_from_tuple
from django.db import DEFAULT_DB_ALIAS, connections, transaction
from kombu.utils.json import dumps
from kombu.utils.objects import cached_property

from myproject.jobs import ledger, notify, progress
from myproject.jobs.delegates import make_delegate
from myproject.jobs.fingerprints import fingerprint, headline
from myproject.jobs.ledger import NewJob
from myproject.jobs.models import Job, SavedGroup
from myproject.jobs.states import CELERY_STATES, OPEN, JobState
from myproject.jobs.storage import ResultTooLarge

#: Celery's part of the backend. The types that are about for it are of another version.
Base: Any = base.BaseBackend

#: Characters of a result that a row holds. Whoever reads the state reads all of it, and a chord's parts hold it again;
#: the largest outcome of the shop, a report's figures, has 4,000.
LARGEST_RESULT = 262_144
#: Characters of a failure's text and traceback that are kept: an error message may quote a whole response.
LARGEST_ERROR = 65_536
#: Seconds for which an outcome is kept where no task says.
RETENTION = 86_400.0

_CLOSED_AS = {
    states.SUCCESS: JobState.SUCCEEDED,
    states.FAILURE: JobState.PARKED,
    states.REVOKED: JobState.CANCELLED,
}

UNKNOWN_ROOT = "-"
#: The first job of the workflow in which this thread hands a failure on: to the rest of a chain, to a chord's body.
_handing_on: ContextVar[str] = ContextVar("handing_on", default="")


class Stored(NamedTuple):
    """The columns that tell a state."""

    id: str
    state: int
    epoch: int
    meta: str | None
    error: str | None
    finished_at: Any


STORED = Stored._fields


class OutcomesInRows(Base):
    """The part of the result backend that stores and reads."""

    @cached_property
    def delegate(self) -> Any:
        """The backend of everything that has no row."""
        return make_delegate(self.app)

    @contextmanager
    def handing_on(self, root_id: str | None = None) -> Iterator[None]:
        """Give what will never be sent an outcome of its own while the context lasts: a closed row that never ran."""
        token = _handing_on.set(_handing_on.get() or root_id or UNKNOWN_ROOT)
        try:
            yield
        finally:
            _handing_on.reset(token)

    def is_durable(self, task_id: str, request: Any) -> bool:
        """Tell whether a report is about a job. A running task says so itself; about other ids the rows are asked."""
        if request is not None and request.id == task_id:
            if request.get("job_epoch") is not None:
                return True
            task = self.app._tasks.get(request.task)
            if task is not None:
                return bool(getattr(task, "durable", False))
        return ledger.read(task_id) is not None

    def store_result(
        self, task_id: str, result: Any, state: str, traceback: Any = None, request: Any = None, **kwargs: Any
    ) -> Any:
        """Store a state where it belongs: in the job's row, on the progress channel, or in the other backend."""
        if not _handing_on.get() and not self.is_durable(task_id, request):
            return self.delegate.store_result(task_id, result, state, traceback=traceback, request=request, **kwargs)
        encoded = self.encode_result(result, state)
        if state in states.READY_STATES:
            self._close(task_id, result, encoded, state, traceback=traceback, request=request)
            if request is not None and request.id == task_id and request.get("job_foreign"):
                # A stock client knows nothing of rows and looks there: best effort, as that backend is.
                tell = partial(self.delegate.store_result, task_id, result, state, traceback=traceback, request=request)
                transaction.on_commit(tell, robust=True)
        else:
            self._show(task_id, encoded, state, traceback=traceback, request=request)
        return encoded

    def _close(self, task_id: str, result: Any, encoded: Any, state: str, *, traceback: Any, request: Any) -> None:
        failed = isinstance(result, BaseException)
        trace = str(traceback)[-LARGEST_ERROR:] if traceback else None
        if failed and len(dumps(encoded)) > LARGEST_ERROR:
            encoded = {**encoded, "exc_message": [str(result)[:LARGEST_ERROR]]}
        meta = self.encode_meta(task_id, encoded, state, traceback=trace, request=request)
        self.tell_on_commit(task_id)
        execution = request.get("job_execution") if request is not None else None
        what: dict[str, Any] = {
            "meta": meta,
            "retention": self._retention(request),
            "error": headline(result) if failed else None,
            "fingerprint": fingerprint(result, trace) if failed else None,
        }
        closed_here = execution is not None and execution.state == JobState.SUCCEEDED
        if ledger.finish(task_id, state=_CLOSED_AS[state], closed_here=closed_here, **what):
            return
        root_id = _handing_on.get()
        if root_id and ledger.read(task_id) is None:
            # It will never be sent. Its row has no body: there is nothing that an operator could run.
            job = NewJob(
                id=task_id,
                app=self.app.main,
                task=(request.task if request is not None else None) or "",
                queue="",
                priority=0,
                body="",
                root_id=root_id if root_id != UNKNOWN_ROOT else None,
                delay=0.0,
            )
            ledger.insert(job)
            ledger.finish(task_id, state=JobState.CANCELLED, **what)

    def tell_on_commit(self, task_id: str) -> None:
        """Wake whoever waits for a job, once its outcome is committed."""
        transaction.on_commit(partial(notify.tell, self.app, task_id))

    def _retention(self, request: Any) -> float:
        task = self.app._tasks.get(request.task) if request is not None else None
        return float(getattr(task, "retention", RETENTION))

    def encode_meta(self, task_id: str, encoded: Any, state: str, *, traceback: Any, request: Any) -> str:
        """Return the text of an outcome, as Celery's backends store it. Raises ResultTooLarge."""
        meta = self._get_result_meta(result=encoded, state=state, traceback=traceback, request=request)
        text = str(self.encode({**meta, "task_id": task_id}))
        if len(text) > LARGEST_RESULT and state == states.SUCCESS:
            refuse_large(encoded)  # many children alone are no reason
        return text

    def _show(self, task_id: str, encoded: Any, state: str, *, traceback: Any, request: Any) -> None:
        """Show the state of a job that is not over."""
        own = request is not None and request.id == task_id
        row = None if own else ledger.read(task_id)
        if row is not None and row.state not in OPEN:
            return
        epoch = (request.get("job_epoch") or 0) if row is None else row.epoch
        execution = request.get("job_execution") if own else None
        leased = row.state == JobState.RUNNING if row is not None else _is_leased(execution)
        if leased and state != states.STARTED and not connections[DEFAULT_DB_ALIAS].in_atomic_block:
            meta = self.encode_meta(task_id, encoded, state, traceback=traceback, request=request)
            Job.objects.filter(id=task_id, epoch=epoch, state=JobState.RUNNING).update(meta=meta)
            return
        shown = {"status": state, "result": encoded, "traceback": traceback, "children": [], "task_id": task_id}
        progress.show(self.app, task_id, epoch=epoch, meta=shown)

    # --- reading

    def _get_task_meta_for(self, task_id: str) -> dict[str, Any]:
        found = Job.objects.filter(id=task_id).values_list(*STORED).first()
        if found is not None:
            return self.meta_of(Stored(*found))
        if _handing_on.get():
            return {"status": states.PENDING, "result": None}
        meta: dict[str, Any] = self.delegate.get_task_meta(task_id)
        return meta

    def meta_of(self, row: Stored) -> dict[str, Any]:
        """Return what a row says of its job, in the form of Celery's backends; of an open one, what it shows."""
        if row.state in OPEN and (shown := self._shown(row)) is not None:
            return shown
        if row.meta is not None:
            decoded: dict[str, Any] = self.decode_result(row.meta)
            return decoded
        state = CELERY_STATES[JobState(row.state)]
        result: Any = None
        if state == states.REVOKED:
            result = TaskRevokedError(row.error or "cancelled")
        elif state == states.FAILURE:
            result = RuntimeError(row.error or "failed")
        done = row.finished_at.isoformat() if row.finished_at and state in states.READY_STATES else None
        return {
            "status": state, "result": result, "traceback": None, "children": [], "date_done": done, "task_id": row.id,
        }  # fmt: skip

    def _shown(self, row: Stored) -> dict[str, Any] | None:
        """Return what a job shows while it runs; None when the row itself says it.

        Inside of a transaction nobody is asked: neither the broker, nor the lock, which would be held until the end.
        """
        if row.state == JobState.SCHEDULED or connections[DEFAULT_DB_ALIAS].in_atomic_block:
            return None
        if row.state == JobState.RUNNING and row.meta is not None:
            return None
        shown = progress.read(self.app, row.id, epoch=row.epoch)
        if row.state == JobState.QUEUED and connections[DEFAULT_DB_ALIAS].vendor != "sqlite":
            # In transaction mode a body runs while its row is locked, and only then: what a killed one showed is over.
            if not ledger.is_running(row.id):
                return None
            shown = shown or {"status": states.STARTED, "result": {}, "task_id": row.id}
        return self.meta_from_decoded(shown) if shown is not None else None

    def task_result_exists(self, task_id: str) -> bool:
        """Tell whether there is such a job, or a result of that id elsewhere."""
        return Job.objects.filter(id=task_id).exists() or bool(self.delegate.task_result_exists(task_id))

    def _forget(self, task_id: str) -> None:
        """Forget the outcome of a job that is over. Its row stays, so that a late copy of it still finds it closed."""
        forgotten = self.encode({"status": states.PENDING, "result": None, "task_id": task_id})
        jobs = Job.objects.filter(id=task_id)
        if not jobs.exclude(state__in=OPEN).update(meta=forgotten) and not jobs.exists():
            self.delegate.forget(task_id)

    # --- groups that `GroupResult.save()` keeps

    def _save_group(self, group_id: str, result: Any) -> Any:
        SavedGroup.objects.update_or_create(id=group_id, defaults={"result": self.encode(result.as_tuple())})
        return result

    def _restore_group(self, group_id: str) -> dict[str, Any] | None:
        text = SavedGroup.objects.filter(id=group_id).values_list("result", flat=True).first()
        return {"result": result_from_tuple(self.decode(text), self.app)} if text else None

    def _delete_group(self, group_id: str) -> None:
        SavedGroup.objects.filter(id=group_id).delete()


def refuse_large(encoded: Any) -> None:
    """Raise ResultTooLarge for a result that a row should not hold."""
    size = len(dumps(encoded))
    if size > LARGEST_RESULT:
        raise ResultTooLarge(
            f"The result takes {size:,} characters and a job's row holds {LARGEST_RESULT:,}: store it"
            " (myproject.jobs.storage.store) and return the reference.",
            size=size,
        )


def _is_leased(execution: Any) -> bool:
    return execution is not None and execution.state == JobState.RUNNING
