"""Running jobs in tests: in the test's own process and transaction, without broker, worker or relay.

    from myproject.jobs.testing import run_jobs

    class Checkout(TestCase):
        def test_a_paid_order_is_confirmed(self):
            pay(order)
            run_jobs()
            assert len(mail.outbox) == 1

A `TestCase` holds each test in a transaction that never commits, so no message is ever published; the rows are there
all the same, and what a job promises in turn is run as well. For pytest there is a fixture of that name:
`pytest_plugins = ["myproject.jobs.pytest_plugin"]`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from celery import states
from django.db import DEFAULT_DB_ALIAS, connections

from myproject.celery import abandon_cart_app, app
from myproject.jobs import ledger
from myproject.jobs.local import request_of, run_row
from myproject.jobs.models import Job
from myproject.jobs.states import JobState

#: Runs of one call: a test that needs more has most likely two tasks that call each other for ever.
LIMIT = 1_000

_APPS = {found.main: found for found in (app, abandon_cart_app)}


class Ran(NamedTuple):
    """One run of one job. `state` is Celery's word (SUCCESS, RETRY, FAILURE, IGNORED, REVOKED ...)."""

    task: str
    args: list[Any]
    kwargs: dict[str, Any]
    state: str
    result: Any


def run_jobs(*, countdowns: bool = False, raise_errors: bool = True, limit: int = LIMIT) -> list[Ran]:
    """Run every job that is due until none is left, in the order of their promise; return what ran.

    With `countdowns` the time of the others has come, too: retries, countdowns and etas. A job that was put off runs
    once per call. The first error that parks a job is raised when the job is parked, unless `raise_errors` is off;
    then it is the `result` of that run. Raises RuntimeError when `limit` runs were not enough.
    """
    ran: list[Ran] = []
    begun: set[tuple[str, int]] = set()
    while found := [key for key in _due(countdowns) if key not in begun]:
        for task_id, epoch in found:
            if len(ran) == limit:
                raise RuntimeError(f"{limit} jobs ran and {len(found)} are due: {ran[-1].task} was the last.")
            begun.add((task_id, epoch))
            done = _run(task_id, epoch)
            if done is None:
                continue
            ran.append(done)
            if raise_errors and done.state == states.FAILURE:
                raise done.result
    return ran


def _due(countdowns: bool) -> list[tuple[str, int]]:
    """Return id and life of what may run now, in the order of the inserts: ids are in order per millisecond only."""
    order = "rowid" if connections[DEFAULT_DB_ALIAS].vendor == "sqlite" else "created_at, id"
    scheduled = "" if countdowns else f" AND due_at <= {ledger.now_sql()}"
    sql = f"SELECT id, epoch FROM jobs_job WHERE state=%s OR (state=%s{scheduled}) ORDER BY {order}"
    return [(task_id, epoch) for task_id, epoch in ledger.fetch(sql, (JobState.QUEUED, JobState.SCHEDULED))]


def _run(task_id: str, epoch: int) -> Ran | None:
    """Run one life of one job; None when an earlier job of this call has closed or changed it."""
    Job.objects.filter(id=task_id, epoch=epoch, state=JobState.SCHEDULED).update(state=JobState.QUEUED)
    row = ledger.read(task_id)
    if row is None or row.epoch != epoch or row.state != JobState.QUEUED:
        return None
    celery_app = _APPS[row.app]
    # A holder that is left over means that an earlier run ended without saying how: this one is told of it.
    delivery = int(row.holder is not None)
    request = request_of(celery_app, row, delivery=delivery)
    outcome = run_row(celery_app, row, delivery=delivery)
    state, result = states.SUCCESS, outcome.retval
    if outcome.info is not None:
        state, result = outcome.info.state, outcome.info.retval
    return Ran(task=row.task, args=request["args"], kwargs=request["kwargs"], state=state, result=result)
