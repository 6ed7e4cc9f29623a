"""Tasks of a Celery app of their own, on the platform's seams, for tests that run jobs without a worker.

A row of `Group` stands for any effect in the database; RAN for one outside of it, where no rollback reaches.
"""

from __future__ import annotations

from typing import Any

from celery.exceptions import Ignore
from django.contrib.auth.models import Group
from django.db import OperationalError

from myproject.celery import PlatformCelery
from myproject.errors import OutageError, RetryableError, UnknownOutcomeError
from myproject.jobs import ledger
from myproject.jobs.errors import Snooze
from myproject.jobs.local import run_row
from myproject.jobs.models import Job
from myproject.jobs.running import LookupResult, current_job
from myproject.jobs.states import JobState

app = PlatformCelery("myproject", set_as_current=False, broker="memory://")
app.conf.update(task_default_queue="default", result_backend="cache+memory://", task_create_missing_queues=True)

DEADLOCK = OperationalError(1213, "Deadlock found when trying to get lock")

RAN: list[Any] = []
#: What the task `fail` raises, one for each of its runs; then it ends well.
ERRORS: list[BaseException] = []
#: What the provider of `look_up` says, or how asking it fails.
ANSWERS: list[LookupResult | Exception] = []


def look_up(value: Any) -> LookupResult:
    """Say what became of an earlier run."""
    RAN.append(("asked", value))
    answer = ANSWERS.pop(0)
    if isinstance(answer, Exception):
        raise answer
    return answer


def fail_once(value: Any) -> str:
    RAN.append(value)
    Group.objects.create(name=f"{value} {len(RAN)}")
    if ERRORS:
        raise ERRORS.pop(0)
    return f"done {value}"


@app.task(shared=False, name="t.write", business_keys={"slug": "slug"})
def write(slug: str) -> None:
    """Write one row, where a second one of that name is an error."""
    RAN.append(slug)
    Group.objects.create(name=slug)


@app.task(shared=False, name="t.fail")
def fail(value: Any) -> str:
    """Write a row and raise what the test asks for."""
    return fail_once(value)


@app.task(shared=False, name="t.leased", mode="lease", on_unknown="resend", lease=30.0)
def leased(value: Any) -> str:
    """The same in lease mode."""
    return fail_once(value)


@app.task(shared=False, name="t.parking", mode="lease", on_unknown="park")
def parking(value: Any) -> str:
    """The same, for an effect that the receiver has no key for."""
    return fail_once(value)


@app.task(shared=False, name="t.asking", mode="lease", on_unknown="lookup", look_up=look_up)
def asking(value: Any) -> str:
    """The same, where the other side can be asked."""
    return fail_once(value)


@app.task(shared=False, name="t.skip", unique=("key",))
def skip(key: str, text: str = "") -> None:
    """At most one open job per key; the first stands."""
    fail_once((key, text))


@app.task(shared=False, name="t.replace", unique=("key",), unique_policy="replace")
def replace(key: str, text: str = "") -> None:
    """At most one open job per key; the last stands."""
    fail_once((key, text))


@app.task(shared=False, name="t.extend", unique=True, unique_policy="extend")
def extend(key: str) -> None:
    """At most one open job per call; each call puts it off."""
    fail_once(key)


@app.task(shared=False, name="t.one", concurrency_key=("customer",), mode="lease", on_unknown="resend")
def one_at_a_time(customer: int) -> None:
    """One running job per customer."""
    RAN.append(customer)


@app.task(shared=False, name="t.turn", concurrency_key=("customer",))
def in_turn(customer: int) -> None:
    """The same in transaction mode."""
    fail_once(customer)


@app.task(shared=False, name="t.best", durable=False, ignore_result=True)
def best_effort(value: Any) -> None:
    """No row."""
    RAN.append(value)


def only_job() -> Job:
    """Return the row of the one job that there is."""
    return Job.objects.get()


def run_open(*, limit: int = 20) -> None:
    """Run what is queued, as workers would, until nothing is; scheduled jobs stay."""
    for _ in range(limit):
        ids = list(Job.objects.filter(state=JobState.QUEUED).order_by("id").values_list("id", flat=True))
        if not ids:
            return
        for task_id in ids:
            row = ledger.read(task_id)
            assert row is not None
            run_row(app, row)


def run_again(task_id: str, *, delivery: int = 0) -> Any:
    """Deliver a job's message once more."""
    row = ledger.read(task_id)
    assert row is not None
    return run_row(app, row, delivery=delivery)


def make_due() -> None:
    """Let the time of every scheduled job come, as the relay would."""
    Job.objects.filter(state=JobState.SCHEDULED).update(state=JobState.QUEUED)


__all__ = (
    "ANSWERS", "ERRORS", "RAN", "Ignore", "OperationalError", "OutageError", "RetryableError", "Snooze",
    "UnknownOutcomeError", "app", "current_job",
)  # fmt: skip
