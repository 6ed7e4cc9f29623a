"""The tasks of the state machine: one per way to run, each obeying the script of its run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.contrib.auth.models import Group
from django.db import DEFAULT_DB_ALIAS, OperationalError, connections

from myproject.celery import PlatformCelery
from myproject.errors import OutageError, RetryableError
from myproject.jobs.errors import Snooze
from myproject.jobs.ledger import Row
from myproject.jobs.publishing import Hint
from myproject.jobs.relay.decisions import Waiting
from myproject.jobs.running import LookupResult, current_job
from myproject.jobs.states import JobState

app = PlatformCelery("myproject", set_as_current=False, broker="memory://")
app.conf.update(task_default_queue="default", result_backend="cache+memory://", task_create_missing_queues=True)


class Killed(BaseException):
    """Stands for the end of a process: nothing of the platform catches it, every transaction is rolled back."""


class Trouble(OperationalError):
    """Stands for what a database says whose connection is lost: the platform handles it."""

    def __init__(self, where: str) -> None:
        super().__init__(2013, f"Lost connection at {where}")


@dataclass(kw_only=True)
class Script:
    """What one run of a body does: how it ends, and what happens elsewhere before and after its effect."""

    ending: str = "ok"  # or "error", "snooze", "retry": before the effect; "kill": after it
    before: Callable[[], None] | None = None
    after: Callable[[], None] | None = None


@dataclass(kw_only=True)
class Call:
    """A call that reached the receiver, or an effect in the database: by which life of which job."""

    key: str
    epoch: int
    known: bool  # this life's effect stood already when the body of this run began


class Outside:
    """What no rollback reaches: the scripts of the next runs, and the receiver."""

    def __init__(self) -> None:
        self.scripts: list[Script] = []
        self.calls: list[Call] = []
        self.away = False  # nobody answers questions
        self.ended: Callable[[], None] = lambda: None

    def applied(self, key: str, epoch: int) -> int:
        """Return how often a life of a job had its effect."""
        return sum(call.key == key and call.epoch == epoch for call in self.calls)


outside = Outside()


def look_up(key: str) -> LookupResult:
    """Say whether the receiver knows the key, unless it is away."""
    if outside.away:
        raise OutageError("away")
    return LookupResult(done=any(call.key == key for call in outside.calls))


def _run(key: str, *, effect: Callable[[str, int, bool], None]) -> str:
    job = current_job()
    assert job is not None
    script = outside.scripts.pop() if outside.scripts else Script()
    known = outside.applied(key, job.epoch) > 0
    try:
        if script.before:
            script.before()
        if script.ending == "error":
            raise ValueError("declared")
        if script.ending == "snooze":
            raise Snooze(3)
        if script.ending == "retry":
            raise RetryableError("declared")
        effect(key, job.epoch, known)
        if script.after:
            script.after()
        if script.ending == "kill":
            raise Killed
    finally:
        outside.ended()
    return key


def _write(key: str, epoch: int, known: bool) -> None:
    number = Group.objects.filter(name__startswith=f"{key} {epoch} ").count()
    Group.objects.create(name=f"{key} {epoch} {number}")


def _call(key: str, epoch: int, known: bool) -> None:
    outside.calls.append(Call(key=key, epoch=epoch, known=known))


@app.task(shared=False, name="life.write")
def write(key: str) -> Any:
    """Write a row, in transaction mode."""
    return _run(key, effect=_write)


@app.task(shared=False, name="life.resend", mode="lease", on_unknown="resend", lease=30.0)
def resend(key: str) -> Any:
    """Call a receiver for whom once more does no harm."""
    return _run(key, effect=_call)


@app.task(shared=False, name="life.lookup", mode="lease", on_unknown="lookup", look_up=look_up, lease=30.0)
def lookup(key: str) -> Any:
    """Call a receiver that can be asked."""
    return _run(key, effect=_call)


@app.task(shared=False, name="life.park", mode="lease", on_unknown="park", lease=30.0)
def park(key: str) -> Any:
    """Call a receiver that knows no keys and answers no questions."""
    return _run(key, effect=_call)


TASKS = (write, resend, lookup, park)

WORKER_POINTS = (
    "start.counted", "close.after", "body.after", "finish.before_commit", "finish.after_commit", "claim.before",
    "claim.after", "release.before", "release.before_commit", "release.after", "rearm.before", "rearm.after",
    "fail.before", "fail.after",
)  # fmt: skip
RELAY_POINTS = ("relay.selected", "relay.marked", "relay.published")
#: What happens elsewhere while a lease-mode body runs.
MEANWHILE = ("time", "expire", "relay", "deliver", "time", "expire", "revoke")
ELSEWHERE = ("time", "time", "expire", "relay", "relay", "flush")

STATE_COLUMNS = "state, epoch, token, attempts, holder, finished_at, meta, error"


class NoBroker:
    """In the place of the relay's broker: it is empty, and takes everything."""

    first, again = "5", "10"

    def check(self) -> None:
        """Answer at once."""

    def waiting(self, lists: Any) -> dict[tuple[str, int], Waiting]:
        """Say that nothing waits."""
        return {pair: Waiting(0) for pair in lists}

    def close(self) -> None:
        """Do nothing."""


class Clock:
    """The database's, in seconds since some beginning."""

    seconds = 0

    @classmethod
    def text(cls) -> str:
        """Return this moment as SQLite reads it."""
        return (datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=cls.seconds)).strftime("%Y-%m-%d %H:%M:%S")


def snapshot(task_id: str) -> tuple[Any, ...]:
    """Return what a fenced-out process must leave as it is."""
    with connections[DEFAULT_DB_ALIAS].cursor() as cursor:
        cursor.execute(f"SELECT {STATE_COLUMNS} FROM jobs_job WHERE id=%s", (task_id,))
        return tuple(cursor.fetchone())


def row_of(hint: Hint) -> Row:
    """Return a row that gives this message: what is not in a message is not looked at."""
    return Row(
        id=hint.id, app=app.main, task=hint.task, queue=hint.queue, priority=hint.priority, state=JobState.QUEUED,
        epoch=hint.epoch, attempts=0, deliveries=hint.delivery, token=0, holder=None, root_id=hint.root_id,
        parent_id=hint.parent_id, group_id=hint.group_id, body=hint.body, headers=hint.headers, options=hint.options,
    )  # fmt: skip
