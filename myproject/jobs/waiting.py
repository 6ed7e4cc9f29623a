"""Waiting for outcomes: `AsyncResult.get`, `GroupResult.join`, `iterate`.

A waiter looks at the row, listens on the broker's Redis for the word that the job is done, and looks again now and
then: a Redis that was flushed or is away costs it a fraction of a second.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Generator, Iterator
from contextlib import closing
from typing import Any

from celery import states
from celery.backends.base import BaseKeyValueStoreBackend
from celery.exceptions import TimeoutError as CeleryTimeoutError
from celery.result import GroupResult
from django.db import DEFAULT_DB_ALIAS, connections

from myproject.errors import Conflict
from myproject.jobs import notify
from myproject.jobs.models import Job
from myproject.jobs.outcomes import STORED, OutcomesInRows, Stored
from myproject.jobs.states import OPEN

#: Seconds from the first look to the second; each further pause is half as long again. Most jobs of a test or a script
#: end within the first three.
FIRST_NAP = 0.01
#: The longest pause in seconds: without a listener, and with one, whose looks only make up for words that were lost. An
#: id without a row is a step of a chain that is not promised yet, or a best-effort task, of whose end nobody tells us:
#: waiting for it in its own backend's way would keep us from the row for a second.
LONGEST_NAP = 0.25
LONGEST_NAP_LISTENING = 0.5
#: Ids of one query. SQLite takes 32,766 parameters and MySQL far more; each row may hold a large result.
CHUNK = 500


class WaitsForItself(Conflict):
    """Whoever waits holds open the transaction that the job waits for. Read by whoever wrote the call."""

    code = "waits_for_itself"
    reader = "developer"


class WaitsOnRows(OutcomesInRows):
    """The part of the result backend that waits."""

    supports_native_join = True

    @property
    def is_async(self) -> bool:
        """Whether `GroupResult.then` calls back: every result that is fetched fulfils its promise."""
        return True

    def wait_for_pending(
        self, result: Any, timeout: float | None = None, interval: float = 0.5, no_ack: bool = True,
        on_message: Any = None, on_interval: Any = None, callback: Any = None, propagate: bool = True,
    ) -> Any:  # fmt: skip
        """Wait for one result and return it, or raise what the task raised: `AsyncResult.get`."""
        meta = self.wait_for(result.id, timeout=timeout, interval=interval, on_interval=on_interval)
        if on_message is not None:
            on_message(meta)
        result._maybe_set_cache(meta)
        return result.maybe_throw(propagate=propagate, callback=callback)

    def wait_for(
        self, task_id: str, timeout: float | None = None, interval: float = 0.5, no_ack: bool = True,
        on_interval: Callable[[], Any] | None = None,
    ) -> dict[str, Any]:  # fmt: skip
        """Wait for one task and return its meta. Raises celery.exceptions.TimeoutError, WaitsForItself."""
        self._ensure_not_eager()
        with closing(self._outcomes([task_id], timeout=timeout, interval=interval, on_interval=on_interval)) as found:
            meta = next(found)[1]
        if on_interval is not None and meta["status"] in states.PROPAGATE_STATES:
            on_interval()  # AsyncResult raises a parent's error here: the culprit's own, before what followed from it
        return meta

    def get_many(
        self, task_ids: Collection[str], timeout: float | None = None, interval: float = 0.5, no_ack: bool = True,
        on_message: Any = None, on_interval: Any = None, max_iterations: int | None = None,
        READY_STATES: frozenset[str] = states.READY_STATES,
    ) -> Iterator[tuple[str, dict[str, Any]]]:  # fmt: skip
        """Yield the id and meta of each task as it ends."""
        for task_id, meta in self._outcomes(
            task_ids, timeout=timeout, interval=interval, on_interval=on_interval, looks=max_iterations
        ):
            if on_message is not None:
                on_message(meta)
            yield task_id, meta

    def iter_native(
        self, result: Any, timeout: float | None = None, interval: float = 0.5, no_ack: bool = True,
        on_message: Any = None, on_interval: Any = None,
    ) -> Iterator[tuple[str, Any]]:  # fmt: skip
        """Yield the id and meta of each member of a set as it ends, and fulfil the members' promises."""
        self._ensure_not_eager()
        members: dict[str, list[Any]] = {}
        for member in result.results:
            if isinstance(member, GroupResult):
                yield str(member.id), member.results
            else:
                members.setdefault(member.id, []).append(member)
        for task_id, meta in self.get_many(
            members, timeout=timeout, interval=interval, on_message=on_message, on_interval=on_interval
        ):
            for member in members[task_id]:
                member._maybe_set_cache(meta)
            yield task_id, meta

    # --- the loop

    def _outcomes(
        self, task_ids: Collection[str], *, timeout: float | None, interval: float | None, on_interval: Any,
        looks: int | None = None,
    ) -> Generator[tuple[str, dict[str, Any]]]:  # fmt: skip
        waiting = {str(task_id) for task_id in task_ids}
        end = None if timeout is None else time.monotonic() + timeout
        nap = FIRST_NAP
        with notify.listening(self.app, waiting) as listener:
            while waiting:
                unknown: set[str] = set()
                for task_id, meta in self._ended(waiting, unknown):
                    waiting.discard(task_id)
                    yield task_id, meta
                if not waiting:
                    return
                looks = None if looks is None else looks - 1
                if looks == 0:
                    return
                if on_interval is not None:
                    on_interval()
                if end is not None and time.monotonic() >= end:
                    raise CeleryTimeoutError("The operation timed out.")
                left = nap if end is None else min(nap, end - time.monotonic())
                listener.wait(left)
                longest = LONGEST_NAP_LISTENING if listener.listens and not unknown else LONGEST_NAP
                nap = min(nap * 1.5, longest, interval or longest)

    def _ended(self, waiting: set[str], unknown: set[str]) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield those that are over; put those that have no row into `unknown`."""
        ids = list(waiting)
        for start in range(0, len(ids), CHUNK):
            part = ids[start : start + CHUNK]
            rows = {row[0]: Stored(*row) for row in Job.objects.filter(id__in=part).values_list(*STORED)}
            for task_id in part:
                row = rows.get(task_id)
                if row is None:
                    unknown.add(task_id)
                elif row.state in OPEN:
                    self._refuse_own(row)
                else:
                    meta = self.meta_of(row)
                    if meta["status"] in states.READY_STATES:
                        yield task_id, meta
        for task_id, meta in self._ended_elsewhere(sorted(unknown)):
            unknown.discard(task_id)
            yield task_id, meta

    def _ended_elsewhere(self, ids: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
        if not ids:
            return
        if isinstance(self.delegate, BaseKeyValueStoreBackend):
            yield from self.delegate.get_many(ids, interval=0, max_iterations=1)
            return
        for task_id in ids:
            meta = self.delegate.get_task_meta(task_id)
            if meta["status"] in states.READY_STATES:
                yield task_id, meta

    def _refuse_own(self, row: Stored) -> None:
        """Refuse to wait for a job that this connection's open transaction wrote: it is published when that commits."""
        connection = connections[DEFAULT_DB_ALIAS]
        if not connection.in_atomic_block:
            return
        # On SQLite an open transaction keeps every worker from writing, whoever wrote the job.
        if connection.vendor == "sqlite" or not _is_committed(row.id):
            raise WaitsForItself(
                f"Job {row.id} is published when this transaction commits, so waiting for it here would never end:"
                " call .get() after the transaction.",
                task_id=row.id,
            )


def _is_committed(task_id: str) -> bool:
    """Tell whether others see the row: a connection of its own is asked."""
    with closing(connections[DEFAULT_DB_ALIAS].copy()) as other, other.cursor() as cursor:
        cursor.execute("SELECT 1 FROM jobs_job WHERE id=%s", (task_id,))
        return cursor.fetchone() is not None
